"""Circuits that compute weights: Cartesian Genetic Programming over 8-bit operators.

Needs numba (`pip install 'wavpool[circuits]'`), which is imported where a circuit is first evaluated.
"""

from .circuit import Circuit, Price
from .costs import Costs
from .costs import load as load_costs
from .grid import Grid
from .problem import Problem
from .problem import parse as parse_problem
from .problem import read as read_problem
from .problem import write as write_problem
from .settings import Settings, threshold_of

__all__ = [
    "Circuit", "Costs", "Grid", "Price", "Problem", "Settings", "load_costs", "parse_problem", "read_problem",
    "threshold_of", "write_problem",
]  # fmt: skip
