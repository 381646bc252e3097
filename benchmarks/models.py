"""WavPool models: the paper's against the original 0.1.3, ours against the bare matrix products they stand on.

`python -m benchmarks models` runs this alone.

A training step is forward, cross-entropy, backward and one of plain SGD, on 640 images of 32 x 32. Original and ours
have a process each and take turns. The bare products are those of the same layers, forward and backward, on inputs
and gradients that lie ready, with the same optimiser step.
"""

import json
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import wavpool  # noqa: F401, timm finds our models through it
from training.allocator import keep_freed_memory
from wavpool.layers import BandLinear

from . import original
from .records import FLOOR, INFERENCE, OURS, PEER, STEP, Case, Record, skipped, timed, with_ratios
from .timing import Block, interleaved, remote_blocks, serve

BATCH, SIDE, LEARNING_RATE = 640, 32, 0.01
PAPER_MODEL = "wavpool_paper_cifar10"
LIVE_MODELS = ("wavpool_dense_small", "wavpool_dense_base")
ORIGINAL, PRODUCTS = "wavpool 0.1.3", "matrix products"

Call = Callable[[], object]
Forward = Callable[[Tensor], Any]
Prepare = Callable[[nn.Module, Tensor], Forward]  # a model and an example -> what computes it

ORIGINAL_SCRIPT = """
import json, sys
import torch
from wavpool.models.wavpool import WavPool
sys.path.append(sys.argv[3])
from benchmarks.timing import serve
from training.allocator import keep_freed_memory
keep_freed_memory()
torch.set_num_threads(int(sys.argv[1]))

def step():
    model = WavPool(**json.loads(sys.argv[2]))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x, labels = torch.rand(640, 32, 32), torch.randint(10, (640,))
    def call():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), labels).backward()
        optimizer.step()
    return call

def inference():
    model = WavPool(**json.loads(sys.argv[2])).eval()
    x = torch.rand(1, 32, 32)
    return torch.no_grad()(lambda: model(x))

serve({"training step": step, "inference": inference})
"""


def training_step(name: str, in_chans: int, prepare: Prepare) -> Call:
    """One step of a model of the zoo."""
    model = timm.create_model(name, in_chans=in_chans, num_classes=10).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    x, labels = torch.rand(BATCH, in_chans, SIDE, SIDE), torch.randint(10, (BATCH,))
    forward = prepare(model, x)

    def call() -> None:
        optimizer.zero_grad()
        F.cross_entropy(forward(x), labels).backward()
        optimizer.step()

    return call


@torch.no_grad()
def inference(name: str, prepare: Prepare) -> Call:
    """Logits of a single image."""
    model = timm.create_model(name).eval()
    x = torch.rand(1, 1, SIDE, SIDE)
    forward = prepare(model, x)
    return torch.no_grad()(lambda: forward(x))


def _eager(model: nn.Module, x: Tensor) -> Forward:
    return model


def _compiled(model: nn.Module, x: Tensor) -> Forward:
    return torch.compile(model, dynamic=False)


def _cpp_wrapper(model: nn.Module, x: Tensor) -> Forward:
    return torch.compile(model, dynamic=False, options={"cpp_wrapper": True})


def _ahead_of_time(model: nn.Module, x: Tensor) -> Forward:
    with tempfile.TemporaryDirectory() as folder:
        package = torch._inductor.aoti_compile_and_package(
            torch.export.export(model, (x,)), package_path=f"{folder}/model.pt2"
        )
        return torch._inductor.aoti_load_package(package)


STEPS: dict[str, Prepare] = {"eager": _eager, "compiled": _compiled}
INFERENCES: dict[str, Prepare] = {
    "eager": _eager,
    "compiled": _compiled,
    "compiled, C++ wrapper": _cpp_wrapper,
    "compiled, AOTInductor": _ahead_of_time,
}


def matrix_products(name: str, in_chans: int) -> Call:
    """The products of a training step, and the optimiser's part."""
    model = timm.create_model(name, in_chans=in_chans, num_classes=10)
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    products = [ready_made(layer, BATCH)[2] for layer in model.modules() if isinstance(layer, BandLinear | nn.Linear)]
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)

    @torch.no_grad()
    def call() -> None:
        for compute in products:
            compute()
        optimizer.step()

    return call


