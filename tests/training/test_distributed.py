"""Two processes train as one does: same batches, same weights to rounding, exact validation."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from training.config import load_config
from training.engine import fit

RUN = """
data: digits
model: mlp_paper
limit: [1024, 299, 300]
epochs: 3
batch_size: 128
optimizer: sgd
lr: 0.1
augment: crop
accelerator: cpu
"""


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["lightning", "torchrun"])
def test_two_processes_train_as_one(launcher: str, start: Callable[..., object], tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(RUN)
    arguments = ["--config", file, "--output", tmp_path / "two", "--devices", 2, "--strategy", "ddp"]
    if launcher == "torchrun":
        process = start(
            "torch.distributed.run", "--standalone", "--nproc-per-node", 2, "-m", "training.train_model", *arguments
        )
    else:
        process = start("training.train_model", *arguments)
    _, err = process.communicate()  # type: ignore[attr-defined]
    assert process.returncode == 0, err  # type: ignore[attr-defined]
    fit(load_config(file), tmp_path / "one", progress=False)

    def history(name: str) -> list[dict[str, str]]:
        with (tmp_path / name / "history.csv").open() as file:
            return list(csv.DictReader(file))

    for two, one in zip(history("two"), history("one"), strict=True):
        for key in one.keys() - {"seconds"}:
            assert float(two[key]) == pytest.approx(float(one[key]), abs=1e-5), key
    weights = load_file(tmp_path / "one" / "model.safetensors")
    for key, value in load_file(tmp_path / "two" / "model.safetensors").items():
        assert value.numpy() == pytest.approx(weights[key].numpy(), abs=1e-5)
