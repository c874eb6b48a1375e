"""Cache of kernels: equal to what is read, and renewed when a file changes."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from substitute.cache import stamps
from substitute.catalog import manifest
from substitute.catalog.catalog import builtin_folders, load_catalog
from substitute.errors import ManifestError

pytestmark = pytest.mark.compile
OLD = (1e9, 1e9)
"""A file that has just been written may be written again without a new time stamp, and is not kept."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two kernels with the code that they name, and a cache of their own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = tmp_path / "kernels"
    for name in ("matmul", "contraction", "softmax", "rows"):
        source = next(place / name for place in builtin_folders() if (place / name).is_dir())
        shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    age(place)
    return place


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The manifests that were read."""
    found: list[str] = []
    real = manifest.read_manifests

    def read(file: Path) -> tuple[manifest.Manifest, ...]:
        found.append(file.parent.name)
        return real(file)

    monkeypatch.setattr(manifest, "read_manifests", read)
    return found


def age(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        os.utime(path, OLD)


def test_the_second_time_gives_the_same_without_reading(folder: Path, reads: list[str]) -> None:
    plain = load_catalog([folder], builtin=False)
    assert sorted(reads) == ["matmul", "softmax"]
    assert load_catalog([folder], builtin=False, kept=True) == plain
    assert len(reads) == 4
    assert load_catalog([folder], builtin=False, kept=True) == plain
    assert len(reads) == 4
    assert load_catalog([folder], builtin=False) == plain
    assert len(reads) == 6


@pytest.mark.parametrize("change", ["manifest", "definition", "payload gone", "broken"])
def test_a_change_is_noticed(folder: Path, reads: list[str], change: str) -> None:
    before = load_catalog([folder], builtin=False, kept=True)
    reads.clear()
    file = folder / "matmul" / "kernel.toml"
    if change == "manifest":
        file.write_text(file.read_text().replace('name = "matmul"', 'name = "other"'))
        assert load_catalog([folder], builtin=False, kept=True).kernel("other").forms
    elif change == "definition":
        definition = folder / "matmul" / "definition.mlir"
        definition.write_text(definition.read_text().replace("f32", "f64").replace("0.000000e+00", "0.0"))
        after = load_catalog([folder], builtin=False, kept=True)
        assert after.kernel("matmul").forms != before.kernel("matmul").forms
        assert after.kernel("softmax") == before.kernel("softmax")
    else:
        if change == "broken":
            file.write_text("nonsense")
        else:
            (folder / "contraction" / "generator.py").unlink()
        for _ in range(2):
            with pytest.raises(ManifestError):
                load_catalog([folder], builtin=False, kept=True)
    assert set(reads) == {"matmul"}


@pytest.mark.parametrize("damage", ["cut", "flipped", "of another user"])
def test_what_is_broken_is_not_loaded(folder: Path, reads: list[str], tmp_path: Path, damage: str) -> None:
    first = load_catalog([folder], builtin=False, kept=True)
    (kept,) = (tmp_path / "cache").rglob("kernels/*")
    content = kept.read_bytes()
    if damage == "of another user":
        kept.chmod(0o666)
    else:
        kept.write_bytes(content[:-9] if damage == "cut" else content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    reads.clear()
    assert load_catalog([folder], builtin=False, kept=True) == first
    assert len(reads) == 2


@pytest.mark.parametrize("cache", ["", "/dev/null", "/proc/1"])
def test_without_a_place_everything_is_read(
    folder: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch, cache: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    monkeypatch.setenv("HOME", "")
    for _ in range(2):
        assert len(load_catalog([folder], builtin=False, kept=True).kernels) == 2
    assert len(reads) == 4


def test_what_has_just_been_written_is_not_kept(folder: Path, reads: list[str]) -> None:
    """Its time stamp may stay as it is when it is written once more."""
    soon = time.time() + 1000
    os.utime(folder / "matmul" / "kernel.toml", (soon, soon))
    for _ in range(2):
        load_catalog([folder], builtin=False, kept=True)
    assert sorted(reads) == ["matmul", "matmul", "softmax"]


def test_a_process_of_an_older_program_keeps_nothing(
    folder: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its objects may lack what the program has by now, whose files are part of the cache's name."""
    monkeypatch.setattr(stamps, "STARTED_NS", 1)
    for _ in range(2):
        load_catalog([folder], builtin=False, kept=True)
    assert len(reads) == 4
    monkeypatch.setattr(stamps, "STARTED_NS", time.time_ns())
    for _ in range(2):
        load_catalog([folder], builtin=False, kept=True)
    assert len(reads) == 6
