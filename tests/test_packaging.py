"""The package's files agree with each other, and what is built from the tree installs and runs outside the checkout."""

import email
import email.message
import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections import defaultdict
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import wavpool
from wavpool.transforms import native

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = tomllib.loads((ROOT / "poetry.lock").read_text())
VERSION: str = PYPROJECT["project"]["version"]
WHEEL_NAME = f"wavpool-{VERSION}-py3-none-any.whl"
SDIST_NAME = f"wavpool-{VERSION}.tar.gz"
Pins = dict[tuple[str, str], set[str]]


def pins_of_requirements(text: str) -> Pins:
    """Name and version -> hashes of an exported requirements file."""
    pins: Pins = {}
    for entry in text.replace("\\\n", " ").splitlines():
        requirement, *hashes = entry.split(" --hash=")
        if requirement.strip():
            name, version = requirement.split(";")[0].strip().split("==")
            pins[canonicalize_name(name.split("[")[0]), version] = {value.strip() for value in hashes}
    return pins


def pins_of_lock() -> Pins:
    return {(p["name"], p["version"]): {file["hash"] for file in p["files"]} for p in LOCK["package"]}


def metadata_of_wheel(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        return email.message_from_bytes(archive.read(f"wavpool-{VERSION}.dist-info/METADATA"))


def files_of_sdist(sdist: Path) -> dict[str, bytes]:
    with tarfile.open(sdist) as archive:
        members = {m.name: archive.extractfile(m) for m in archive.getmembers() if m.isfile()}
        return {name.split("/", 1)[1]: file.read() for name, file in members.items() if file}


class TestLock:
    def test_requirements_are_the_lock(self):
        assert pins_of_requirements((ROOT / "requirements.txt").read_text()) == pins_of_lock()

    def test_every_declared_dependency_is_locked_within_its_bounds(self):
        locked = defaultdict(set)
        for package in LOCK["package"]:
            locked[package["name"]].add(package["version"])
        project = PYPROJECT["project"]
        declared = [
            *project["dependencies"],
            *PYPROJECT["dependency-groups"]["dev"],
            *PYPROJECT["build-system"]["requires"],
        ]
        for extra in project["optional-dependencies"].values():
            declared += extra
        for requirement in map(Requirement, declared):
            versions = locked[canonicalize_name(requirement.name)]
            assert versions, f"{requirement} is not in poetry.lock"
            assert all(requirement.specifier.contains(version) for version in versions), (requirement, versions)

    def test_extras_are_locked(self):
        extras = PYPROJECT["project"]["optional-dependencies"]
        declared = {extra: {canonicalize_name(Requirement(r).name) for r in names} for extra, names in extras.items()}
        locked = {
            extra: {canonicalize_name(Requirement(r).name) for r in names} for extra, names in LOCK["extras"].items()
        }
        assert locked == declared

    @pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
    @pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
    def test_pip_finds_one_version_of_each_package(self, python: str, machine: str):
        environment = {"python_version": python, "python_full_version": f"{python}.0", "platform_machine": machine}
        environment |= {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "extra": ""}
        chosen = defaultdict(list)
        for line in re.findall(r"^\S+==.*?(?= \\$)", (ROOT / "requirements.txt").read_text(), re.MULTILINE):
            requirement, _, marker = line.partition(" ; ")
            if not marker or Marker(marker).evaluate(environment):
                chosen[requirement.split("==")[0]].append(requirement)
        assert len(chosen) > 100
        assert [versions for versions in chosen.values() if len(versions) > 1] == []

    @pytest.mark.parametrize("name", ["poetry.lock", "requirements.txt"])
    def test_names_no_host(self, name: str):
        text = (ROOT / name).read_text()
        assert "://" not in text
        assert "index-url" not in text


class TestRelease:
    """A release is a version, a CHANGELOG entry and the pair of archives in dist/."""

    def test_version_is_one(self):
        assert wavpool.__version__ == VERSION
        assert re.search(rf"^version: {re.escape(VERSION)}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)

    def test_newest_changelog_entry_is_the_version(self):
        entries = re.findall(
            r"^## \[(\d[^\]]*)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
        )
        assert entries[0] == VERSION

    def test_dist_holds_the_pair_of_this_version(self):
        assert {path.name for path in (ROOT / "dist").iterdir()} == {WHEEL_NAME, SDIST_NAME}

    def test_archives_say_this_version(self):
        in_wheel = metadata_of_wheel(ROOT / "dist" / WHEEL_NAME)
        in_sdist = email.message_from_bytes(files_of_sdist(ROOT / "dist" / SDIST_NAME)["PKG-INFO"])
        assert in_wheel["Name"] == in_sdist["Name"] == "wavpool"
        assert in_wheel["Version"] == in_sdist["Version"] == VERSION

    def test_archives_hold_the_same_package(self):
        with zipfile.ZipFile(ROOT / "dist" / WHEEL_NAME) as archive:
            in_wheel = {name: archive.read(name) for name in archive.namelist() if name.startswith("wavpool/")}
        in_sdist = files_of_sdist(ROOT / "dist" / SDIST_NAME)
        assert in_wheel
        assert in_wheel == {name: content for name, content in in_sdist.items() if name.startswith("wavpool/")}


def build_archives(folder: Path) -> None:
    """Build the wheel and the sdist of the tree as `make dist` does."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT]
    environment = os.environ | {"SOURCE_DATE_EPOCH": "315532800"}
    subprocess.run(command, env=environment, check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a wheel and an sdist built from the tree."""
    folder = tmp_path_factory.mktemp("built")
    build_archives(folder)
    return folder


class TestBuild:
    def test_wheel_holds_the_package_alone(self, built: Path):
        with zipfile.ZipFile(built / WHEEL_NAME) as archive:
            names = set(archive.namelist())
        in_tree = {
            p.relative_to(ROOT).as_posix()
            for p in (ROOT / "wavpool").rglob("*")
            if p.is_file() and "__pycache__" not in p.parts
        }
        assert {"wavpool/__init__.py", "wavpool/py.typed"} <= in_tree
        assert {name for name in names if not name.startswith(f"wavpool-{VERSION}.dist-info/")} == in_tree

    def test_sdist_holds_what_a_packager_needs(self, built: Path):
        names = set(files_of_sdist(built / SDIST_NAME))
        others = {name for name in names if not name.startswith("wavpool/")}
        documents = {"CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "docs/package.md"}
        assert others == {*documents, "PKG-INFO", "pyproject.toml"}

    def test_metadata(self, built: Path):
        metadata = metadata_of_wheel(built / WHEEL_NAME)
        assert metadata["License-Expression"] == "MIT"
        assert metadata["Requires-Python"] == ">=3.11"
        assert set(metadata.get_all("Provides-Extra")) == set(PYPROJECT["project"]["optional-dependencies"])
        unconditional = {r.name for r in map(Requirement, metadata.get_all("Requires-Dist")) if r.marker is None}
        assert unconditional == {"torch", "numpy", "PyWavelets", "timm"}

    def test_description_has_no_link_into_the_checkout(self, built: Path):
        description = metadata_of_wheel(built / WHEEL_NAME).get_payload()
        targets = re.findall(r"\]\(([^)]+)\)", description)
        assert targets
        assert all(target.startswith("https://") for target in targets), targets

    def test_archives_are_reproducible(self, built: Path, tmp_path: Path):
        build_archives(tmp_path)
        for name in (WHEEL_NAME, SDIST_NAME):
            assert (tmp_path / name).read_bytes() == (built / name).read_bytes()


MODEL_RUN = """
import json, timm, torch, wavpool
from wavpool.transforms import native
model = timm.create_model("wavpool_dense_small", num_classes=10).eval()
logits = model(torch.zeros(2, 3, 32, 32))
finite = bool(logits.isfinite().all())
trained = timm.create_model("wavpool_paper_mnist.mnist", pretrained=True)  # its weights are in the archive
print(json.dumps([wavpool.__file__, wavpool.__version__, list(logits.shape), finite, native.status()]))
"""


class TestInstall:
    """The archives, installed into a fresh environment whose heavy libraries are this environment's."""

    @pytest.mark.parametrize("name", [WHEEL_NAME, SDIST_NAME])
    def test_model_runs_outside_the_checkout(self, built: Path, name: str, tmp_path: Path):
        venv = tmp_path / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        python = venv / "bin" / "python"
        self.borrow_libraries(python)
        pip = [sys.executable, "-m", "pip", "--python", python, "install"]
        offline = ["--no-deps", "--no-index", "--no-build-isolation"]
        subprocess.run([*pip, *offline, "--ignore-installed", built / name], check=True, capture_output=True, text=True)
        environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}}
        command = [python, "-c", MODEL_RUN]
        run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        file, version, shape, finite, kernel = json.loads(run.stdout)
        assert Path(file).is_relative_to(venv)
        assert (version, shape, finite) == (VERSION, [2, 10], True)
        assert kernel == native.status()  # its sources are in the archive, so it is the same library

    @staticmethod
    def borrow_libraries(python: Path) -> None:
        """Let another environment find this one's libraries, after its own and without this one's editable installs."""
        query = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
        site_packages = subprocess.run(query, check=True, capture_output=True, text=True).stdout.strip()
        libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        (Path(site_packages) / "libraries.pth").write_text("\n".join(sorted(libraries)) + "\n")
