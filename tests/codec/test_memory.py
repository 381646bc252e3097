"""Memory that reading a file takes, as the kernel counts it for a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from wavpool.codec import compress

MIB = 2**20
READ = """
import re, sys
import torch
from wavpool.codec import load

def peak():
    return 1024 * int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])

torch.set_num_threads(1)
with load(sys.argv[1]) as small:  # compiles and loads what it takes to decode at all
    small.state_dict()
with load(sys.argv[2]) as file:
    open("/proc/self/clear_refs", "w").write("5")  # the peak starts anew
    before = peak()
    state = file.state_dict()
    print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells a process's peak of memory")
@pytest.mark.parametrize(
    ("method", "profile", "basis"),
    [
        ("uniform", "small", "none"),
        ("trellis", "small", "none"),
        ("uniform", "fast", "none"),
        ("uniform", "fast", "dct@row"),
        ("uniform", "fast", "dct@map:2x32x32"),
        ("trellis", "fast", "haar@matrix"),
    ],
)
def test_decoding_takes_the_model_and_one_tensor(method: str, profile: str, basis: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    models = nn.Linear(1024, 128), nn.Sequential(*[nn.Linear(2048, 1024, bias=False) for _ in range(3)])
    paths = [tmp_path / "small.wvp", tmp_path / "large.wvp"]
    for model, path, name in zip(models, paths, (basis.replace(":2x", ":1x"), basis), strict=True):
        compress(model, method=method, step=2.0, basis=name, profile=profile).save(path)
    result = subprocess.run(
        [sys.executable, "-c", READ, *map(str, paths)],
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},  # counts what is held, not what malloc keeps for later
        capture_output=True,
        text=True,
        check=True,
    )
    tensor = 1024 * 2048 * 4
    assert int(result.stdout) <= 3 * tensor + tensor + 2 * paths[1].stat().st_size + 2 * MIB
