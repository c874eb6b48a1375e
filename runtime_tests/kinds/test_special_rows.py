"""Reductions of rows that are all NaN, -0, an infinity, or empty, with every combiner of floats."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from substitute.device import Session
from substitute.model.ops import neutral
from substitute.pipeline import compile_model

pytestmark = pytest.mark.device

COMBINERS = {
    "addf": np.add,
    "mulf": np.multiply,
    "maximumf": np.maximum,
    "minimumf": np.minimum,
    "maxnumf": np.fmax,
    "minnumf": np.fmin,
}
SPECIAL = (math.nan, -0.0, 0.0, -math.inf, math.inf, 2.0)
"""Value of all elements of each row."""


def text() -> str:
    """For each combiner a reduction that starts from its neutral element, and one that starts from a tensor."""
    parts = []
    for name in COMBINERS:
        bits = np.float32(neutral(f"arith.{name}", "f32")).view(np.uint32)
        for start in ("constant", "tensor"):
            more = ", %i: tensor<6xf32>" if start == "tensor" else ""
            init = "%i" if start == "tensor" else "%z"
            parts.append(f"""
func.func @{name}_{start}(%x: tensor<6x?xf32>{more}) -> tensor<6xf32> {{
  %s = arith.constant 0x{bits:08X} : f32
  %e = tensor.empty() : tensor<6xf32>
  %z = linalg.fill ins(%s : f32) outs(%e : tensor<6xf32>) -> tensor<6xf32>
  %r = linalg.reduce {{ arith.{name} }} ins(%x : tensor<6x?xf32>) outs({init} : tensor<6xf32>) dimensions = [1]
  return %r : tensor<6xf32>
}}""")
    return "\n".join(parts)


def same(found: np.ndarray, expected: np.ndarray, *, signs: bool) -> bool:
    """Equal, NaN to NaN, and with `signs` -0 to -0."""
    if not np.array_equal(found, expected, equal_nan=True):
        return False
    zero = expected == 0
    return not signs or np.array_equal(np.signbit(found[zero]), np.signbit(expected[zero]))


@pytest.mark.parametrize("device", ["local-sync", "vulkan"])
def test_special_rows(tmp_path: Path, request: pytest.FixtureRequest, device: str) -> None:
    flags = ("--iree-hal-target-device=vulkan",) if device == "vulkan" else ()
    device = request.getfixturevalue("vulkan_device") if device == "vulkan" else device
    file = tmp_path / "rows.mlir"
    file.write_text(text())
    result = compile_model(file, flags=flags)
    assert len(result.plan.substitutions) >= 2 * len(COMBINERS)
    wrong = []
    with Session(result.vmfb, device=device) as session:
        # IREE's driver for Vulkan refuses an empty buffer, whichever code runs
        for count in (1, 5, 100) if device == "vulkan" else (0, 1, 5, 100):
            x = np.repeat(np.array(SPECIAL, np.float32)[:, None], count, axis=1)
            for name, combine in COMBINERS.items():
                start = np.float32(neutral(f"arith.{name}", "f32"))
                for kind, first in (("constant", np.full(6, start)), ("tensor", np.array(SPECIAL, np.float32))):
                    expected = first
                    with np.errstate(all="ignore"):
                        for column in x.T:
                            expected = combine(expected, column)
                    (found,) = session.call(f"{name}_{kind}", [x] if kind == "constant" else [x, first])
                    # the larger of two zeros may be either: signs are only checked for sums
                    if not same(found, expected.astype(np.float32), signs=name == "addf"):
                        wrong.append(f"{name}, {kind}, {count} columns: {found}, expected {expected}")
    assert not wrong


def test_a_zero_of_the_other_sign_is_found() -> None:
    """Twin."""
    negative, positive = np.array([-0.0], np.float32), np.array([0.0], np.float32)
    assert same(negative, positive, signs=False)
    assert not same(negative, positive, signs=True)
    assert not same(np.array([-math.inf]), np.array([math.nan]), signs=False)
