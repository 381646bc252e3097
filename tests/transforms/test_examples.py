"""The examples of the docstrings."""

import doctest
import importlib
import pkgutil

import pytest
import torch

from wavpool import transforms

MODULES = [each.name for each in pkgutil.walk_packages(transforms.__path__, "wavpool.transforms.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    if name.endswith("triton_haar"):
        pytest.importorskip("triton")
    failures, _ = doctest.testmod(importlib.import_module(name), extraglobs={"torch": torch})
    assert failures == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    assert sum(bool(test.examples) for name in MODULES for test in finder.find(importlib.import_module(name))) > 50
