"""A layer that computes its weight from parameters, and in eval mode keeps what it computed."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from wavpool.transforms.arguments import is_autocast


class _Seen(NamedTuple):
    """A parameter or buffer as it was: where it stands, and what tells that it has been replaced or written to."""

    owner: dict[str, Any]
    name: str
    tensor: Tensor
    version: int
    address: int


class Cached(nn.Module):
    """Base of layers that derive tensors from their parameters.

    What `_cached` was given to compute is kept while the module is in eval mode, needs no gradient and no parameter is
    replaced or written to; writing through `.data` in place is not seen. It is not part of the state, of copies and of
    pickles.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: Any = None
        self._kept_of: tuple[_Seen, ...] = ()

    def _cached(self, compute: Callable[[], Any]) -> Any:
        """The result of `compute`, from the cache where it holds."""
        if self.training or torch.compiler.is_compiling():
            return compute()
        kept = self._kept
        if kept is not None:
            grad = torch.is_grad_enabled()
            for owner, name, tensor, version, address in self._kept_of:
                if (
                    owner.get(name) is not tensor
                    or tensor._version != version
                    or tensor.data_ptr() != address
                    or (grad and tensor.requires_grad)
                ):
                    break
            else:
                return kept
        if torch.is_grad_enabled() and any(each.requires_grad for each in self.parameters()):
            return compute()
        if torch._C._are_functorch_transforms_active():  # parameters may be those of one call
            return compute()
        # What is kept serves outside of inference mode and of autocast, too.
        with torch.inference_mode(False), torch.no_grad(), self._full_precision():
            kept = compute()
        self._kept_of = tuple(
            _Seen(owner, name, each, each._version, each.data_ptr())
            for child in self.children()  # nothing is derived from the layer's own parameter, the bias
            for module in child.modules()
            for owner in (module._parameters, module._buffers)
            for name, each in owner.items()
            if each is not None and not each.is_inference()
        )
        self._kept = kept
        return kept

    def _full_precision(self) -> AbstractContextManager[object]:
        """A context without autocast."""
        device = next(self.parameters()).device
        return torch.autocast(device.type, enabled=False) if is_autocast(device) else nullcontext()

    def _forget(self) -> None:
        self._kept, self._kept_of = None, ()

    def train(self, mode: bool = True) -> Self:
        self._forget()
        return super().train(mode)

    def _apply(self, *args: Any, **kwargs: Any) -> Self:
        self._forget()
        super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._forget()
        super()._load_from_state_dict(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None, "_kept_of": ()}
