"""Generated matrix multiplications and convolutions against float64: every layout, odd sizes, fused work, bounds."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

pytest.importorskip("llvmlite.binding")
from kernels.contraction import generator as contraction
from kernels.contraction import space
from runtime_tests.payload.contraction_programs import (
    HOST,
    NUMPY,
    OLD,
    Case,
    Compiled,
    Memory,
    build,
    expected,
    expected_integers,
    generate,
    inputs,
    reference,
    target,
)
from substitute.errors import PayloadError
from substitute.payload.llvm.optimize import to_bitcode

ROOT = Path(__file__).resolve().parents[2]
ODD = [
    (1, 1, 1),
    (1, 33, 70),
    (2, 40, 50),
    (3, 7, 13),
    (7, 17, 31),
    (13, 33, 17),
    (31, 13, 33),
    (33, 3, 300),
    (50, 70, 600),
]


MATMULS = [
    Case(spec=spec, sizes=dict(m=m, n=n, k=k))
    for (m, n, k), spec in itertools.product(
        ODD, ["m,k;k,n->m,n", "k,m;k,n->m,n", "m,k;n,k->m,n", "k,m;n,k->m,n", "m,k;k,n->n,m", "m,k;n,k->n,m"]
    )
]
BATCHED = [
    Case(spec="b,m,k;b,n,k->b,m,n", sizes=dict(b=3, m=17, n=9, k=20)),
    Case(spec="b,m,k;b,k,n->b,m,n", sizes=dict(b=2, m=64, n=64, k=64)),
    Case(spec="b,m,k;b,n,k->b,m,n", sizes=dict(b=4, m=64, n=64, k=64), stored=("m,b,n",)),
    Case(spec="m,b,k;b,n,k->b,m,n", sizes=dict(b=3, m=10, n=12, k=33), stored=("b,n,m",)),
    Case(spec="b,c,m,k;b,c,k,n->b,c,m,n", sizes=dict(b=2, c=3, m=5, n=11, k=6)),
    Case(spec="b,m,k;k,n->b,m,n", sizes=dict(b=3, m=11, n=19, k=8)),
    Case(spec="m,i,j;i,j,n->m,n", sizes=dict(m=9, n=18, i=4, j=7)),
    Case(spec="i,m,j;j,i,n->m,n", sizes=dict(m=9, n=18, i=4, j=70)),
    Case(spec="b,h,m,k;b,h,n,k->b,h,m,n", sizes=dict(b=5, h=9, m=1, n=7, k=64)),
]
CONVOLUTIONS = [
    Case(spec="b,c,p+t;o,c,t->b,o,p", sizes=dict(b=2, o=13, p=37, c=6, t=5)),
    Case(spec="b,c,p*2+t;o,c,t->b,o,p", sizes=dict(b=2, o=13, p=37, c=6, t=5)),
    Case(spec="b,c,p*3+t*2;o,c,t->b,o,p", sizes=dict(b=1, o=8, p=19, c=40, t=3)),
    Case(spec="c,h+y,w+x;o,c,y,x->o,h,w", sizes=dict(o=17, h=7, w=7, c=32, y=3, x=3)),
    Case(spec="c,h*2+y,w*2+x;o,c,y,x->o,h,w", sizes=dict(o=32, h=9, w=21, c=3, y=3, x=3)),
    Case(spec="c,h+y*2,w+x*3;o,c,y,x->o,h,w", sizes=dict(o=5, h=6, w=10, c=4, y=2, x=3)),
    Case(spec="c,h+y,w+x;c,y,x->c,h,w", sizes=dict(h=12, w=20, c=5, y=3, x=3)),
    Case(spec="c,h+y,w+x;c,y,x->c,h,w", sizes=dict(h=7, w=7, c=40, y=3, x=3)),
    Case(spec="c,h*2+y,w*2+x;c,y,x->c,h,w", sizes=dict(h=11, w=13, c=5, y=3, x=3)),
    Case(spec="c,h*2+y,w*2+x;c,y,x->c,h,w", sizes=dict(h=14, w=16, c=6, y=5, x=5)),
    Case(spec="b,h+y,w+x,c;y,x,c->b,h,w,c", sizes=dict(b=2, h=6, w=7, c=19, y=3, x=3)),
    Case(spec="b,h+y,w+x,c;y,x,c,o->b,h,w,o", sizes=dict(b=2, h=6, w=7, o=20, y=3, x=3, c=9)),
    Case(spec="b,h*2+y,w*2+x,c;y,x,c,o->b,h,w,o", sizes=dict(b=1, h=5, w=9, o=8, y=3, x=3, c=30)),
    Case(spec="g,c,h+y,w+x;g,o,c,y,x->g,o,h,w", sizes=dict(g=3, o=8, h=9, w=10, c=4, y=3, x=3)),
    Case(spec="k,n;m,k->m,n", sizes=dict(m=16, n=196, k=32)),
    Case(spec="b,c,p+t;o,c,t->b,o,p", sizes=dict(b=2, o=42, p=37, c=33, t=5)),
    Case(spec="c,h+y,w+x;o,c,y,x->o,h,w", sizes=dict(o=45, h=7, w=9, c=35, y=3, x=3)),
    Case(spec="c,p+t;c,t->c,p", sizes=dict(c=4, p=100, t=50)),
]
FUSED = [
    Case(spec="m,k;k,n->m,n", sizes=dict(m=14, n=21, k=30), extra="n", epilogue="bias, relu"),
    Case(spec="m,k;k,n->m,n", sizes=dict(m=14, n=24, k=30), extra="m,n", epilogue="bias"),
    Case(spec="m,k;k,n->m,n", sizes=dict(m=14, n=21, k=30), extra="n,m", epilogue="bias", stored=("n,m",)),
    Case(spec="m,k;k,n->m,n", sizes=dict(m=14, n=21, k=600), extra="m", epilogue="bias", stored=("m,n", "n,m")),
    Case(spec="m,k;k,n->m,n", sizes=dict(m=1, n=21, k=60), extra="n", epilogue="bias", stored=("m,n", "m,n")),
    Case(spec="m,k;k,n->m,n", sizes=dict(m=9, n=21, k=30), epilogue="index"),
    Case(spec="m,k;k,n->n,m", sizes=dict(m=9, n=21, k=30), epilogue="index"),
    Case(spec="m,k;k,n->m,n", sizes=dict(m=9, n=21, k=30), init=3.0, swapped=True),
    Case(spec="m,k;n,k->m,n", sizes=dict(m=1, n=21, k=70), init=-2.0),
    Case(spec="m,k;k,n->m,n", sizes=dict(m=1, n=100, k=70), init=-2.0),
    Case(spec="m,k;k,n->m,n", sizes=dict(m=9, n=21, k=30), left_relu=True),
    Case(spec="m,k;k,n->m,n", sizes=dict(m=9, n=21, k=30), left="f16", right="f16"),
    Case(spec="m,k;n,k->m,n", sizes=dict(m=9, n=21, k=30), left="f16", right="f16"),
    Case(spec="m,k;n,k->m,n", sizes=dict(m=1, n=21, k=70), left="f32", right="f16"),
    Case(spec="m,k;k,n->m,n", sizes=dict(m=9, n=21, k=30), left="bf16", right="bf16"),
    Case(spec="m,k;k,n->m,n", sizes=dict(m=9, n=21, k=30), out="f16"),
    Case(spec="m,k;k,n->m,n", sizes=dict(m=1, n=21, k=30), out="bf16"),
    Case(
        spec="c,h+y,w+x;c,y,x->c,h,w", sizes=dict(h=5, w=9, c=5, y=3, x=3), extra="c", epilogue="bias, relu", padding=1
    ),
    Case(
        spec="c,h*2+y,w*2+x;o,c,y,x->o,h,w",
        sizes=dict(o=8, h=8, w=16, c=3, y=3, x=3),
        extra="o",
        epilogue="bias, relu",
        padding=2,
    ),
]
DYNAMIC = [
    Case(spec="m,k;k,n->m,n", sizes=dict(m=m, n=n, k=k), dynamic=dynamic)
    for (m, n, k), dynamic in itertools.product(
        [(1, 1, 1), (13, 33, 300), (70, 48, 17)], [("m",), ("n",), ("k",), ("m", "n", "k")]
    )
] + [
    Case(spec="m,k;n,k->m,n", sizes=dict(m=19, n=23, k=300), dynamic=("m", "n", "k")),
    Case(spec="m,k;n,k->m,n", sizes=dict(m=1, n=23, k=300), dynamic=("n", "k")),
    Case(spec="m,k;k,n->m,n", sizes=dict(m=1, n=23, k=300), dynamic=("n", "k")),
    Case(spec="m,k;k,n->m,n", sizes=dict(m=4, n=23, k=30), dynamic=("n",), extra="n", epilogue="bias, relu"),
    Case(spec="b,h,m,k;b,h,n,k->b,h,m,n", sizes=dict(b=2, h=3, m=5, n=9, k=16), dynamic=("b", "m", "n")),
]
QUANTIZED = [
    Case(spec="m,k;k,n->m,n", sizes=dict(m=13, n=21, k=33), left="i8", right="i8", sums="i32", out="i32"),
    Case(
        spec="m,k;k,n->m,n",
        sizes=dict(m=17, n=40, k=500),
        left="u8",
        right="i8",
        sums="i32",
        out="u8",
        epilogue="requantize",
        zero_points=(128, 0),
    ),
    Case(
        spec="m,k;n,k->m,n",
        sizes=dict(m=19, n=23, k=77),
        left="i8",
        right="u8",
        sums="i32",
        out="i32",
        zero_points=(-128, 255),
        init=7,
    ),
    Case(
        spec="k,m;k,n->n,m",
        sizes=dict(m=19, n=23, k=11),
        left="i8",
        right="i8",
        sums="i64",
        out="i32",
        epilogue="trunc",
        zero_points=(127, -128),
    ),
    Case(spec="m,k;k,n->m,n", sizes=dict(m=12, n=16, k=40), left="i16", right="i16", sums="i32", out="i32"),
    Case(
        spec="m,k;k,n->m,n",
        sizes=dict(m=12, n=17, k=40),
        left="i32",
        right="i32",
        sums="i64",
        out="i32",
        epilogue="trunc",
    ),
    Case(
        spec="m,k;k,n->m,n",
        sizes=dict(m=12, n=17, k=300),
        left="i16",
        right="i16",
        sums="i32",
        out="i32",
        zero_points=(1, 0),
    ),
    Case(spec="m,k;n,k->m,n", sizes=dict(m=1, n=21, k=77), left="u8", right="i8", sums="i32", out="i32"),
    Case(spec="m,k;k,n->m,n", sizes=dict(m=1, n=100, k=70), left="u8", right="i8", sums="i32", out="i32"),
    Case(spec="m,k;k,n->m,n", sizes=dict(m=5, n=21, k=30), left="i8", right="u8", sums="i32", out="i32"),
    Case(
        spec="m,k;k,n->m,n",
        sizes=dict(m=20, n=23, k=303),
        left="u8",
        right="i8",
        sums="i32",
        out="i32",
        zero_points=(3, 0),
        dynamic=("m", "n", "k"),
    ),
    Case(
        spec="m,k;n,k->m,n",
        sizes=dict(m=20, n=23, k=803),
        left="u8",
        right="i8",
        sums="i32",
        out="u8",
        epilogue="requantize",
        dynamic=("m", "n", "k"),
    ),
    Case(
        spec="c,h*2+y,w*2+x;o,c,y,x->o,h,w",
        sizes=dict(o=17, h=9, w=21, c=3, y=3, x=3),
        left="u8",
        right="i8",
        sums="i32",
        out="u8",
        epilogue="requantize",
        padding=1,
    ),
    Case(
        spec="b,h+y,w+x,c;y,x,c,o->b,h,w,o",
        sizes=dict(b=2, h=6, w=7, o=20, y=3, x=3, c=32),
        left="i8",
        right="i8",
        sums="i32",
        out="i32",
        zero_points=(-128, 0),
    ),
    Case(
        spec="b,h+y,w+x,c;y,x,c,o->b,h,w,o",
        sizes=dict(b=1, h=6, w=7, o=20, y=3, x=3, c=9),
        left="i8",
        right="i8",
        sums="i32",
        out="i32",
    ),
    Case(
        spec="c,h+y,w+x;c,y,x->c,h,w",
        sizes=dict(h=7, w=14, c=5, y=3, x=3),
        left="u8",
        right="i8",
        sums="i32",
        out="u8",
        epilogue="requantize",
    ),
    Case(
        spec="c,h*2+y,w*2+x;c,y,x->c,h,w",
        sizes=dict(h=14, w=16, c=3, y=3, x=3),
        left="u8",
        right="i8",
        sums="i32",
        out="i32",
        zero_points=(0, -128),
    ),
    Case(
        spec="b,h+y,w+x,c;y,x,c->b,h,w,c",
        sizes=dict(b=2, h=6, w=7, c=19, y=3, x=3),
        left="i8",
        right="i8",
        sums="i32",
        out="i32",
    ),
]
NARROW = [
    Case(spec=spec, sizes=sizes, left=element, right=element, sums=element, **facts)
    for element in ("f16", "bf16")
    for spec, sizes, facts in (
        ("m,k;k,n->m,n", dict(m=9, n=37, k=300), dict(out=element)),
        ("m,k;n,k->m,n", dict(m=1, n=21, k=70), dict(out=element)),
        ("m,k;k,n->m,n", dict(m=9, n=21, k=30), dict(out="f32")),
        ("m,k;k,n->m,n", dict(m=14, n=21, k=30), dict(out=element, extra="n", epilogue="bias, relu")),
        ("c,h+y,w+x;c,y,x->c,h,w", dict(h=7, w=9, c=5, y=3, x=3), dict(out=element)),
        ("m,k;k,n->m,n", dict(m=13, n=23, k=70), dict(out=element, dynamic=("m", "n", "k"))),
    )
]
LARGE = Case(spec="m,k;k,n->m,n", sizes=dict(m=1024, n=1024, k=1024))
EVERY = MATMULS + BATCHED + CONVOLUTIONS + FUSED + DYNAMIC


def check_exact(case: Case, compiled: Compiled, seed: int = 1) -> None:
    arrays = inputs(case, seed, integers=True)
    for found, wanted in zip(compiled.run(arrays), expected(case, arrays), strict=True):
        np.testing.assert_array_equal(found.astype(np.float64), wanted.astype(NUMPY[case.out]).astype(np.float64))


@pytest.mark.parametrize("case", EVERY, ids=str)
def test_integers_come_out_exactly(case: Case) -> None:
    check_exact(case, Compiled(case))


@pytest.mark.parametrize("case", BATCHED[:3] + CONVOLUTIONS + FUSED[:8] + DYNAMIC[-5:] + MATMULS[::5], ids=str)
def test_integers_come_out_exactly_without_avx(case: Case) -> None:
    check_exact(case, Compiled(case, OLD))


@pytest.mark.parametrize("case", MATMULS[-6:] + CONVOLUTIONS[:5] + BATCHED[:2], ids=str)
def test_random_numbers_stay_within_the_bound(case: Case) -> None:
    arrays = inputs(case, 2, integers=False)
    (found,) = Compiled(case).run(arrays)
    # every product and every addition rounds by at most 2^-24 of something below the sum of magnitudes
    bound = (case.depth + 4) * 2.0**-24 * reference(case, arrays, magnitude=True) + 1e-30
    error = np.abs(found.astype(np.float64) - expected(case, arrays)[0])
    assert (error <= bound).all(), f"seed 2: worst {np.max(error / bound)} of the bound"


@pytest.mark.parametrize("case", NARROW, ids=str)
def test_narrow_sums_are_rounded_once(case: Case) -> None:
    arrays = inputs(case, 4, integers=False)
    (found,) = Compiled(case).run(arrays)
    (wanted,) = expected(case, arrays)
    eps = float(ml_dtypes.finfo(NUMPY[case.sums]).eps)
    # the sum in f32, then half a unit of the narrow type for the sum and another for the result
    rounded = eps * np.maximum(np.abs(wanted), np.abs(reference(case, arrays)))
    bound = (case.depth + 4) * 2.0**-24 * reference(case, arrays, magnitude=True) + rounded + 1e-7
    error = np.abs(found.astype(np.float64) - wanted)
    assert (error <= bound).all()
    if case.depth == 300:  # the bound is one that a sum in the narrow type does not hold
        products = arrays[0][:, :, None] * arrays[1][None]
        narrow = np.zeros(wanted.shape, NUMPY[case.sums])
        for k in range(case.depth):
            narrow = narrow + products[:, k]
        assert (np.abs(narrow.astype(np.float64) - wanted) > bound).any()


def test_an_activation_is_fused() -> None:
    case = Case(spec="m,k;k,n->m,n", sizes=dict(m=20, n=37, k=30), epilogue="tanh")
    arrays = inputs(case, 3, integers=False)
    (found,) = Compiled(case).run(arrays)
    np.testing.assert_allclose(found, expected(case, arrays)[0], rtol=0, atol=3e-6)


@pytest.mark.parametrize("on", [HOST, OLD], ids=["host", "old"])
@pytest.mark.parametrize("case", QUANTIZED, ids=str)
def test_integers_wrap_around_as_in_i32(case: Case, on: Any) -> None:
    arrays = inputs(case, 5, integers=True)
    (wanted,) = expected_integers(case, arrays)
    (found,) = Compiled(case, on).run(arrays)
    np.testing.assert_array_equal(found, wanted)


def test_pairs_are_multiplied_until_one_does_not_fit() -> None:
    """One compilation: values that fit, the first that do not, in either factor, and what is computed then."""
    case = Case(
        spec="m,k;n,k->m,n",
        sizes=dict(m=13, n=17, k=301),
        left="i32",
        right="i32",
        sums="i64",
        out="i32",
        epilogue="trunc",
    )
    compiled = Compiled(case)
    assert "in pairs of i16" in compiled.generated.summary
    random = np.random.default_rng(6)
    for which, outside in itertools.product((0, 1), (32767, -32768, 32768, -32769, 1 << 30, -(1 << 31))):
        arrays = [random.integers(-255, 256, (size, 301), np.int32) for size in (13, 17)]
        arrays[which][-1, -1] = arrays[which][0, 5] = outside
        (found,), (wanted,) = compiled.run(arrays), expected_integers(case, arrays)
        np.testing.assert_array_equal(found, wanted, err_msg=f"{outside} in factor {which}")


def test_pairs_that_nobody_looks_at_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space.Space, "_look_at", lambda self, value: None)
    case = Case(
        spec="m,k;k,n->m,n", sizes=dict(m=9, n=9, k=4), left="i32", right="i32", sums="i64", out="i32", epilogue="trunc"
    )
    arrays = inputs(case, 7, integers=True)
    (found,), (wanted,) = Compiled(case).run(arrays), expected_integers(case, arrays)
    assert (found != wanted).any()


def test_the_exact_comparison_can_fail() -> None:
    case = Case(spec="m,k;k,n->m,n", sizes=dict(m=9, n=21, k=30))
    wrong = dataclasses.replace(case, spec="k,m;k,n->m,n", sizes=dict(m=9, n=21, k=30))
    compiled = Compiled(wrong)
    compiled.case = case
    with pytest.raises(AssertionError, match="not equal"):
        check_exact(case, compiled)


def test_the_look_at_the_margins_can_fail() -> None:
    case = Case(spec="m,k;k,n->m,n", sizes=dict(m=9, n=16, k=30))
    honest = inputs(case, 1, integers=True)
    greedy = Compiled(dataclasses.replace(case, claimed=dict(m=10)))
    greedy.case = dataclasses.replace(case, sizes=case.sizes)
    padded = [np.concatenate([honest[0], honest[0][:1]]), honest[1]]
    shrunk = dataclasses.replace(greedy.request, scalars=())
    operands = tuple(
        dataclasses.replace(o, type=dataclasses.replace(o.type, shape=(9, 16))) if at == 2 else o
        for at, o in enumerate(shrunk.program.operands)
    )
    program = dataclasses.replace(shrunk.program, operands=operands)
    match = dataclasses.replace(shrunk.match, program=program)
    greedy.request = dataclasses.replace(shrunk, substitution=dataclasses.replace(shrunk.substitution, match=match))
    with pytest.raises(AssertionError, match="written outside"):
        greedy.run(padded)


GUARDED = [
    *MATMULS[6:18],
    *MATMULS[-6:],
    *BATCHED,
    *CONVOLUTIONS,
    *FUSED[:5],
    *FUSED[10:15],
    *FUSED[-2:],
    *DYNAMIC[4:8],
    *QUANTIZED[2:4],
    *QUANTIZED[7:9],
    *QUANTIZED[12:17:2],
]


def run_guarded(which: list[int], claimed: dict[str, int] | None = None) -> None:
    """Run in the guarded subprocess: inputs end where readable memory ends."""
    for at in which:
        case = dataclasses.replace(GUARDED[at], claimed=claimed or {})
        memory = Memory()
        Compiled(case).run([memory.place(a) for a in inputs(case, 4, integers=True)])
    print("done", len(which))


def guarded(arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"from runtime_tests.payload.test_contraction import *; run_guarded({arguments})"
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=1200)


def test_nothing_is_read_past_the_inputs() -> None:
    done = guarded(f"list(range({len(GUARDED)}))")
    assert done.stdout == f"done {len(GUARDED)}\n", done.stderr


def test_reading_past_the_inputs_ends_the_process() -> None:
    # the last row of `a` is missing: its 70 elements are beyond the page
    assert guarded("[0], {'m': 2}").returncode < 0


@pytest.mark.parametrize(
    ("features", "triple"),
    [
        ("+avx512f,+avx2,+fma,+avx,+avx512vl", "x86_64-unknown-unknown-eabi-elf"),
        ("+neon", "aarch64-unknown-unknown-eabi-elf"),
    ],
)
@pytest.mark.parametrize(
    "case", [MATMULS[-6], MATMULS[-4], CONVOLUTIONS[4], CONVOLUTIONS[8], DYNAMIC[-1], *QUANTIZED[1:6:4]], ids=str
)
def test_other_processors_get_code(case: Case, features: str, triple: str) -> None:
    other = target(features, triple, cpu="generic" if "aarch64" in triple else "x86-64")
    _, generated = generate(case, other)
    assert to_bitcode(generated.text, target=other, entry="kernel")[:2] == b"BC"


def with_core(case: Case, **changes: Any) -> Any:
    program = build(case)
    return dataclasses.replace(program, cores=(dataclasses.replace(program.cores[0], **changes),))


PLAIN = Case(spec="m,k;k,n->m,n", sizes=dict(m=4, n=8, k=8))


REFUSED = "the reduction is not a sum of f16, bf16, f32, i32 or i64"


def test_what_cannot_be_generated_is_said() -> None:
    assert contraction.can_generate(build(PLAIN)) == ""
    assert contraction.can_generate(with_core(PLAIN, combiner="arith.maximumf")) == REFUSED
    assert contraction.can_generate(with_core(PLAIN, init=None)) == "the sum does not start from a constant"
    none = dataclasses.replace(build(PLAIN), cores=())
    assert contraction.can_generate(none) == "the dispatch is not one reduction"
    part = build(PLAIN)
    wide = dataclasses.replace(PLAIN, left="i32", right="i32", sums="i64", out="i64")
    assert contraction.can_generate(build(wide)) == "a result uses more than the lower 32 bits of a sum of i64"
    half = dataclasses.replace(part.stores[0], sizes=(2, 8))
    part = dataclasses.replace(part, stores=(half,))
    assert contraction.can_generate(part) == "a result covers a part of the sum"


def test_generate_refuses_what_it_cannot_do() -> None:
    made, _ = generate(PLAIN)
    bad = with_core(PLAIN, combiner="arith.maximumf")
    match = dataclasses.replace(made.match, program=bad)
    refused = dataclasses.replace(made, substitution=dataclasses.replace(made.substitution, match=match))
    with pytest.raises(PayloadError) as caught:
        contraction.generate(refused)
    assert str(caught.value) == (
        "dispatch: the contraction generator cannot do this dispatch\n"
        "  expected:  a sum of products of f16, bf16, f32 or integers\n"
        f"  found:     {REFUSED}"
    )


@pytest.mark.parametrize("case", [*EVERY[::7], *QUANTIZED[::4], LARGE], ids=str)
@pytest.mark.parametrize("on", [HOST, OLD], ids=["host", "old"])
def test_buffers_fit_the_stack_of_a_worker(case: Case, on: Any) -> None:
    text = generate(case, on)[1].text
    sizes = {"float": 4, "i32": 4, "i64": 8}
    rooms = [
        re.findall(r"(\d+) x", line) + re.findall(r"(?<= )(?:float|i32|i64)", line)[:1]
        for line in text.splitlines()
        if "alloca" in line
    ]
    assert sum(math.prod(map(int, counts)) * sizes[kind] for *counts, kind in rooms) <= 36 * 1024
