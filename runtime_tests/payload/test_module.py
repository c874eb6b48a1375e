"""Python files of kernels: the files beside them, changes, and messages when they fail."""

from __future__ import annotations

import shutil
from pathlib import Path
from threading import Thread
from types import ModuleType

import pytest

from substitute.catalog.catalog import builtin_folders, load_manifests
from substitute.errors import PayloadError
from substitute.payload.generator import load_generator
from substitute.payload.module import load_module, without_changes

pytestmark = pytest.mark.unit


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder / "generator.py"


def load(path: Path) -> ModuleType:
    return load_module(path, what="it cannot be loaded", owner="the generator", trusted=True)


def test_files_beside_it_are_imported(tmp_path: Path) -> None:
    path = write(tmp_path / "a", generator="from .tiling import size\nfrom . import tiling", tiling="size = 3")
    module = load(path)
    assert (module.size, module.tiling.size) == (3, 3)
    assert load(path) is module
    other = write(tmp_path / "b", generator="from .tiling import size", tiling="size = 4")
    assert load(other).size == 4
    assert module.tiling.size == 3


def test_a_module_loads_what_it_needs_when_it_is_called(tmp_path: Path) -> None:
    text = "def generate(request):\n    from .late import value\n    return value"
    assert load(write(tmp_path, generator=text, late="value = 'late'")).generate(None) == "late"


@pytest.mark.parametrize("changed", ["generator", "tiling"])
def test_a_change_is_loaded(tmp_path: Path, changed: str) -> None:
    path = write(tmp_path, generator="from .tiling import size\nown = 1", tiling="size = 3")
    before = load(path)
    write(tmp_path, **{changed: {"generator": "from .tiling import size\nown = 100", "tiling": "size = 300"}[changed]})
    after = load(path)
    assert (after.own, after.size) == ((100, 3) if changed == "generator" else (1, 300))
    assert (before.own, before.size) == (1, 3)
    (tmp_path / "notes.txt").write_text("not code")
    assert load(path) is after


def test_the_package_is_prepared_first(tmp_path: Path) -> None:
    path = write(tmp_path, __init__="table = {1: 2}", generator="from . import table")
    assert load(path).table == {1: 2}


def test_two_threads_get_one_module(tmp_path: Path) -> None:
    path = write(tmp_path, generator="import time\ntime.sleep(0.05)\nready = True")
    found: list[object] = []
    threads = [Thread(target=lambda: found.append(load(path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len({id(module) for module in found}) == 1


@pytest.mark.parametrize(
    ("generator", "helper", "place", "found"),
    [
        ("x = 1\n1 / 0", "", "generator.py:2", "ZeroDivisionError"),
        ("from .helper import y", "x = 1\n\ny = nowhere", "helper.py:3", "NameError"),
        ("from .helper import y", "x = 1\ndef (", "helper.py:2", "SyntaxError"),
        ("from .absent import y", "", "generator.py:1", "ModuleNotFoundError"),
        ("import json\njson.loads('{')", "", "generator.py:2", "JSONDecodeError"),
    ],
)
def test_an_error_names_the_line_of_the_kernel(
    tmp_path: Path, generator: str, helper: str, place: str, found: str
) -> None:
    path = write(tmp_path, generator=generator, helper=helper)
    for _ in range(2):  # what has failed is not half there afterwards
        with pytest.raises(PayloadError) as caught:
            load(path)
        assert caught.value.where == str(tmp_path / place)
        assert str(caught.value.found).startswith(found)


def test_what_is_no_python_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "generator.txt").write_text("x = 1")
    with pytest.raises(PayloadError, match="the generator is no Python file"):
        load(tmp_path / "generator.txt")


def test_built_in_generators_load_from_where_a_wheel_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "substitute" / "_kernels"
    (source,) = (folder for folder in builtin_folders() if (folder / "matmul").is_dir())
    shutil.copytree(source, installed, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr("substitute.catalog.catalog.builtin_folders", lambda: [installed])
    kernels = [manifest.kernel for manifest in load_manifests([])]
    generators = [kernel for kernel in kernels if kernel.payload.kind.name.endswith("-generator")]
    assert {"matmul", "softmax", "vulkan_matmul"} <= {kernel.name for kernel in generators}
    for kernel in generators:
        module = load_generator(kernel)
        assert Path(str(module.__file__)).is_relative_to(installed)
        assert callable(module.can_generate)


def test_files_are_looked_at_once_where_none_may_change(tmp_path: Path) -> None:
    path = write(tmp_path, generator="x = 1")
    with without_changes():
        assert load(path).x == 1
        write(tmp_path, generator="x = 234")
        assert load(path).x == 1
    assert load(path).x == 234