def ready_made(layer: BandLinear | nn.Linear, batch: int) -> tuple[Tensor, Tensor, Callable[[], list[Tensor]]]:
    """Input, output gradient, and the products of one layer's forward and backward, which set the weight's gradient.

    Bands `(bands, B, in)` are data and need no gradient; a later layer's input does.
    """
    first = isinstance(layer, BandLinear)
    bands = layer.groups if isinstance(layer, BandLinear) else 1
    weight = layer.weight.detach().flatten(1).unflatten(0, (bands, -1))  # (bands, hidden, in)
    x = torch.rand(bands, batch, weight.shape[2])
    gradient = torch.rand(bands, batch, weight.shape[1])

    def call() -> list[Tensor]:
        y = torch.bmm(x, weight.transpose(1, 2))
        layer.weight.grad = torch.bmm(gradient.transpose(1, 2), x).view(layer.weight.shape)
        return [y] if first else [y, torch.bmm(gradient, weight)]

    return x, gradient, call


def makers() -> dict[str, Callable[[], Call]]:
    """What this process can time, by `key`."""
    found: dict[str, Callable[[], Call]] = {}
    for case in cases():
        name, in_chans = case.benchmark, case.shape[1]
        for implementation, prepare in variants(case).items():
            one_image = case.direction == INFERENCE
            make = partial(inference, name, prepare) if one_image else partial(training_step, name, in_chans, prepare)
            found[key(case, implementation)] = make
        if name in LIVE_MODELS:
            found[key(case, PRODUCTS)] = partial(matrix_products, name, in_chans)
    return found


def variants(case: Case) -> dict[str, Prepare]:
    """Ours in a case."""
    return INFERENCES if case.direction == INFERENCE else STEPS


def key(case: Case, implementation: str) -> str:
    """Name of a call in the process of ours."""
    return f"{case.benchmark}, {case.input}, {case.direction}, {implementation}"


def cases(quick: bool = False) -> list[Case]:
    """The paper's model, then ours at one and three channels."""
    found = []
    for threads in (1, 2):
        found.append(Case(PAPER_MODEL, f"{BATCH}x1x{SIDE}x{SIDE}", "haar", "5", STEP, threads))
        found.append(Case(PAPER_MODEL, f"1x1x{SIDE}x{SIDE}", "haar", "5", INFERENCE, threads))
        found += [
            Case(name, f"{BATCH}x{in_chans}x{SIDE}x{SIDE}", "haar", "3", STEP, threads)
            for name, in_chans in product(LIVE_MODELS, (1, 3))
        ]
    return [case for case in found if not quick or (case.threads == 1 and case.benchmark == PAPER_MODEL)]


def measure(wanted: Sequence[Case], seconds: float) -> Iterator[list[Record]]:
    """The records of one case after the other, `seconds` an implementation."""
    for threads in dict.fromkeys(case.threads for case in wanted):
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())  # the original must not find this checkout
            ours = stack.enter_context(
                remote_blocks([sys.executable, "-W", "ignore", "-m", "benchmarks.models", str(threads)])
            )
            theirs: dict[str, Block] = {}
            note = ""
            try:
                command = original.command(ORIGINAL_SCRIPT, *original_arguments(threads))
                environment = original.environment(threads)
                theirs = stack.enter_context(remote_blocks(command, cwd=folder, env=environment))
            except original.Unavailable as reason:
                note = str(reason)
            for case in wanted:
                if case.threads == threads:
                    yield measure_case(case, seconds, ours, theirs, note)


def original_arguments(threads: int) -> list[str]:
    """Arguments of `ORIGINAL_SCRIPT`."""
    return [str(threads), json.dumps(original.TUNED), str(Path(__file__).parents[1])]


def measure_case(
    case: Case, seconds: float, ours: Mapping[str, Block], theirs: Mapping[str, Block], note: str = ""
) -> list[Record]:
    """Time a case in turn; `note` says why there is no original."""
    blocks = {name: ours[key(case, name)] for name in variants(case)}
    roles = dict.fromkeys(blocks, OURS)
    skips: list[Record] = []
    if case.benchmark in LIVE_MODELS:
        blocks[PRODUCTS], roles[PRODUCTS] = ours[key(case, PRODUCTS)], FLOOR
    elif theirs:
        blocks[ORIGINAL], roles[ORIGINAL] = theirs[case.direction], PEER
    else:
        skips = [skipped(case, ORIGINAL, PEER, note)]
    timings = interleaved(blocks, seconds)
    return with_ratios(skips + [timed(case, name, roles[name], timing) for name, timing in timings.items()])


if __name__ == "__main__":
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # says that there is no GPU
    keep_freed_memory()
    torch._dynamo.config.recompile_limit = 64  # the models share their code, and each is a recompilation of it
    torch.set_num_threads(int(sys.argv[1]))
    serve(makers())
