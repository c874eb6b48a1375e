"""Digests of frozen data: equal data has one digest, data that is only equal by `==` has another."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from substitute.cache.content import digest_content
from substitute.model.dispatch import TensorType
from substitute.model.index import push
from substitute.model.payload_kind import PayloadFormat

DIFFERENT = [
    None,
    0,
    1,
    True,
    False,
    0.0,
    -0.0,
    1.0,
    math.nan,
    -math.nan,
    "",
    "1",
    b"",
    b"1",
    (),
    (1,),
    ((1,),),
    (1, 1),
    ("a", "b"),
    ("ab",),
    frozenset(),
    frozenset({1}),
    TensorType(shape=(2,), element="f32"),
    TensorType(shape=(3,), element="f32"),
    TensorType(shape=(push(0),), element="f32"),
    ((2,), "f32"),
]


def test_different_values_have_different_digests() -> None:
    assert len({digest_content(value) for value in DIFFERENT}) == len(DIFFERENT)
    assert digest_content("a", "b") != digest_content("ab")


def test_equal_values_have_equal_digests() -> None:
    assert digest_content(TensorType(shape=(2,), element="f32")) == digest_content(
        TensorType(shape=(2,), element="f32")
    )
    assert digest_content(PayloadFormat.BITCODE) == digest_content("llvm-bitcode")
    assert digest_content(Path("a")) == digest_content("a")
    assert digest_content([1, 2]) == digest_content((1, 2))


def test_the_digest_is_the_same_in_every_process() -> None:
    ask = (
        "from substitute.cache.content import digest_content\n"
        "print(digest_content(frozenset({'a', 'b', 'c', 'd'}), 0.1))"
    )
    argv = [sys.executable, "-c", ask]
    found = {
        subprocess.run(argv, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True).stdout
        for seed in ("1", "2")
    }
    assert found == {digest_content(frozenset({"a", "b", "c", "d"}), 0.1) + "\n"}


def test_other_objects_are_refused() -> None:
    with pytest.raises(TypeError, match="no digest of a object"):
        digest_content(object())
