"""The machinery of the benchmarks, on tiny inputs. No test asserts a time."""

import csv
import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pywt
import torch
from torch import Tensor

from benchmarks import __main__ as command
from benchmarks import figure, imports, models, original, spectral, transforms
from benchmarks.document import document, summary_table
from benchmarks.fetch import Unavailable, fetch
from benchmarks.imagenet import count_macs, create, feature_maps
from benchmarks.imagenet import main as imagenet
from benchmarks.implementations import IMPLEMENTATIONS, Implementation, Problem, Transform
from benchmarks.records import (
    BOTH,
    FLOOR,
    FORWARD,
    OURS,
    PEER,
    TRANSFORM,
    Case,
    Record,
    read_records,
    skipped,
    timed,
    with_ratios,
    write_records,
)
from benchmarks.targets import TARGETS, Target, evaluate
from benchmarks.timing import Timing, block, interleaved, remote_blocks, summarize
from training.files import write_csv
from wavpool.layers import BandLinear

NAMES = {implementation.name: implementation for implementation in IMPLEMENTATIONS}
CASE = Case(TRANSFORM, "1x2x8x8", "haar", "2", FORWARD, 1)


def record(name: str, role: str, milliseconds: float, case: Case = CASE) -> Record:
    return timed(case, name, role, Timing(milliseconds, 0.5, 7), "zero")


# Timing.


def test_summarize() -> None:
    assert summarize([4.0, 1.0, 3.0, 2.0, 100.0]) == Timing(3.0, 2.0, 5)
    assert summarize([7.0]) == Timing(7.0, 0.0, 1)


def test_block_counts_every_call_but_the_first() -> None:
    calls: list[None] = []
    times = block(lambda: calls.append(None))(0.001)
    assert len(times) == len(calls) - 1 >= 1
    assert min(times) >= 0


def test_block_counts_the_first_of_a_long_call_once_it_is_warm() -> None:
    calls: list[None] = []

    def call() -> None:
        calls.append(None)
        time.sleep(0.002)

    measure = block(call)
    assert [len(measure(0.001)), len(calls)] == [1, 2]
    assert [len(measure(0.001)), len(calls)] == [1, 3]


def test_blocks_take_turns() -> None:
    order: list[str] = []

    def fake(name: str) -> Callable[[float], list[float]]:
        def measure(seconds: float) -> list[float]:
            assert seconds == 0.5
            order.append(name)
            return [float(len(order))]

        return measure

    result = interleaved({"a": fake("a"), "b": fake("b")}, seconds=2.0, rounds=4)
    assert order == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert result["a"] == summarize([1.0, 4.0, 5.0, 8.0])


def test_blocks_of_another_process() -> None:
    script = f"""
import subprocess
import sys
sys.path.append({str(Path(__file__).parents[1])!r})
from benchmarks.timing import serve
serve({{"a": lambda: lambda: None, "b": lambda: lambda: 1 / 0}})
assert "torch" not in sys.modules and "wavpool" not in sys.modules
"""
    with remote_blocks([sys.executable, "-c", script]) as blocks:
        assert list(blocks) == ["a", "b"]
        assert len(blocks["a"](0.001)) >= 1
    with (
        pytest.raises(subprocess.CalledProcessError),
        remote_blocks([sys.executable, "-c", "raise SystemExit(3)"]),
    ):
        pass


# Records.


def test_ratios() -> None:
    records = with_ratios(
        [
            record("clone", FLOOR, 1.0),
            record("slow", PEER, 30.0),
            record("quick", PEER, 10.0),
            record("plain", OURS, 4.0),
            skipped(CASE, "gone", PEER, "no network"),
        ]
    )
    assert [r.ratio_to_floor for r in records] == [1.0, 30.0, 10.0, 4.0, None]
    assert [r.speedup for r in records] == [10.0, 10.0 / 30.0, 1.0, 2.5, None]


def test_records_come_back_from_csv(tmp_path: Path) -> None:
    records = with_ratios([record("clone", FLOOR, 1.25), skipped(CASE, "gone", PEER, "no, network")])
    write_records(tmp_path / "a.csv", records)
    assert read_records(tmp_path / "a.csv") == records
    assert read_records(tmp_path / "b.csv") == []


# Transforms.


@pytest.mark.parametrize("name", [name for name in NAMES if name != "clone"])
@pytest.mark.parametrize(("wavelet", "levels", "side"), [("haar", 2, 12), ("db4", 1, 16), ("bior4.4", 1, 19)])
def test_implementations_agree_with_pywavelets(name: str, wavelet: str, levels: int, side: int) -> None:
    try:
        found = NAMES[name].build(Problem(wavelet, levels, channels=2))
    except Unavailable as reason:
        pytest.skip(str(reason))
    x = torch.randn(2, 2, side, side, generator=torch.Generator().manual_seed(0))
    for transform in found.values():
        transforms.check(transform, x)
        if transform.differentiable:
            tensors = transform.tensors(transform.call(x.requires_grad_()))
            assert all(tensor.requires_grad for tensor in tensors)
            x = x.detach()


