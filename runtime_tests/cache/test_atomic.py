"""Files that are written whole or not at all; `pipeline/test_output.py` fills disks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from substitute.cache.atomic import replace_file, replacement, write_whole
from substitute.errors import SubstituteError

pytestmark = pytest.mark.unit


def test_a_file_is_written(tmp_path: Path) -> None:
    path = tmp_path / "o"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "o"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), replacement(path) as temporary:
        temporary.write_bytes(b"part")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "no" / "o"
    with pytest.raises(SubstituteError, match="could not be written") as raised, replace_file(path) as temporary:
        temporary.write_bytes(b"new")
    assert raised.value.where == str(tmp_path / "no" / "o")
    with pytest.raises(FileNotFoundError), replacement(path) as temporary:
        temporary.write_bytes(b"new")


def test_a_killed_writer_leaves_nothing(tmp_path: Path) -> None:
    """Not even a part under another name, where the file system has files without names."""
    path = tmp_path / "o"
    path.write_bytes(b"old")
    code = f"""
import time
from pathlib import Path
from substitute.cache.atomic import replacement
with replacement(Path({str(path)!r})) as temporary:
    temporary.write_bytes(b"part")
    print("written", flush=True)
    time.sleep(600)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"written\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert path.read_bytes() == b"old"
    left = [p.name for p in tmp_path.iterdir() if p != path]
    try:
        os.close(os.open(tmp_path, os.O_TMPFILE | os.O_RDWR))
    except OSError:
        pytest.skip(f"this file system has no files without names: it may leave {left}")
    assert left == []


def test_two_writers_each_write_whole(tmp_path: Path) -> None:
    path = tmp_path / "o"
    code = """
import sys
from pathlib import Path
from substitute.cache.atomic import write_whole
for _ in range(50):
    write_whole(Path(sys.argv[1]), sys.argv[2].encode() * 100_000)
"""
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), letter]) for letter in "ab"]
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            assert set(path.read_bytes()) in ({ord("a")}, {ord("b")})
        time.sleep(0.001)
    assert [writer.returncode for writer in writers] == [0, 0]
