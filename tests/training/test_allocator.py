"""Large freed blocks stay in the process: later tensors reuse them without page faults."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import torch
from training.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
for step in range(20):
    if step == 10:  # the heap has grown to what is needed
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.relu(torch.ones(2**24) * 2)  # 64 MiB each
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(setting: str) -> int:
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, setting]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_keeps_freed_memory() -> None:
    assert page_faults("kept") < page_faults("returned") / 10