def test_a_wrong_result_is_not_timed() -> None:
    def build(problem: Problem) -> dict[str, Transform]:
        right = NAMES["WTConv's DWT"].build(problem)["zero, centred"]

        def fail(x: Tensor) -> Any:
            raise RuntimeError("no such mode\nat all")

        def wrong(x: Tensor) -> Any:
            low, details = right.call(x)
            return low, [1.001 * detail for detail in details]

        def short(x: Tensor) -> Any:
            return right.call(x)[0], []

        calls = {"fails": fail, "wrong": wrong, "short": short}
        return {mode: dataclasses.replace(right, call=call) for mode, call in calls.items()} | {"right": right}

    (found,) = transforms.measure_case(CASE, 0.001, [Implementation("library", PEER, build)])
    assert found.mode == "right"
    assert found.median_ms is not None
    assert found.note == (
        "mode 'fails' was not timed: RuntimeError: no such mode; "
        "mode 'wrong' was not timed: WrongResult: it differs from PyWavelets; "
        "mode 'short' was not timed: WrongResult: it differs from PyWavelets"
    )


def test_the_fastest_mode_is_timed() -> None:
    right = NAMES["WTConv's DWT"].build(Problem("haar", 2, 2))["zero, centred"]

    def slow(x: Tensor) -> Any:
        time.sleep(0.02)
        return right.call(x)

    modes = {"slow": dataclasses.replace(right, call=slow), "quick": right}
    assert transforms.fastest_mode(modes, torch.randn(CASE.shape), FORWARD).mode == "quick"


@pytest.mark.parametrize("direction", [FORWARD, BOTH])
def test_a_case(direction: str) -> None:
    def unavailable(problem: Problem) -> dict[str, Transform]:
        raise Unavailable("pip cannot download it")

    compared = [NAMES[name] for name in ("clone", "PyWavelets", "plain")]
    records = transforms.measure_case(
        dataclasses.replace(CASE, direction=direction), 0.001, [*compared, Implementation("gone", PEER, unavailable)]
    )
    expected = ["clone", "PyWavelets", "plain", "gone"]
    if direction == BOTH:
        expected.remove("PyWavelets")  # it has no gradients
    assert [r.implementation for r in records] == expected
    assert records[0].ratio_to_floor == 1.0
    assert records[-1].note == "pip cannot download it"
    assert records[-1].median_ms is None
    assert all(r.median_ms and r.runs for r in records[:-1])


def test_cases_are_possible_and_distinct() -> None:
    for quick in (False, True):
        cases = transforms.cases(quick)
        assert len(set(cases)) == len(cases)
        for case in cases:
            assert int(case.levels) <= pywt.dwt_max_level(min(case.shape[-2:]), case.wavelet)
    assert {(case.input, case.levels) for case in transforms.cases() if case.wavelet == "haar"} == {
        ("64x1x32x32", "3"), ("64x1x32x32", "5"), ("640x1x32x32", "3"), ("640x1x32x32", "5"),
        ("8x64x56x56", "3"), ("8x64x56x56", "5"), ("4x3x512x512", "3"), ("4x3x512x512", "9"),
    }  # fmt: skip


def test_a_process_of_its_own() -> None:
    (found,) = transforms.measure([CASE], 0.001)
    assert [r.implementation for r in found] == list(NAMES)
    assert all(r.case == CASE for r in found)
    assert next(r for r in found if r.role == FLOOR).ratio_to_floor == 1.0


# Models and import.


@pytest.fixture
def small_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "BATCH", 4)


@pytest.mark.usefixtures("small_batch")
def test_steps_train() -> None:
    for in_chans in (1, 3):
        models.training_step("wavpool_dense_tiny", in_chans, models.STEPS["eager"])()
    logits = models.inference("wavpool_paper_cifar10", models.INFERENCES["eager"])()
    assert isinstance(logits, Tensor)
    assert logits.shape == (1, 10)
    assert not logits.requires_grad


@pytest.mark.usefixtures("small_batch")
def test_products_are_those_of_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    create = models.timm.create_model
    monkeypatch.setattr(models.timm, "create_model", lambda *a, **k: made.append(create(*a, **k)) or made[-1])
    call = models.matrix_products("wavpool_dense_tiny", in_chans=3)
    before = [parameter.detach().clone() for parameter in made[0].parameters()]
    call()
    for (name, parameter), old in zip(made[0].named_parameters(), before, strict=True):
        moved = not torch.equal(parameter, old)
        assert moved == (parameter.ndim > 1), name  # weights of matrices, not biases and norms


