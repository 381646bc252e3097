"""Register the models when timm is imported, before or after wavpool, without importing it for those who need none.

timm has no plug-in discovery, and importing it costs seconds. If it is there already, the models are registered at
once. Otherwise a finder on `sys.meta_path` waits for `import timm`, lets the usual finders load it, and registers then.
"""

import importlib
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any


def install() -> None:
    """Arrange for `wavpool.models` to be imported as soon as timm is; doing it twice is harmless."""
    if sys.modules.get("timm") is not None:
        importlib.import_module("wavpool.models")
    elif not any(isinstance(finder, _TimmFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _TimmFinder())


class _TimmFinder:
    """A meta-path finder that wraps the loader of `timm`, and is gone once timm has been loaded.

    It stays until then: others ask for the spec of timm only to learn whether it is installed.
    """

    def __init__(self) -> None:
        self.searching = False

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != "timm" or self.searching:
            return None
        self.searching = True
        try:
            spec = find_spec("timm")
        finally:
            self.searching = False
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module: ModuleType) -> None:
                load(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                importlib.import_module("wavpool.models")

            spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec
