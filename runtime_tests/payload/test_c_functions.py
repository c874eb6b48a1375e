"""fmod and ldexp of doubles, compared bit by bit with Python's; and every name that a payload may leave open is
linked.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("llvmlite.binding")
import llvmlite.binding as llvm

from runtime_tests.kinds.programs import KernelFolder, Operand, build, run_module
from substitute.payload.llvm import c_functions, optimize

SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    3.0,
    0.1,
    5e-324,
    -5e-324,
    2.2250738585072014e-308,
    2.225073858507201e-308,
    1e-310,
    1.7976931348623157e308,
    -1e308,
    math.inf,
    -math.inf,
    math.nan,
    4503599627370496.0,
    1e17,
    6.5,
    0.3,
]


@pytest.fixture(scope="module")
def engine() -> llvm.ExecutionEngine:
    """Our functions under names that the process does not have."""
    optimize.initialize()
    text = re.sub(r"@(fmod|ldexp)\b", r"@ours_\1", c_functions._SCALAR)
    module = llvm.parse_assembly(text)
    module.verify()
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine


def function(engine: llvm.ExecutionEngine, name: str, *types: type) -> Callable[..., float]:
    made: Callable[..., float] = ctypes.CFUNCTYPE(*types)(engine.get_function_address(f"ours_{name}"))
    return made


def numbers(count: int, seed: int) -> list[float]:
    """Any bit pattern is as likely as any other."""
    random = np.random.default_rng(seed)
    return [float(x) for x in random.integers(0, 1 << 64, count, dtype=np.uint64).view(np.float64)]


def same(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))


def remainder(x: float, y: float) -> float:
    if math.isnan(x) or math.isnan(y) or math.isinf(x) or y == 0:
        return math.nan
    return math.fmod(x, y)


@pytest.mark.unit
def test_remainders(engine: llvm.ExecutionEngine) -> None:
    fmod = function(engine, "fmod", ctypes.c_double, ctypes.c_double, ctypes.c_double)
    near = np.random.default_rng(3).standard_normal((2000, 2)) * [100.0, 1.0]
    pairs = [(x, y) for x in SPECIAL for y in SPECIAL]
    pairs += list(zip(numbers(3000, 1), numbers(3000, 2), strict=True)) + [(float(x), float(y)) for x, y in near]
    wrong = [(x, y, fmod(x, y), remainder(x, y)) for x, y in pairs if not same(fmod(x, y), remainder(x, y))]
    assert wrong == []
    assert not same(fmod(7.0, 2.0), 0.0), "the comparison can fail"


def scaled(x: float, n: int) -> float:
    try:
        return math.ldexp(x, n)
    except OverflowError:
        return math.copysign(math.inf, x)


@pytest.mark.unit
def test_powers_of_two(engine: llvm.ExecutionEngine) -> None:
    ldexp = function(engine, "ldexp", ctypes.c_double, ctypes.c_double, ctypes.c_int32)
    exponents = [0, 1, -1, 52, -52, 1023, 1024, -1022, -1023, -1074, -1075, 2000, -2000, 2098, -2149]
    exponents += [2**31 - 1, -(2**31)]
    cases = [(x, n) for x in SPECIAL + numbers(100, 5) for n in exponents]
    random = np.random.default_rng(6)
    cases += [(x, int(n)) for x, n in zip(numbers(3000, 7), random.integers(-2200, 2200, 3000), strict=True)]
    wrong = [(x, n, ldexp(x, n), scaled(x, n)) for x, n in cases if not same(ldexp(x, n), scaled(x, n))]
    assert wrong == []


TWO = ("pow", "fmod", "fmin", "fmax")
DEFINITION = """
func.func @calls(%x: tensor<?xT>) -> tensor<?xT> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?xT>
  %e = tensor.empty(%n) : tensor<?xT>
  %y = linalg.generic {
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%x : tensor<?xT>) outs(%e : tensor<?xT>) {
  ^bb0(%a: T, %o: T):
    %s = arith.mulf %a, %a : T
    linalg.yield %s : T
  } -> tensor<?xT>
  return %y : tensor<?xT>
}
"""


@pytest.mark.compile
@pytest.mark.device
@pytest.mark.parametrize(("element", "type_", "ending"), [("f32", "float", "f"), ("f64", "double", "")])
def test_every_name_is_linked(tmp_path: Path, element: str, type_: str, ending: str) -> None:
    """The kernel adds the results of all of them, each for the first two numbers."""
    names = [n for n in sorted(optimize.RESOLVED) if n + "f" in optimize.RESOLVED]
    assert len(names) == 11
    declared, lines, total = [], [], "0.0"
    for at, name in enumerate(names):
        second = {"ldexp": ", i32"}.get(name, f", {type_}" if name in TWO else "")
        given = {"ldexp": ", i32 3"}.get(name, f", {type_} %w" if name in TWO else "")
        declared.append(f"declare {type_} @{name}{ending}({type_}{second})")
        lines.append(f"  %r{at} = call {type_} @{name}{ending}({type_} %v{given})")
        lines.append(f"  %s{at} = fadd {type_} {total}, %r{at}")
        total = f"%s{at}"
    body = "\n".join(lines)
    text = (
        "\n".join(declared)
        + f"""
define void @kernel(ptr %x, ptr %y, i64 %N, i64 %a, i64 %b, i64 %c) {{
  %v = load {type_}, ptr %x
  %p = getelementptr {type_}, ptr %x, i64 1
  %w = load {type_}, ptr %p
{body}
  store {type_} {total}, ptr %y
  ret void
}}
"""
    )
    kernel = KernelFolder(
        text,
        definition=DEFINITION.replace("T", element),
        operands=[Operand("x", ["N"]), Operand("y", ["N"])],
    ).write(tmp_path / "kernel")
    model = DEFINITION.replace("T", element).replace("?", "8").replace("%e = tensor.empty(%n)", "%e = tensor.empty()")
    model = re.sub(r"  %(c0|n) = .*\n", "", model)
    flags = ["--iree-input-demote-f64-to-f32=false"]
    made = build(tmp_path, model, [kernel], flags=flags, substituted=1, isolate=True)
    x, w = 2.25, 1.5
    dtype = np.float32 if element == "f32" else np.float64
    (y,) = run_module(made.vmfb, device="local-sync", inputs=[np.array([x, w, 1, 1, 1, 1, 1, 1], dtype)])
    one = {"exp": math.exp, "sqrt": math.sqrt, "floor": math.floor, "ceil": math.ceil, "round": round, "fabs": abs}
    expected = sum(f(x) for f in one.values()) + x**w + math.fmod(x, w) + min(x, w) + max(x, w) + math.ldexp(x, 3)
    np.testing.assert_allclose(y[0], expected, rtol=1e-6)
