"""Register this package's models in every Python process that a script of timm starts.

`wavpool.timm` puts this folder first on $PYTHONPATH, and Python imports `sitecustomize` when it starts.
"""

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

_here = Path(__file__).parent
if str(_here.parents[1]) not in sys.path:  # a checkout that is not installed
    sys.path.append(str(_here.parents[1]))

import wavpool  # noqa: E402, F401  # the models are registered when timm is imported

# The environment's own sitecustomize, which this one hides, runs as well.
_hidden = PathFinder.find_spec("sitecustomize", [folder for folder in sys.path if Path(folder) != _here])
if _hidden is not None and _hidden.loader is not None:
    _hidden.loader.exec_module(module_from_spec(_hidden))
