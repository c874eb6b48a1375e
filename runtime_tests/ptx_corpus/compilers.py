"""Corpora that compilers make here, each where it is installed: nvcc, Triton, numba-cuda, LLVM by llvmlite."""

from __future__ import annotations

import importlib.util
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np

from substitute.payload.programs import find_program

from . import jit
from .outcomes import Case, Corpus, Expected

N = 100
_FLAGS = {"plain": (), "-G": ("-G",), "-lineinfo": ("-lineinfo",), "-use_fast_math": ("-use_fast_math",)}


def compilers() -> list[Corpus]:
    """Each compiler's, with the reason where it is not installed."""
    nvcc = "" if find_program("nvcc") else "nvcc is not installed"
    corpora = [Corpus(f"nvcc {name}", lambda f=flags: _nvcc(f), nvcc) for name, flags in _FLAGS.items()]
    for name, module, make in (
        ("Triton sm_80", "triton", lambda: jit.triton_cases(80)),
        ("Triton sm_90", "triton", lambda: jit.triton_cases(90)),
        ("numba-cuda", "numba_cuda", jit.numba_cases),
        ("llvmlite", "llvmlite", jit.llvm_cases),
    ):
        missing = "" if importlib.util.find_spec(module) else f"{module} is not installed"
        corpora.append(Corpus(name, make, missing))
    return corpora


def _nvcc(flags: tuple[str, ...]) -> Iterator[Case]:
    source = Path(__file__).with_name("kernels.cu")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "kernels.ptx"
        program = find_program("nvcc")
        assert program is not None
        subprocess.run([program, "-arch=sm_80", "-ptx", *flags, str(source), "-o", str(out)], check=True)
        text = out.read_text()
    fast = "-use_fast_math" in flags
    for name, arguments in _arguments(fast).items():
        yield Case(
            name=name,
            ptx=text,
            entry=name,
            arguments=(*arguments, np.int32(N)),
            grid=(1, 1, 1) if name == "sums" else (2, 1, 1),
            block=(64, 1, 1),
            architecture="sm_80",
        )


def _arguments(fast: bool) -> dict[str, tuple[object, ...]]:
    """Inputs and expected outputs of each kernel, computed with NumPy and Python's integers."""
    random = np.random.default_rng(8)
    wide = random.integers(0, 2**64, (N, 2), np.uint64)
    quotients = [((int(h) << 64) | int(low)) // 10 for h, low in wide]
    a, b = random.integers(0, 2**32, (2, N), np.uint32)
    x, y = random.standard_normal((2, N, 2)).astype("f2")
    ints = random.integers(-1000, 1000, N).astype("i4")
    doubles = random.uniform(0, 4, N)
    singles = doubles.astype("f4")
    halves = ((x > y).astype("f2") * x + np.maximum(x, y)).astype("f2")
    large = singles.astype("f8")
    function = np.exp(-large) + np.tanh(large) * np.log(1 + large) + 1 / np.sqrt(large + 1) + large / 3
    histogram = np.bincount(ints & 7, minlength=8)
    return {
        "divide_128": (wide, Expected(np.array([[q >> 64, q & (2**64 - 1)] for q in quotients], np.uint64))),
        "halves": (x, y, Expected(halves)),
        "bytes": (a, b, Expected(_bytes(a, b))),
        "sums": (singles, Expected(np.array([large.sum()], "f4"), 1e-5)),
        "choices": (ints, Expected(np.array([_choice((n + int(v)) & 7, int(v)) for n, v in enumerate(ints)], "i4"))),
        "numbers": (doubles, Expected(np.sqrt(doubles) + np.exp(-doubles) * np.sin(doubles) / (1 + doubles), 1e-13)),
        "singles": (singles, Expected(function.astype("f4"), 1e-3 if fast else 2e-6)),
        "counts": (ints, Expected(np.array([*histogram, ints.max()], "i4"), start=np.zeros(9, "i4"))),
        "pointers": (ints, Expected(np.where(ints & 1, ints * ints, 2 * ints).astype("i4"))),
        "prints": (ints, Expected(ints.astype(ml_dtypes.bfloat16).astype("i4"))),
    }


def _bytes(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    out = []
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        p, q = x.to_bytes(4, "little"), y.to_bytes(4, "little")
        far = int.from_bytes(bytes(abs(m - n) for m, n in zip(p, q, strict=True)), "little")
        total = sum(min((x >> s & 0xFFFF) + (y >> s & 0xFFFF), 0xFFFF) << s for s in (0, 16))
        ones = [n for n in range(3, 32) if x >> n & 1]
        both = p + q
        out.append(
            (
                far
                + total
                + (ones[1] if len(ones) > 1 else 0xFFFFFFFF)
                + int.from_bytes(bytes(both[n] for n in (1, 6, 4, 2)), "little")
            )
            & 0xFFFFFFFF
        )
    return np.array(out, np.uint32)


def _choice(kind: int, v: int) -> int:
    u = v & 0xFFFFFFFF
    return [v + 1, v * v, u.bit_count(), 32 - u.bit_length(), v >> 2, int(np.fmod(v, 7)), int(v / 3), -v][kind]
