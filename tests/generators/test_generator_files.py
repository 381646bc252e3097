"""Where files are looked for, what is said when they are missing, and that a wrong byte never passes."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import socket
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from generators import DataError, cifar_generator, fashion_mnist_generator, load_data, mnist_generator
from generators.data import Options
from generators.download import publish
from generators.files import DataFile, cache_folder, search_folders
from generators.idx_source import load_idx

NAMES = tuple("0123456789")
LIMIT = (30, 10, 10)
RECORDS = 20  # as conftest writes them


def load_small(source, split="paper", download=False, **options):
    return load_idx("mnist", source, NAMES, Options(split, download=download, limit=LIMIT, **options), held_out=10)


def load_small_cifar(source, split="paper", download=False, **options):
    options.setdefault("limit", (50, 20, 10))
    return cifar_generator.load(Options(split, download=download, **options), source, RECORDS, held_out=20)


def plain(name: str) -> bool:
    return not name.endswith(".gz")


def packed(name: str) -> bool:
    return name.endswith(".gz")


@pytest.mark.parametrize("names", [plain, packed])
@pytest.mark.parametrize("layout", ["small", "Small/raw", "."])
def test_idx_layouts(cache, small_idx, place, tmp_path, layout, names):
    source, contents = small_idx
    place(tmp_path / "data" / layout, contents, names)
    data = load_small(source, "official", data_dir=tmp_path / "data")
    images = np.frombuffer(contents["train-images-idx3-ubyte"], np.uint8, offset=16).reshape(60, 1, 5, 4)
    labels = np.frombuffer(contents["train-labels-idx1-ubyte"], np.uint8, offset=8)
    held_out = np.sort(np.random.RandomState(0).permutation(60)[:10])
    assert np.array_equal(data.validation.images, images[held_out])
    assert np.array_equal(data.validation.labels, labels[held_out])
    assert np.array_equal(data.train.images, np.delete(images, held_out, 0)[:30])
    assert np.array_equal(
        data.test.images.flatten(), np.frombuffer(contents["t10k-images-idx3-ubyte"], np.uint8)[16:216]
    )
    assert data.img_size == (5, 4)
    assert data.source == str(tmp_path / "data" / layout)


@pytest.mark.parametrize("layout", ["cifar-10-batches-{}", "cifar10/cifar-10-batches-{}", "."])
def test_cifar_forms_agree(cache, small_cifar, place, tmp_path, layout):
    source, contents = small_cifar
    place(tmp_path / "bin" / layout.format("bin"), contents, lambda name: name.endswith(".bin"))
    place(tmp_path / "py" / layout.format("py"), contents, lambda name: not name.endswith(".bin"))
    binary, python = (load_small_cifar(source, "official", data_dir=tmp_path / form) for form in ("bin", "py"))
    for part in ("train", "validation", "test"):
        assert torch.equal(getattr(binary, part).images, getattr(python, part).images)
        assert torch.equal(getattr(binary, part).labels, getattr(python, part).labels)


def test_cifar_parts_cross_batch_files_in_file_order(cache, small_cifar, place, tmp_path):
    """50 + 20 + 10 images come from the files 1-4 of 20 images each; file 5 and the test file are not asked for."""
    source, contents = small_cifar
    place(tmp_path / "cifar-10-batches-bin", contents, lambda name: name[-5] in "1234")
    data = load_small_cifar(source, data_dir=tmp_path)
    rows = np.frombuffer(b"".join(contents[f"data_batch_{number}.bin"] for number in range(1, 5)), np.uint8)
    rows = rows.reshape(80, 3073)
    for part, (first, last) in {"train": (0, 50), "validation": (50, 70), "test": (70, 80)}.items():
        assert np.array_equal(getattr(data, part).labels, rows[first:last, 0])
        assert np.array_equal(getattr(data, part).images.flatten(1), rows[first:last, 1:])


def test_order_of_the_search(cache, monkeypatch, tmp_path):
    folders = [tmp_path / name for name in ("asked", "first", "second")]
    folders[0].mkdir()
    monkeypatch.setenv("WAVPOOL_DATA", os.pathsep.join(map(str, folders[1:])))
    assert search_folders(folders[0]) == [*folders, cache]
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "wavpool"


def test_an_earlier_folder_wins(cache, small_idx, place, tmp_path, monkeypatch):
    source, contents = small_idx
    for name in ("b", "c"):
        place(tmp_path / name / "small", contents, plain)
    monkeypatch.setenv("WAVPOOL_DATA", os.pathsep.join(str(tmp_path / name) for name in "abc"))
    assert load_small(source).source == str(tmp_path / "b" / "small")
    place(cache / "small", contents, plain)
    assert load_small(source).source == str(tmp_path / "b" / "small")
    assert load_small(source, data_dir=tmp_path / "c").source == str(tmp_path / "c" / "small")


def test_data_dir_must_exist(cache, small_idx, tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist"):
        load_small(small_idx[0], data_dir=tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_offline_and_absent(cache, no_network, name, tmp_path, monkeypatch):
    """One sentence: what, where, why not, and how to place it. Nothing is left in the cache."""
    monkeypatch.setenv("WAVPOOL_DATA", f"{tmp_path}/one{os.pathsep}{tmp_path}/two")
    with pytest.raises(DataError) as caught:
        load_data(name)
    message = str(caught.value)
    wanted = {"mnist": "train-images-idx3-ubyte.gz", "fashion_mnist": "train-images-idx3-ubyte.gz"}
    assert wanted.get(name, "cifar-10-binary.tar.gz") in message
    assert "Network is unreachable" in message
    assert all(str(folder) in message for folder in (tmp_path / "one", tmp_path / "two", cache))
    assert "--data-dir" in message
    assert "$WAVPOOL_DATA" in message
    assert "\n" not in message
    assert no_network
    assert list(cache.iterdir()) == []


def test_no_download_when_it_is_switched_off(cache, no_network):
    with pytest.raises(DataError, match="downloading is switched off"):
        load_data("mnist", download=False)
    assert no_network == []
    assert not cache.exists()


def test_every_mirror_is_tried(cache, no_network, small_idx):
    with pytest.raises(DataError, match=r"mirror\.invalid/b/"):
        load_small(small_idx[0], download=True)
    assert [url.split("/")[3] for url in no_network] == ["a", "b"]


def fake_downloads(monkeypatch, contents):
    """Replace what goes over the network by a write of ``contents``; torchvision's own checks stay in force."""
    fetched = []

    def retrieve(url, filename, *_):
        fetched.append(url)
        Path(filename).write_bytes(contents[url.rsplit("/", 1)[1]])

    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", retrieve)
    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", lambda url, max_hops: url)
    return fetched


