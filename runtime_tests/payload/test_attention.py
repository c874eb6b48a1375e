"""Attention on the CPU: heads, strides, masks and sizes that fill no vector, against NumPy in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from kernels.attention.generator import can_generate
from runtime_tests.read.executables import program_of
from runtime_tests.read.short_form import attention
from substitute.device import Session
from substitute.pipeline import compile_model

LOOPS = "b, h, m, n, k, l"
CASES: dict[str, tuple[dict[str, str], str, str]] = {
    # operand: shape, with the loop of each dimension; the mask's element; the scale. Elements are in ELEMENTS
    "batched": ({"q": "bhmk", "k": "bhlk", "v": "bhln", "o": "bhmn"}, "", "0.125"),
    "heads_in_the_middle": ({"q": "bmhk", "k": "blhk", "v": "blhn", "mask": "ml", "o": "bhmn"}, "f32", "-0.3"),
    "one_key_head": ({"q": "bhmk", "k": "blk", "v": "bln", "mask": "bl", "o": "bhmn"}, "i1", "0.5"),
    "one_row": ({"q": "bhk", "k": "bhlk", "v": "bhln", "mask": "bhl", "o": "bhn"}, "f32", "0.125"),
}
CASES |= {
    "half": ({"q": "bhmk", "k": "bhlk", "v": "bhln", "mask": "ml", "o": "bhmn"}, "f16", "0.125"),
    "brain": ({"q": "bhmk", "k": "blhk", "v": "blhn", "mask": "bl", "o": "bmhn"}, "i1", "0.5"),
}
ELEMENTS = {"half": "f16", "brain": "bf16"}
"""Element of a case's operands, result and scale; f32 if it is none of these."""
NUMPY = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}
SIZES = {"b": 2, "h": 3, "m": 17, "n": 11, "k": 20, "l": 37}
Call = Callable[[str, dict[str, np.ndarray[Any, Any]]], np.ndarray[Any, Any]]


def shape(loops: str) -> tuple[int, ...]:
    return tuple(SIZES[loop] for loop in loops)


def function(name: str) -> str:
    operands, mask, scale = CASES[name]
    element = ELEMENTS.get(name, "f32")
    types = {
        n: f"tensor<{'x'.join(map(str, shape(d)))}x{mask if n == 'mask' else element}>" for n, d in operands.items()
    }
    inputs = [n for n in operands if n != "o"]
    order = [*inputs[:3], "scale", *inputs[3:], "o"]
    maps = ", ".join(f"affine_map<({LOOPS}) -> ({', '.join(operands.get(n, ''))})>" for n in order)
    if name == "one_row":
        maps = maps.replace(LOOPS, LOOPS.replace("m, ", ""))
    return f"""
func.func @{name}({", ".join(f"%{n}: {types[n]}" for n in inputs)}) -> {types["o"]} {{
  %scale = arith.constant {scale} : {element}
  %o = tensor.empty() : {types["o"]}
  %r = "iree_linalg_ext.attention"({", ".join(f"%{n}" for n in order)}) <{{indexing_maps = [{maps}]}}> ({{
  ^bb0(%x: f32):
    "iree_linalg_ext.yield"(%x) : (f32) -> ()
  }}) : ({", ".join(types.get(n, element) for n in order)}) -> {types["o"]}
  return %r : {types["o"]}
}}"""


def expected(name: str, values: dict[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    operands, mask, scale = CASES[name]
    of_scores = "".join(dict.fromkeys(operands["q"].replace("k", "") + "l"))
    wide = {n: v.astype(np.float64) for n, v in values.items()}
    scores = np.einsum(f"{operands['q']},{operands['k']}->{of_scores}", wide["q"], wide["k"]) * float(scale)
    if mask:
        added = np.where(values["mask"], 0.0, -np.inf) if mask == "i1" else wide["mask"]
        left = [loop if loop in operands["mask"] else "" for loop in of_scores]
        aligned = np.einsum(f"{operands['mask']}->{''.join(left)}", added)
        scores = scores + aligned.reshape([SIZES[loop] if loop else 1 for loop in left])
    with np.errstate(invalid="ignore"):
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
    return np.einsum(f"{of_scores},{operands['v']}->{operands['o']}", weights, wide["v"])


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Call]:
    path = tmp_path_factory.mktemp("attention") / "model.mlir"
    path.write_text("".join(map(function, CASES)))
    result = compile_model(path, check=False)
    assert [s.kernel.name for s in result.plan.substitutions if s.dispatch.kind == "attention"] == ["attention"] * len(
        CASES
    )
    with Session(result.vmfb, device="local-sync") as session:
        yield lambda name, values: session.call(name, list(values.values()))[0]


def draw(name: str, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(seed)
    operands, mask, _ = CASES[name]
    number = NUMPY[ELEMENTS.get(name, "f32")]
    values = {n: random.standard_normal(shape(d)).astype(number) for n, d in operands.items() if n != "o"}
    return values | ({"mask": random.random(shape(operands["mask"])) < 0.5} if mask == "i1" else {})


@pytest.mark.device
@pytest.mark.parametrize("name", CASES)
def test_against_numpy(call: Call, name: str) -> None:
    values = draw(name)
    wanted = expected(name, values)
    number = NUMPY[ELEMENTS.get(name, "f32")]
    # a narrow result is rounded once, since everything before it is f32
    atol = 2e-6 if number is np.float32 else float(ml_dtypes.finfo(number).eps) * np.abs(wanted).max() / 2 + 2e-6
    np.testing.assert_allclose(call(name, values).astype(np.float64), wanted, atol=atol)
    # the twin: other values are another result
    values["v"] = (values["v"].astype(np.float32) + max(1e-3, 4 * atol)).astype(number)
    assert np.abs(call(name, values).astype(np.float64) - wanted).max() > max(5e-4, 2 * atol)


@pytest.mark.device
def test_large_scores_masked_rows_and_nan(call: Call) -> None:
    values = draw("heads_in_the_middle")
    values["q"] *= 300  # exponentials overflow if they are not shifted, by a maximum that changes from block to block
    values["mask"][3] = -np.inf
    values["q"][1, 5, 2, 7] = np.nan
    found, wanted = call("heads_in_the_middle", values), expected("heads_in_the_middle", values)
    assert np.isnan(wanted[:, :, 3]).all() and np.isnan(wanted[1, 2, 5]).all()
    np.testing.assert_allclose(found, wanted, atol=2e-4)


@pytest.mark.unit
def test_what_has_no_code_is_refused() -> None:
    plain = attention()
    assert can_generate(program_of(plain, bindings=4)) == ""
    scaled = plain.replace("iree_linalg_ext.yield %s", "%t = arith.mulf %s, %s : f32\n    iree_linalg_ext.yield %t")
    assert can_generate(program_of(scaled, bindings=4)) == "the scores are modified"
    assert can_generate(program_of(plain.replace("f32", "f64"), bindings=4)) == "operands of f64"