def test_products_of_one_layer() -> None:
    layer = BandLinear(2, (3, 3), 5, bands=3)
    x, gradient, forward = models.ready_made(layer, batch=4)
    (y,) = forward()
    out = layer(x.view(3, 4, 2, 3, 3).permute(1, 2, 0, 3, 4))
    torch.testing.assert_close(y.transpose(0, 1) + layer.bias.view(3, 5), out)
    (expected,) = torch.autograd.grad(out, layer.weight, gradient.transpose(0, 1))
    torch.testing.assert_close(layer.weight.grad, expected)


def test_model_cases() -> None:
    step, inference = models.cases(quick=True)
    fake = {models.key(step, name): (lambda seconds: [2.0]) for name in models.STEPS}
    found = models.measure_case(step, 0.1, fake, {step.direction: lambda seconds: [30.0]})
    assert {r.implementation: r.speedup for r in found if r.role == OURS} == {"eager": 15.0, "compiled": 15.0}
    found = models.measure_case(step, 0.1, fake, {}, note="no network")
    assert [r.note for r in found if r.role == PEER] == ["no network"]
    assert set(models.makers()) >= {models.key(case, "compiled") for case in models.cases()}
    assert inference.shape == (1, 1, 32, 32)


def test_the_originals_script_serves(tmp_path: Path) -> None:
    try:
        environment = original.environment(threads=1)
    except Unavailable as reason:
        pytest.skip(str(reason))
    script = models.ORIGINAL_SCRIPT.replace("640", "4")
    arguments = models.original_arguments(threads=1)
    with remote_blocks(original.command(script, *arguments), cwd=tmp_path, env=environment) as blocks:
        assert all(len(blocks[direction](0.001)) >= 1 for direction in (step.direction for step in models.cases(True)))


def test_import_time() -> None:
    (found,) = next(iter(imports.measure(imports.cases(quick=True), 0.0, rounds=1)))
    assert found.median_ms is not None
    assert found.median_ms > 0


# Fetching.


def test_fetch_leaves_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    with pytest.raises(Unavailable, match=r"pip cannot download ptwt==0\.0\.0: "):
        fetch("ptwt-0.0.0", ["ptwt==0.0.0"], folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "there").mkdir()
    assert fetch("there", ["ptwt==0.0.0"], folder=tmp_path) == tmp_path / "there"


# The page.


def everything() -> list[Record]:
    records = []
    for module in (transforms, models, imports):
        for number, case in enumerate(module.cases(), start=1):
            floor = record("clone" if module is transforms else models.PRODUCTS, FLOOR, 1.0, case)
            peer = record("library" if module is transforms else models.ORIGINAL, PEER, 20.0 * number, case)
            ours = [record(name, OURS, 2.5, case) for name in ("plain", "fused", "eager", "compiled")]
            records += with_ratios([floor, peer, *ours])
    return records


def test_targets() -> None:
    records = [record("clone", FLOOR, 1.0), record("library", PEER, 6.0), record("fused", OURS, 2.0)]
    other = dataclasses.replace(CASE, threads=2)
    records = with_ratios(records) + with_ratios(
        [record("library", PEER, 3.0, other), record("fused", OURS, 2.0, other)]
    )
    at_least = TARGETS[0]
    outcome = evaluate(at_least, records)
    assert [(value, r.threads) for value, r in outcome.values] == [(1.5, 2), (3.0, 1)]
    assert outcome.verdict == "missed"
    assert evaluate(at_least, records[:3]).verdict == "reached"
    assert evaluate(at_least, []).verdict == "not measured"
    at_most = Target("clone", 1.5, lambda case: True, lambda group: group[-1], lambda r: r.ratio_to_floor, upper=True)
    assert evaluate(at_most, records[:3]).verdict == "missed"


def test_every_target_applies_to_some_case() -> None:
    for target in TARGETS:
        outcome = evaluate(target, everything())
        assert outcome.values, target.text


