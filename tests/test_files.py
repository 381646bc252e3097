"""Files are written wholly or not at all: a full disk, an interruption or a kill leaves what was there."""

import errno
import os
import re
import resource
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wavpool.codec.container import Container, Entry, dumps, write
from wavpool.files import atomic

ROOT = Path(__file__).parents[1]
EXAMPLE = [Entry(name="a", dtype="uint8", shape=(9,), payload=b"payload"), Entry(name="b", dtype="bool", shape=())]
ATTRIBUTES = {"tool": "test"}


def one(payload: bytes) -> list[Entry]:
    return [Entry(name="a", dtype="uint8", shape=(9,), payload=payload)]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file that is there before another is written in its place."""
    path = tmp_path / "model.wvp"
    write(path, EXAMPLE, ATTRIBUTES)
    return path


def assert_untouched(old: Path) -> None:
    assert old.read_bytes() == dumps(EXAMPLE, ATTRIBUTES)
    assert list(old.parent.iterdir()) == [old]


def test_a_file_is_replaced_with_the_usual_permissions(old: Path) -> None:
    mask = os.umask(0o027)
    try:
        write(old, EXAMPLE[:1], {})
    finally:
        os.umask(mask)
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    with Container(old) as file:
        assert file.names == ("a",)
    assert list(old.parent.iterdir()) == [old]


def test_a_full_disk_loses_nothing(old: Path) -> None:
    """A limit on the size of files, which the system reports as it reports a full disk: when the bytes are written."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        with pytest.raises(OSError, match=re.escape(str(old))) as caught:
            write(old, one(os.urandom(300_000)), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.errno == errno.EFBIG
    assert_untouched(old)


def test_a_really_full_disk_loses_nothing(tmp_path: Path) -> None:
    """The same on a file system of 64 KiB in a mount namespace of its own, where that is permitted."""
    script = (
        "import os, sys; from wavpool.codec.container import Entry, write\n"
        "entry = Entry(name='a', dtype='uint8', shape=(9,), payload=os.urandom(9))\n"
        "write('d/model.wvp', [entry], {})\n"
        "before = open('d/model.wvp', 'rb').read()\n"
        "try:\n"
        "    write('d/model.wvp', [Entry(name='a', dtype='uint8', shape=(9,), payload=os.urandom(200_000))], {})\n"
        "except OSError as error:\n"
        "    print(error)\n"
        "assert open('d/model.wvp', 'rb').read() == before and os.listdir('d') == ['model.wvp']\n"
    )
    (tmp_path / "d").mkdir()
    command = f'mount -t tmpfs -o size=64k none d || exit 77; {sys.executable} -c "$SCRIPT"'
    process = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", command],
        cwd=tmp_path,
        env={**os.environ, "SCRIPT": script, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode in (1, 77) and "Traceback" not in process.stderr:
        pytest.skip(f"no file system can be mounted here: {process.stderr.strip()}")
    assert process.returncode == 0, process.stderr
    assert "No space left on device: 'd/model.wvp'" in process.stdout


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), OSError(errno.EIO, "Input/output error")])
def test_an_interruption_loses_nothing(old: Path, error: BaseException) -> None:
    def write_half() -> None:
        with atomic(old) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert_untouched(old)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_is_killed_loses_nothing(old: Path, number: signal.Signals) -> None:
    """A process that writes again and again is stopped at some moment: the file is one of the wholly written ones."""
    script = (
        "import sys; from wavpool.codec.container import Entry, write\n"
        "for number in range(10**6):\n"
        "    payload = bytes([number % 256]) * 2_000_000\n"
        "    write(sys.argv[1], [Entry(name='a', dtype='uint8', shape=(9,), payload=payload)], {})\n"
        "    print(number, flush=True)\n"
    )
    command = [sys.executable, "-c", script, str(old)]
    for delay in (0.003, 0.008, 0.02):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.send_signal(number)
        assert process.returncode in (-number, 130)
        with Container(old) as file:
            file.verify()
            assert len(set(file.payload("a"))) == 1
        if number == signal.SIGINT:
            assert list(old.parent.iterdir()) == [old]


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(OSError, match="no regular file"):
            write(tmp_path / name, EXAMPLE, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "pipe"]


def test_a_long_name_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 251 + ".wvp")
    write(path, EXAMPLE, {})
    assert [*tmp_path.iterdir()] == [path]
