"""Time stamps: a change of a file is seen, and a file that could still change without a trace is not trusted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from substitute.cache import stamps

pytestmark = pytest.mark.unit


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "f"
    path.write_text("one")
    os.utime(path, (1e9, 1e9))
    return path


def test_nothing_changed(file: Path) -> None:
    states = [stamps.read_state(file)]
    assert stamps.is_current(states)
    assert stamps.is_settled(states)


def test_changes_are_seen(file: Path) -> None:
    state = stamps.read_state(file)
    file.write_text("two")
    assert not stamps.is_current([state])
    os.utime(file, (1e9, 1e9))
    assert stamps.is_current([state]), "same size and time: the stamp cannot know"
    file.unlink()
    assert not stamps.is_current([state])


def test_a_file_that_comes_is_seen(tmp_path: Path) -> None:
    state = stamps.read_state(tmp_path / "later")
    assert not stamps.exists(state)
    assert stamps.is_current([state])
    assert not stamps.is_settled([state])
    (tmp_path / "later").touch()
    assert not stamps.is_current([state])


def test_a_file_changed_just_now_is_not_settled(file: Path) -> None:
    file.touch()
    assert not stamps.is_settled([stamps.read_state(file)])


def test_a_tree(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.py").touch()
    for hidden in ("__pycache__", ".git"):
        (tmp_path / hidden).mkdir()
        (tmp_path / hidden / "c").touch()
    expected = [tmp_path, tmp_path / "a", tmp_path / "a" / "b.py"]
    assert stamps.list_tree(tmp_path, most=10) == [os.fspath(path) for path in expected]
    assert len(stamps.list_tree(tmp_path, most=0)) == 1