def test_page_and_figure(tmp_path: Path) -> None:
    records = everything()
    slow = dataclasses.replace(CASE, input="64x1x32x32", levels="1")
    records += with_ratios([record("library", PEER, 1.0, slow), record("plain", OURS, 4.0, slow)])
    records += [skipped(slow, "gone", PEER, "no network")]
    text = document(records, {"processor": "one"}, "../results")
    assert "- 64x1x32x32, haar, level 1, plain, forward, 1 thread(s): library is 4.00x faster\n" in text
    assert "- gone, 1 case(s): no network\n" in text
    assert "| haar | 1 | forward | 1 | – | **1** | **4** | – | – | – | – | 0.25x | 0.25x |\n" in text
    assert "- processor: one\n" in text
    rows = summary_table(records).splitlines()[2:]
    assert len(rows) == 16  # inputs x wavelets x directions
    assert "| 64x1x32x32 | db4, 2 levels | forward | library, " in "\n".join(rows)
    assert text.index("### Input 64x1") < text.index("### Input 640x1") < text.index("### Input 4x3x512")
    for target in TARGETS:
        assert target.text in text
    figure.draw([r for r in records if r.benchmark == TRANSFORM and r.threads == 1], tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


# The command.


class Fake:
    """A benchmark of two cases that stops in the second, once."""

    def __init__(self) -> None:
        self.measured: list[str] = []
        self.fails = True

    def cases(self, quick: bool) -> list[Case]:
        return [dataclasses.replace(CASE, levels=level) for level in ("1", "2")]

    def measure(self, wanted: Sequence[Case], seconds: float) -> Iterator[list[Record]]:
        for case in wanted:
            if case.levels == "2" and self.fails:
                raise KeyboardInterrupt
            self.measured.append(case.levels)
            yield [record("plain", OURS, 1.0, case)]


def test_command_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake()
    monkeypatch.setattr(command, "BENCHMARKS", {"fake": fake})
    arguments = ["--output", str(tmp_path)]
    with pytest.raises(KeyboardInterrupt):
        command.main(arguments)
    assert [r.levels for r in read_records(tmp_path / "benchmarks.csv")] == ["1"]
    fake.fails = False
    command.main([*arguments, "--resume"])
    assert fake.measured == ["1", "2"]
    command.main(arguments)
    assert fake.measured == ["1", "2", "1", "2"]
    assert [r.levels for r in read_records(tmp_path / "benchmarks.csv")] == ["1", "2"]
    assert "transforms_1.png)" in (tmp_path / "benchmarks.md").read_text()
    assert (tmp_path / "transforms_1.png").exists()


def test_command_refuses_unknown_names(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["transform"])
    assert "unknown: transform; choose from transforms, models, imports" in capsys.readouterr().err


def test_reference_of_centred_zeros() -> None:
    """Interior coefficients of WTConv's form are those of `periodization`."""
    x = np.random.default_rng(0).standard_normal((1, 1, 32, 32))
    (transform,) = NAMES["WTConv's DWT"].build(Problem("db4", 1, 1)).values()
    expected = pywt.wavedec2(x, "db4", "periodization", 1)[0]
    np.testing.assert_allclose(transform.reference(x)[0][..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], atol=1e-12)


def test_tables_of_spectral_layers_are_made_of_their_csv() -> None:
    with (spectral.FOLDER / "layers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (spectral.FOLDER / "layers.md").read_text(encoding="utf-8") == spectral.table(rows)
    assert (spectral.FOLDER / "summary.md").read_text(encoding="utf-8") == spectral.summary(rows)


# ImageNet.


def test_imagenet_measures_models_and_keeps_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--size", "32", "--batch-size", "2", "--seconds", "0.01", "--threads", "1", "--output", str(tmp_path)]
    kept = {"model": "lenet5", "param_count": "7.5", "img_size": "32", "batch_size": "2", "threads": "1"}
    columns = ("infer_gmacs", "feature_maps", "infer_samples_per_sec", "train_samples_per_sec")
    memory = ("infer_memory_mb", "train_memory_mb")
    write_csv(tmp_path / "imagenet.csv", [dict.fromkeys((*columns, *memory), "1") | kept])
    imagenet(["--models", "vanilla_cnn", *small])
    with (tmp_path / "imagenet.csv").open() as file:
        old, new = csv.DictReader(file)
    assert (old["model"], old["param_count"]) == ("lenet5", "7.5")
    parameters = sum(each.numel() for each in create("vanilla_cnn", 32).parameters())
    assert float(new["param_count"]) == round(parameters / 1e6, 3)
    assert float(new["train_memory_mb"]) >= float(new["infer_memory_mb"])
    assert min(float(new[name]) for name in columns if name != "feature_maps") > 0
    assert "| vanilla_cnn | " in (tmp_path / "imagenet.md").read_text()
    assert "vanilla_cnn" in capsys.readouterr().out


def test_imagenet_refuses_an_unknown_model(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        imagenet(["--models", "no_such_model"])
    assert "timm has no model 'no_such_model'" in capsys.readouterr().err


def test_imagenet_counts_and_shapes() -> None:
    image = torch.rand(1, 3, 48, 48)
    assert count_macs(torch.nn.Conv2d(3, 8, 3, groups=1), torch.zeros(2, 3, 5, 5)) == 2 * 9 * 9 * 3 * 8
    assert feature_maps("vanilla_cnn", image) == "40x12x12 80x6x6 160x3x3"


def test_imagenet_without_feature_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **settings: object) -> None:
        raise RuntimeError("features_only not implemented")

    monkeypatch.setattr("benchmarks.imagenet.create", refuse)
    assert feature_maps("vanilla_cnn", torch.rand(1, 3, 48, 48)) == ""
