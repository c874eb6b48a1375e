"""The output appears whole or not at all, whatever happens in between."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime_tests.pipeline.slow import slow_kernel
from substitute.cache.atomic import write_whole
from substitute.errors import SubstituteError, UsageError
from substitute.pipeline import compile_model

pytestmark = pytest.mark.compile

MODEL = """
func.func @main(%a: tensor<4xf32>) -> tensor<4xf32> {
  %r = arith.addf %a, %a : tensor<4xf32>
  return %r : tensor<4xf32>
}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.mlir"
    path.write_text(MODEL)
    return path


def test_an_older_file_is_replaced(tmp_path: Path, model: Path) -> None:
    output = tmp_path / "o.vmfb"
    output.write_text("old")
    compile_model(model, output=output)
    assert output.stat().st_size > 1000
    mask = os.umask(0)
    os.umask(mask)
    assert output.stat().st_mode & 0o777 == 0o666 & ~mask
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.mlir", "o.vmfb"]


def test_a_failure_leaves_the_older_file(tmp_path: Path, model: Path) -> None:
    output = tmp_path / "o.vmfb"
    output.write_text("old")
    with pytest.raises(SubstituteError):
        compile_model(model, output=output, require=["nosuch"])
    assert output.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.mlir", "o.vmfb"]


@pytest.mark.parametrize(("name", "found"), [("missing/o.vmfb", "DIR/missing is not there"), (".", "a folder")])
def test_places_that_cannot_be_written(tmp_path: Path, model: Path, name: str, found: str) -> None:
    with pytest.raises(UsageError) as caught:
        compile_model(model, output=tmp_path / name)
    assert caught.value.found.replace(str(tmp_path), "DIR") == found
    assert caught.value.next_step == "choose another -o"


def test_a_folder_that_takes_no_files(model: Path) -> None:
    """`/proc` looks as if root could write there."""
    with pytest.raises(SubstituteError) as caught:
        compile_model(model, output=Path("/proc/o.vmfb"))
    assert caught.value.where == "/proc/o.vmfb"


def limited(code: str, size_bytes: int) -> str:
    """Return the output of code in a process whose files may have at most this size."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))

    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, preexec_fn=limit)
    return done.stdout + done.stderr


WRITE = """
from pathlib import Path
from substitute.errors import SubstituteError
from substitute.cache.atomic import write_whole
try:
    write_whole(Path({path!r}), bytes(100_000))
    print("written")
except SubstituteError as error:
    print(error)
"""


@pytest.mark.parametrize("nameless", [True, False])
def test_a_full_disk(tmp_path: Path, nameless: bool) -> None:
    code = WRITE.format(path=str(tmp_path / "o.vmfb"))
    if not nameless:  # as on a system that has no files without a name
        code = f"import os; del os.O_TMPFILE\n{code}"
    assert limited(code, 50_000) == (
        f"{tmp_path}/o.vmfb: the output could not be written\n"
        "  expected:  room in a folder that can be written\n"
        "  found:     File too large\n"
        "  next:      free some room, or choose another place\n"
    )
    assert list(tmp_path.iterdir()) == []
    assert limited(code, 200_000) == "written\n"
    assert [(p.name, p.stat().st_size) for p in tmp_path.iterdir()] == [("o.vmfb", 100_000)]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_self: Path, data: bytes) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "o.vmfb", b"data")
    assert list(tmp_path.iterdir()) == []


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -15), (signal.SIGKILL, -9)])
def test_killed_in_the_middle(tmp_path: Path, number: int, status: int) -> None:
    """The child that compiles goes with the command, and nothing of the output is there."""
    kernel, model = slow_kernel(tmp_path / "slow")
    out = tmp_path / "out"
    out.mkdir()
    code = "import sys; from substitute.cli.main import main; sys.exit(main())"
    argv = [sys.executable, "-c", code, "compile", str(model), "-o", str(out / "o.vmfb")]
    process = subprocess.Popen(
        [*argv, "--kernels", str(kernel)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    started = kernel / "started"
    deadline = time.monotonic() + 60
    while not (started.is_file() and started.read_text()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child = int(started.read_text())
    assert alive(child)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == status
    assert err.strip() == ("interrupted" if number == signal.SIGINT else "")
    while alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert list(out.iterdir()) == []
