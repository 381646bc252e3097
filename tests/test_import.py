"""What `import wavpool` brings in, and what happens when timm is absent, early, late or broken."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COUNT = "len(timm.list_models('wavpool*'))"
ASKS = [
    "wavpool.load_wavpool_0_1",
    "wavpool.models",
    "from wavpool.models import WavPoolDense",
    "import wavpool.models",
]


def run(code: str, *first_on_path: Path) -> str:
    """Run code in a fresh interpreter; its standard output."""
    path = os.pathsep.join(map(str, [*first_on_path, ROOT]))
    environment = {**os.environ, "PYTHONPATH": path}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.fixture(params=["absent", "ImportError", "RuntimeError"])
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    """A folder whose timm cannot be imported, and what the message must say of it."""
    package = tmp_path / "timm"
    package.mkdir()
    if request.param == "absent":
        body, said = 'raise ModuleNotFoundError("No module named \'timm\'", name="timm")', "No module named 'timm'"
    elif request.param == "ImportError":
        body, said = 'raise ImportError("libcudart.so is missing")', "ImportError: libcudart.so is missing"
    else:
        said = "RuntimeError: operator torchvision::nms does not exist"
        body = 'raise RuntimeError("operator torchvision::nms does not exist")'
    (package / "__init__.py").write_text(body + "\n")
    return tmp_path, said


def test_import_is_cheap() -> None:
    heavy = ["timm", "torchvision", "scipy", "matplotlib", "pandas", "lightning", "sklearn", "optuna", "onnx"]
    loaded = run(f"import json, sys, wavpool; print(json.dumps([name for name in {heavy} if name in sys.modules]))")
    assert json.loads(loaded) == []


def test_transforms_and_layers_import_little() -> None:
    """Each of these costs more than all of our own modules, or is not everywhere."""
    heavy = {"timm", "pywt", "scipy", "torch._dynamo", "triton"}
    assert run(f"import sys, wavpool.transforms, wavpool.layers; print({heavy} & set(sys.modules))") == "set()"


@pytest.mark.parametrize(
    "code",
    [
        "import timm, wavpool",
        "import wavpool, timm",
        "import wavpool.models, timm",
        # Installed twice, then looked for without being imported, as other libraries do.
        "import importlib.util, wavpool; importlib.reload(wavpool); importlib.util.find_spec('timm'); import timm",
        "import wavpool; from timm.models import create_model; import timm",
    ],
)
def test_models_are_registered(code: str) -> None:
    assert int(run(f"{code}; print({COUNT})")) >= 7


def test_broken_timm_does_not_stand_in_the_way(broken: tuple[Path, str]) -> None:
    code = """
import torch, wavpool
assert wavpool.transforms.wavedec2(torch.ones(4, 4))[0].item() == 4
print(tuple(wavpool.layers.WavPool(8, 4)(torch.zeros(2, 1, 8, 8)).shape))
"""
    assert run(code, broken[0]) == "(2, 18)"


def test_broken_timm_is_named_when_a_model_is_asked_for(broken: tuple[Path, str]) -> None:
    folder, said = broken
    code = f"""
import json, sys, wavpool
messages = []
for ask in {ASKS!r}:
    try:
        exec(ask)
    except ImportError as error:
        messages.append(str(error))
print(json.dumps(messages))
"""
    messages = json.loads(run(code, folder))
    assert len(messages) == len(ASKS)
    for message in messages:
        assert "\n" not in message
        assert message.startswith("the models of wavpool need timm")
        assert said in message
        assert "pip install --upgrade timm" in message


def test_import_survives_a_blocked_timm() -> None:
    code = "import sys; sys.modules['timm'] = None; import wavpool, wavpool.layers; print(wavpool.__version__)"
    assert run(code).count(".") == 2


def test_names_are_found_and_missing_ones_are_refused() -> None:
    code = """
import wavpool
assert set(dir(wavpool)) >= {"layers", "models", "transforms", "load_wavpool_0_1", "__version__"}
try:
    wavpool.nothing
except AttributeError as error:
    print(error)
"""
    assert run(code) == "module 'wavpool' has no attribute 'nothing'"