def test_download_fills_the_cache_once(cache, small_idx, monkeypatch):
    source, contents = small_idx
    fetched = fake_downloads(monkeypatch, contents)
    first = load_small(source, "official", download=True)
    again = load_small(source, "official", download=True)
    assert len(fetched) == 4
    assert first.source == again.source == str(cache / "small")
    assert sorted(path.name for path in cache.iterdir()) == ["small"]
    assert sorted(path.name for path in (cache / "small").iterdir()) == sorted(filter(packed, contents))


def test_a_download_with_the_wrong_sum_is_not_kept(cache, small_idx, monkeypatch):
    source, contents = small_idx
    bad = contents | {"t10k-labels-idx1-ubyte.gz": contents["t10k-labels-idx1-ubyte.gz"][:-1]}
    fake_downloads(monkeypatch, bad)
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte.gz failed \(File not found or corrupted"):
        load_small(source, download=True)
    assert list(cache.iterdir()) == []


def test_an_interrupted_download_leaves_nothing_and_starts_again(cache, small_idx, monkeypatch):
    source, contents = small_idx
    with monkeypatch.context() as patch:
        fetched = fake_downloads(patch, contents)
        patch.setitem(contents, "train-labels-idx1-ubyte.gz", None)  # write_bytes(None) fails half way through the set

        def interrupt(path: Path, content: bytes | None) -> int:
            if content is None:
                raise KeyboardInterrupt
            return path.open("wb").write(content)

        patch.setattr(Path, "write_bytes", interrupt)
        with pytest.raises(KeyboardInterrupt):
            load_small(source, download=True)
        assert len(fetched) == 2
    assert list(cache.iterdir()) == []
    assert socket.getdefaulttimeout() is None
    fake_downloads(monkeypatch, contents)
    assert load_small(source, download=True).source == str(cache / "small")


def test_the_first_of_two_processes_wins(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
        publish(tmp_path / name, tmp_path / "target")
    assert (tmp_path / "target" / "file").read_text() == "first"


def tar_of(contents: dict[str, bytes], folder: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def with_archives(source, contents):
    """The source whose archives hold ``contents``, and the archives by name."""
    archives, forms = {}, []
    for form in source.forms:
        files = {file.name: contents[file.name] for file in form.files.values()}
        packed = archives[form.archive.name] = tar_of(files, form.places[0])
        archive = DataFile(form.archive.name, f"md5:{hashlib.md5(packed).hexdigest()}")
        forms.append(replace(form, archive=archive))
    downloads = (replace(source.downloads[0], md5=forms[1].archive.digest.removeprefix("md5:")),)
    return replace(source, forms=tuple(forms), downloads=downloads), archives


@pytest.mark.parametrize("number", [0, 1], ids=["binary", "python"])
def test_archives_are_extracted_into_the_cache(cache, small_cifar, place, tmp_path, number):
    source, archives = with_archives(*small_cifar)
    name = source.forms[number].archive.name
    place(tmp_path / "data", {name: archives[name]})
    data = load_small_cifar(source, data_dir=tmp_path / "data")
    folder = source.forms[number].places[0]
    assert data.source == str(cache / folder)
    assert [path.name for path in cache.iterdir()] == [folder]
    assert [path.name for path in (tmp_path / "data").iterdir()] == [name]
    (tmp_path / "data" / name).write_bytes(b"no longer needed")
    assert torch.equal(load_small_cifar(source, data_dir=tmp_path / "data").train.images, data.train.images)


def test_cifar_download_is_extracted(cache, small_cifar, monkeypatch):
    source, archives = with_archives(*small_cifar)
    fetched = fake_downloads(monkeypatch, archives)
    data = load_small_cifar(source, "official", download=True, limit=None)
    assert len(data.train) == 80
    assert len(data.validation) == 20
    assert len(data.test) == 20
    assert len(fetched) == 1
    assert [path.name for path in cache.iterdir()] == ["cifar-10-batches-py"]


@pytest.mark.parametrize("damage", ["truncated", "altered"])
@pytest.mark.parametrize("number", [0, 1], ids=["binary", "python"])
def test_damaged_archives(cache, small_cifar, place, tmp_path, number, damage):
    source, archives = with_archives(*small_cifar)
    name = source.forms[number].archive.name
    place(tmp_path / "data", {name: damaged(archives[name], damage)})
    with pytest.raises(DataError, match=f"{name} is truncated or altered"):
        load_small_cifar(source, data_dir=tmp_path / "data")
    assert not cache.exists()


def damaged(content: bytes, how: str) -> bytes:
    if how == "truncated":
        return content[: len(content) // 2]
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", ["truncated", "altered"])
@pytest.mark.parametrize("names", [plain, packed])
@pytest.mark.parametrize("stem", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"])
def test_damaged_idx_files(cache, small_idx, place, tmp_path, stem, names, damage):
    source, contents = small_idx
    name = stem if names is plain else f"{stem}.gz"
    place(tmp_path / "small", contents | {name: damaged(contents[name], damage)}, names)
    with pytest.raises(DataError, match=f"{name} is truncated or altered .* official"):
        load_small(source, "official", data_dir=tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "altered"])
@pytest.mark.parametrize("name", ["data_batch_2.bin", "test_batch.bin", "data_batch_2", "test_batch"])
def test_damaged_cifar_files(cache, small_cifar, place, tmp_path, name, damage):
    source, contents = small_cifar
    binary = name.endswith(".bin")
    bad = contents | {name: damaged(contents[name], damage)}
    folder = tmp_path / ("cifar-10-batches-bin" if binary else "cifar-10-batches-py")
    place(folder, bad, lambda other: other.endswith(".bin") == binary)
    with pytest.raises(DataError, match=f"{folder}/{name} is truncated or altered"):
        load_small_cifar(source, "official", data_dir=tmp_path)


def test_a_half_data_set_is_an_error(cache, no_network, small_idx, small_cifar, place, tmp_path):
    source, contents = small_idx
    place(tmp_path / "idx" / "small", contents, lambda name: name.startswith("train-images"))
    with pytest.raises(DataError, match="idx/small lacks train-labels-idx1-ubyte"):
        load_small(source, data_dir=tmp_path / "idx", download=True)
    source, contents = small_cifar
    place(tmp_path / "cifar-10-batches-bin", contents, lambda name: name != "data_batch_4.bin")
    with pytest.raises(DataError, match=r"CIFAR-10 is incomplete: .*cifar-10-batches-bin lacks data_batch_4.bin"):
        load_small_cifar(source, data_dir=tmp_path, download=True)
    assert no_network == []


def test_a_complete_folder_further_on_is_taken(cache, small_idx, place, tmp_path, monkeypatch):
    source, contents = small_idx
    place(tmp_path / "half" / "small", contents, lambda name: name.startswith("train-images"))
    place(tmp_path / "whole" / "small", contents)
    monkeypatch.setenv("WAVPOOL_DATA", str(tmp_path / "whole"))
    assert load_small(source, data_dir=tmp_path / "half").source == str(tmp_path / "whole" / "small")


def test_labels_and_images_must_match(cache, make_idx, small_idx, place, tmp_path):
    """Sums that fit (a source made by hand) do not replace the check that the parts fit each other."""
    source, contents = small_idx
    for labels, reason in ((np.zeros(59, np.uint8), "for labels"), (np.full(60, 10, np.uint8), "go up to 10")):
        bad = contents | {"train-labels-idx1-ubyte": make_idx(labels)}
        digest = f"sha256:{hashlib.sha256(bad['train-labels-idx1-ubyte']).hexdigest()}"
        form = source.forms[0]
        files = {**form.files, "train-labels-idx1-ubyte": DataFile("train-labels-idx1-ubyte", digest)}
        place(tmp_path / "small", bad, plain)
        with pytest.raises(DataError, match=reason):
            load_small(replace(source, forms=(replace(form, files=files),)), data_dir=tmp_path)


def test_unreadable_file_and_unwritable_cache(cache, small_idx, place, tmp_path, monkeypatch):
    source, contents = small_idx
    place(tmp_path / "small", contents, plain)

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(DataError, match="cannot be read"):
            load_small(source, data_dir=tmp_path)
    cache.parent.mkdir()
    cache.write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"cannot be written .* XDG_CACHE_HOME"):
        load_data("mnist")


def test_sibling_data_sets_in_flat_folders_are_told_apart(cache, mnist_dir, fashion_mnist_dir, tmp_path, monkeypatch):
    """MNIST and Fashion-MNIST share their file names; a folder with the other one's files is passed over."""
    monkeypatch.setenv("WAVPOOL_DATA", f"{fashion_mnist_dir}{os.pathsep}{mnist_dir}")
    options = Options(download=False, limit=LIMIT)
    assert mnist_generator.load(options).source == str(mnist_dir)
    assert fashion_mnist_generator.load(options).source == str(fashion_mnist_dir)
    for path in fashion_mnist_dir.glob("*.gz"):
        (tmp_path / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    assert mnist_generator.load(replace(options, data_dir=tmp_path)).source == str(mnist_dir)
    assert fashion_mnist_generator.load(replace(options, data_dir=tmp_path)).source == str(tmp_path)
