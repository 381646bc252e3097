"""Fixtures of the transforms' tests."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from wavpool.transforms import native


@pytest.fixture(params=["fused", "plain"])
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both ways that a multi-level transform may be computed: by the compiled kernel and by torch alone."""
    with native.disabled() if request.param == "plain" else nullcontext():
        yield request.param
