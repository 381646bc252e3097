"""Large freed blocks stay in the process: a second use of the same size faults in no page."""

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
torch.empty(2**24).fill_(1)  # 64 MiB
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.empty(2**24).fill_(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(setting: str) -> int:
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, setting]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_keeps_freed_memory() -> None:
    assert page_faults("kept") < page_faults("returned") / 10
