"""Bundles on disk: what was written is what is read."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime_tests.validate.cases import case
from substitute.errors import UsageError
from substitute.validate.bundle import Bundle, Subject
from substitute.validate.bundle_file import load_bundle, save_bundle

pytestmark = pytest.mark.unit


def same(a: Any, b: Any) -> bool:
    """Equal, arrays with their types and bits."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def bundle() -> Bundle:
    (expected,) = case().expected
    sampled = replace(
        expected,
        coordinates=(np.array([0, 1]), np.array([1, 1])),
        values=np.array([4, 8], np.int64),
        allowed=np.array([np.inf, 0.0]),
    )
    subject = Subject(
        name="d",
        kernel="k",
        kind="copy",
        cases=(case(), case(expected=(sampled,), copies=True)),
        notes=("a note",),
        text="hal.executable",
    )
    skipped = Subject(name="e", kernel="k", kind="fft", cases=(), skipped="no golden")
    return Bundle(
        device="local-task",
        candidate=b"one",
        baseline=b"two",
        beside=frozenset({"run_0"}),
        subjects=(subject, skipped),
        seconds={"build": 1.5},
    )


@pytest.mark.parametrize("baseline", [b"two", None])
def test_there_and_back(tmp_path: Path, baseline: bytes | None) -> None:
    made = replace(bundle(), baseline=baseline)
    save_bundle(made, tmp_path / "b")
    assert same(load_bundle(tmp_path / "b"), made)


def test_the_comparison_sees_a_bit(tmp_path: Path) -> None:
    made = bundle()
    (expected,) = case().expected
    allowed = expected.allowed.copy()
    allowed[0, 0] = -0.0
    other = replace(made.subjects[0].cases[0], expected=(replace(expected, allowed=allowed),))
    save_bundle(made, tmp_path / "b")
    first, second = made.subjects
    changed = replace(made, subjects=(replace(first, cases=(other, first.cases[1])), second))
    assert not same(load_bundle(tmp_path / "b"), changed)


def test_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"nothing")
    for path in (tmp_path / "b", tmp_path / "missing"):
        with pytest.raises(UsageError, match="the bundle cannot be read"):
            load_bundle(path)
