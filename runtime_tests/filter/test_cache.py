"""Results that are kept: used, noticed when they are stale or broken, and never needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime_tests.filter.conftest import CPU, Surroundings

pytestmark = pytest.mark.compile
Executables = Callable[[tuple[str, ...]], dict[str, bytes]]

CODE = """import os
from pathlib import Path
with open({log!r}, "a") as log:
    log.write("x")
from substitute.payload.module import load_module
return load_module(Path({code!r}), what="", owner="").generate(request)"""


@pytest.fixture
def counted(surroundings: Surroundings) -> tuple[Path, Callable[[], int]]:
    """A kernel, and how often its generator has run."""
    log = surroundings.folder / "log"
    code = _builtin().parent / "contraction" / "generator.py"
    kernel = surroundings.kernel(CODE.format(log=str(log), code=str(code)))
    (kernel / "definition.mlir").write_text((_builtin() / "definition.mlir").read_text())
    manifest = (_builtin() / "kernel.toml").read_text().replace('name = "matmul"', 'name = "mine"')
    manifest = manifest.replace("../contraction/generator.py", "generator.py")
    (kernel / "kernel.toml").write_text(manifest)
    for path in kernel.iterdir():
        os.utime(path, (1e9, 1e9))  # a file that has just been written may be written again
    os.utime(kernel, (1e9, 1e9))
    return kernel, lambda: len(log.read_text()) if log.exists() else 0


def _builtin() -> Path:
    from substitute.catalog.catalog import builtin_folders

    return next(folder / "matmul" for folder in builtin_folders() if (folder / "matmul").is_dir())


def entries(surroundings: Surroundings, place: str) -> list[Path]:
    return [path for path in (surroundings.folder / "cache").rglob("*") if path.is_file() and place in path.parts]


def test_a_result_is_made_once(
    surroundings: Surroundings, executables: Executables, counted: tuple[Path, Callable[[], int]]
) -> None:
    kernel, runs = counted
    text = executables(CPU)["matmul"]
    words = ("--no-builtin", "--kernels", kernel)
    first = surroundings.run(*words, data=text)
    assert first.returncode == 0, first.stderr
    assert first.stdout != text
    assert surroundings.wait_for(lambda: len(entries(surroundings, "catalogs")) == 1)
    assert surroundings.run(*words, data=text).stdout == first.stdout
    assert runs() == 1
    assert surroundings.run(*words, "--no-cache", data=text).stdout == first.stdout
    assert runs() == 2
    assert surroundings.run(*words, data=text + b"\n").stdout == first.stdout
    assert runs() == 3


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "kind"])
def test_a_broken_result_is_made_again(
    surroundings: Surroundings, executables: Executables, counted: tuple[Path, Callable[[], int]], damage: str
) -> None:
    kernel, runs = counted
    text = executables(CPU)["matmul"]
    words = ("--no-builtin", "--kernels", kernel)
    first = surroundings.run(*words, data=text)
    assert surroundings.wait_for(lambda: len(entries(surroundings, "catalogs")) == 1)
    (entry,) = entries(surroundings, "results")
    whole = entry.read_bytes()
    at = len(whole) // 2
    entry.write_bytes(
        {
            "flip": whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
            "cut": whole[:at],
            "empty": b"",
            "kind": whole.replace(b"\nC ", b"\nU ", 1),
        }[damage]
    )
    assert surroundings.run(*words, data=text).stdout == first.stdout
    assert runs() == 2
    assert surroundings.wait_for(lambda: entry.is_file() and entry.read_bytes() == whole)


def test_a_changed_kernel_is_noticed(
    surroundings: Surroundings, executables: Executables, counted: tuple[Path, Callable[[], int]]
) -> None:
    """By the clients, and by a worker that has loaded it."""
    kernel, runs = counted
    text = executables(CPU)["matmul"]
    words = ("--no-builtin", "--kernels", kernel)
    first = surroundings.run(*words, data=text)
    assert surroundings.wait_for(lambda: len(entries(surroundings, "catalogs")) == 1)
    manifest = kernel / "kernel.toml"
    manifest.write_text(manifest.read_text() + '\n[[target]]\nbackend = "llvm-cpu"\narchitectures = ["x86_64"]\n')
    assert surroundings.run(*words, data=text).stdout == first.stdout
    assert runs() == 2
    manifest.write_text("nonsense = 1\n" + manifest.read_text())
    assert b"nonsense" in surroundings.run(*words, data=text).stderr
    manifest.unlink()
    assert surroundings.run(*words, "--no-cache", data=text).returncode == 2


def test_a_broken_list_of_files_is_no_harm(
    surroundings: Surroundings, executables: Executables, counted: tuple[Path, Callable[[], int]]
) -> None:
    kernel, runs = counted
    text = executables(CPU)["matmul"]
    words = ("--no-builtin", "--kernels", kernel)
    first = surroundings.run(*words, data=text)
    assert surroundings.wait_for(lambda: len(entries(surroundings, "catalogs")) == 1)
    (stamp,) = entries(surroundings, "catalogs")
    stamp.write_bytes(stamp.read_bytes()[:-30])  # one file less to look at
    assert surroundings.run(*words, data=text).stdout == first.stdout
    assert runs() == 1  # the worker knows the list


@pytest.mark.parametrize("kind", ["a file", "read-only", "nowhere", "full"])
def test_a_cache_that_cannot_be_written_only_costs_speed(
    surroundings: Surroundings, executables: Executables, counted: tuple[Path, Callable[[], int]], kind: str
) -> None:
    kernel, runs = counted
    cache = surroundings.folder / "cache"
    if kind == "a file":
        cache.rmdir()
        cache.write_text("")
    elif kind == "read-only":
        surroundings.variables["XDG_CACHE_HOME"] = "/proc/1"  # not even root can make a folder there
    elif kind == "nowhere":
        surroundings.variables |= {"XDG_CACHE_HOME": "", "HOME": ""}
    else:
        surroundings.variables["XDG_CACHE_HOME"] = "/dev/full"
    text = executables(CPU)["matmul"]
    outputs = {surroundings.run("--no-builtin", "--kernels", kernel, data=text).stdout for _ in range(2)}
    assert len(outputs) == 1
    assert outputs.isdisjoint({b"", text})
    assert runs() == 2
