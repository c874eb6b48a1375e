"""`python -m runtime_tests.golden.scalar_programs [--seed N] [--random N] [--only TEXT] [--kernels] [--device D]`

Scalar bodies, golden beside stock IREE: every scalar operation on every element type, then random bodies of a few
operations, on special and random numbers. Many functions share a compilation. Prints each function on which the golden
and IREE's code differ by more than the golden's bound, and exits with 1 if there is one that is no known fault of
IREE's (`FAULTS`). With `--kernels` the built-in kernels are judged instead, by the bound for kernels.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime_tests.golden.functions import Array, evaluate
from substitute.device import Session
from substitute.errors import CompilerError, SubstituteError
from substitute.golden.numbers import element_of
from substitute.golden.unsupported import Unsupported
from substitute.pipeline import compile_model
from substitute.validate.targets import flags_for

COUNT = 96
"""Elements of every operand."""
FLOATS = ("f32", "f64", "f16", "bf16")
INTEGERS = ("i32", "i64", "i16", "i8")
FLOAT_UNARY = (
    "arith.negf",
    "math.absf",
    "math.ceil",
    "math.floor",
    "math.round",
    "math.roundeven",
    "math.trunc",
    "math.sqrt",
    "math.rsqrt",
    "math.cbrt",
    "math.exp",
    "math.exp2",
    "math.expm1",
    "math.log",
    "math.log2",
    "math.log10",
    "math.log1p",
    "math.sin",
    "math.cos",
    "math.tan",
    "math.asin",
    "math.acos",
    "math.atan",
    "math.sinh",
    "math.cosh",
    "math.tanh",
    "math.asinh",
    "math.acosh",
    "math.atanh",
    "math.erf",
    "math.erfc",
)
FLOAT_BINARY = (
    "arith.addf",
    "arith.subf",
    "arith.mulf",
    "arith.divf",
    "arith.remf",
    "arith.maximumf",
    "arith.minimumf",
    "arith.maxnumf",
    "arith.minnumf",
    "math.powf",
    "math.atan2",
    "math.copysign",
)
INTEGER_BINARY = (
    "addi",
    "subi",
    "muli",
    "andi",
    "ori",
    "xori",
    "maxsi",
    "minsi",
    "maxui",
    "minui",
    "divsi",
    "divui",
    "floordivsi",
    "ceildivsi",
    "ceildivui",
    "remsi",
    "remui",
    "shli",
    "shrsi",
    "shrui",
)
INTEGER_UNARY = ("math.absi", "math.ctlz", "math.cttz", "math.ctpop")
CMPI = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")
CMPF = ("oeq", "ogt", "oge", "olt", "ole", "one", "ord", "ueq", "ugt", "uge", "ult", "ule", "une", "uno")


FAULTS = frozenset(
    (f"math.{name}", t)
    for t, names in {
        "f32": ("cbrt", "powf", "fpowi", "sin", "cos", "tan", "log10", "erfc"),
        "f64": (
            "powf",
            "fpowi",
            "cbrt",
            "erf",
            "erfc",
            "log2",
            "log10",
            "sin",
            "cos",
            "tan",
            "asin",
            "acos",
            "atan",
            "atan2",
            "tanh",
        ),
    }.items()
    for name in names
) | {("arith.remf", "f64")}
"""Operations that IREE computes wrong, or does not compile, on its own: README.md says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One function: an element-wise body over vectors."""

    inputs: tuple[str, ...]
    result: str
    lines: tuple[str, ...]
    """The body; its operands are %a, %b, … and its result %r."""

    def text(self, name: str) -> str:
        """The function."""
        names = "abcdef"[: len(self.inputs)]
        maps = ", ".join(["affine_map<(i) -> (i)>"] * (len(names) + 1))
        parameters = ", ".join(f"%t{n}: tensor<{COUNT}x{t}>" for n, t in zip(names, self.inputs, strict=True))
        operands = ", ".join(f"%t{n}" for n in names)
        types = ", ".join(f"tensor<{COUNT}x{t}>" for t in self.inputs)
        scalars = ", ".join(f"%{n}: {t}" for n, t in zip(names, self.inputs, strict=True))
        result = f"tensor<{COUNT}x{self.result}>"
        body = "\n    ".join(self.lines)
        return f"""func.func @{name}({parameters}) -> {result} {{
  %e = tensor.empty() : {result}
  %x = linalg.generic {{indexing_maps = [{maps}], iterator_types = ["parallel"]}}
      ins({operands} : {types}) outs(%e : {result}) {{
  ^bb0({scalars}, %o: {self.result}):
    {body}
    linalg.yield %r : {self.result}
  }} -> {result}
  return %x : {result}
}}
"""


def single_operations() -> Iterator[Program]:
    """Every operation on every type."""
    for t in FLOATS:
        for op in FLOAT_UNARY:
            yield Program(inputs=(t,), result=t, lines=(f"%r = {op} %a : {t}",))
        for op in FLOAT_BINARY:
            yield Program(inputs=(t, t), result=t, lines=(f"%r = {op} %a, %b : {t}",))
        yield Program(inputs=(t, t, t), result=t, lines=(f"%r = math.fma %a, %b, %c : {t}",))
        yield Program(inputs=(t, "i32"), result=t, lines=(f"%r = math.fpowi %a, %b : {t}, i32",))
        for predicate in CMPF:
            lines = (f"%p = arith.cmpf {predicate}, %a, %b : {t}", f"%r = arith.select %p, %a, %b : {t}")
            yield Program(inputs=(t, t), result=t, lines=lines)
        for u in INTEGERS:
            for op in ("sitofp", "uitofp"):
                yield Program(inputs=(u,), result=t, lines=(f"%r = arith.{op} %a : {u} to {t}",))
            for op in ("fptosi", "fptoui"):
                yield Program(inputs=(t,), result=u, lines=(f"%r = arith.{op} %a : {t} to {u}",))
        for u in FLOATS:
            a, b = element_of(t).bits, element_of(u).bits
            if a != b:
                yield Program(
                    inputs=(t,), result=u, lines=(f"%r = arith.{'extf' if a < b else 'truncf'} %a : {t} to {u}",)
                )
    for t in INTEGERS:
        for op in INTEGER_BINARY:
            yield Program(inputs=(t, t), result=t, lines=(f"%r = arith.{op} %a, %b : {t}",))
        for op in INTEGER_UNARY:
            yield Program(inputs=(t,), result=t, lines=(f"%r = {op} %a : {t}",))
        for predicate in CMPI:
            lines = (f"%p = arith.cmpi {predicate}, %a, %b : {t}", f"%r = arith.select %p, %a, %b : {t}")
            yield Program(inputs=(t, t), result=t, lines=lines)
        for u in INTEGERS:
            a, b = element_of(t).bits, element_of(u).bits
            for op in ("extsi", "extui") if a < b else ("trunci",) if a > b else ():
                yield Program(inputs=(t,), result=u, lines=(f"%r = arith.{op} %a : {t} to {u}",))


def random_program(chance: random.Random) -> Program:
    """A body of three to seven operations over values of one to three types."""
    inputs = tuple(chance.choice(FLOATS + INTEGERS) for _ in range(chance.randint(1, 3)))
    values: list[tuple[str, str]] = [(f"%{'abc'[i]}", t) for i, t in enumerate(inputs)]
    lines: list[str] = []
    for number in range(chance.randint(3, 7)):
        name, (a, t) = f"%v{number}", chance.choice(values)
        b = chance.choice([v for v, u in values if u == t])
        kind = chance.random()
        if kind < 0.2:
            to = chance.choice([u for u in FLOATS + INTEGERS if u != t])
            op = _conversion(t, to, chance)
            if not op:
                continue
            lines.append(f"{name} = {op} {a} : {t} to {to}")
            t = to
        elif kind < 0.35:
            op, predicates = ("arith.cmpf", CMPF) if t in FLOATS else ("arith.cmpi", CMPI)
            lines.append(f"%p{number} = {op} {chance.choice(predicates)}, {a}, {b} : {t}")
            c = chance.choice([v for v, u in values if u == t])
            lines.append(f"{name} = arith.select %p{number}, {c}, {b} : {t}")
        elif kind < 0.6:
            lines.append(f"{name} = {chance.choice(FLOAT_UNARY if t in FLOATS else INTEGER_UNARY)} {a} : {t}")
        else:
            op = chance.choice(FLOAT_BINARY) if t in FLOATS else "arith." + chance.choice(INTEGER_BINARY)
            lines.append(f"{name} = {op} {a}, {b} : {t}")
        values.append((name, t))
    if not lines:
        return random_program(chance)
    last, t = values[-1]
    lines = [line.replace(f"{last} =", "%r =") for line in lines]
    return Program(inputs=inputs, result=t, lines=tuple(lines))


def _conversion(source: str, target: str, chance: random.Random) -> str:
    a, b = element_of(source).bits, element_of(target).bits
    if source in FLOATS and target in FLOATS:
        return "" if a == b else "arith.extf" if a < b else "arith.truncf"
    if source in FLOATS:
        return chance.choice(("arith.fptosi", "arith.fptoui"))
    if target in FLOATS:
        return chance.choice(("arith.sitofp", "arith.uitofp"))
    return "arith.trunci" if a > b else chance.choice(("arith.extsi", "arith.extui"))


def operand(element: str, seed: int) -> Array:
    """Special numbers and random ones, in an order of their own."""
    kind, generator = element_of(element), np.random.default_rng(seed)
    if kind.is_float:
        special = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            -0.5,
            2.5,
            -3.5,
            np.nan,
            np.inf,
            -np.inf,
            kind.smallest,
            -kind.smallest,
            kind.largest,
            -kind.largest,
            1e4,
            -1e4,
            127.5,
            300.0,
        ]
        scale = 10.0 ** generator.uniform(-3, 2, COUNT - len(special))
        with np.errstate(over="ignore"):
            values = np.array([*special, *(generator.standard_normal(COUNT - len(special)) * scale)]).astype(
                kind.storage
            )
    else:
        info = np.iinfo(kind.storage)
        special = [0, 1, -1, 2, -2, 7, kind.bits - 1, kind.bits, info.min, info.max, info.min + 1]
        small = generator.integers(-20, 21, 30)
        wide = generator.integers(info.min, info.max, COUNT - len(special) - 30, dtype=kind.storage, endpoint=True)
        values = np.array([*special, *small.tolist(), *wide.tolist()]).astype(kind.storage)
    return np.asarray(generator.permutation(values))


def difference(found: Array, golden: Any, element: str) -> str:
    """Return the first element further from the golden than its bound; empty if there is none."""
    value, error = golden.value.astype(np.float64), golden.error
    if not element_of(element).is_float:
        wrong = np.isfinite(error) & (np.abs(found.astype(np.float64) - value) > error)
        wrong |= (error == 0) & (found != golden.value.astype(found.dtype))
    else:
        result = found.astype(np.float64)
        with np.errstate(invalid="ignore"):
            close = np.abs(result - value) <= error
        same = (np.isnan(result) & np.isnan(value)) | (result == value)
        wrong = ~(close | same | np.isinf(error))
    if not wrong.any():
        return ""
    at = int(np.argmax(wrong))
    return (
        f"{int(wrong.sum())} of {found.size}: element {at} is {found[at]} and not {golden.value[at]} ± {error[at]:.2g}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Code that is compared with the golden."""

    kernels: bool = False
    device: str = "local-sync"


def compare(
    programs: Sequence[Program], folder: Path, seed: int, subject: Subject = Subject()
) -> Iterator[tuple[Program, str]]:
    """Compile all programs in one module (fewer where that fails) and yield what differs."""
    path = folder / "programs.mlir"
    path.write_text("".join(p.text(f"f{i}") for i, p in enumerate(programs)))
    flags = flags_for(subject.device, ("--iree-input-demote-f64-to-f32=false",))
    try:
        compiled = compile_model(path, substitute=subject.kernels, check=False, flags=flags)
    except CompilerError as error:
        if len(programs) == 1:
            yield programs[0], "not compiled: " + error.details.strip().partition("\n")[0][-120:]
            return
        half = len(programs) // 2
        yield from compare(programs[:half], folder, seed, subject)
        yield from compare(programs[half:], folder, seed, subject)
        return
    taken = {s.dispatch.name.partition("_")[0] for s in compiled.plan.substitutions}
    with Session(compiled.vmfb, device=subject.device) as session:
        for i, program in enumerate(programs):
            if subject.kernels and f"f{i}" not in taken:
                continue  # it is IREE's own code
            operands = [operand(t, seed + n) for n, t in enumerate(program.inputs)]
            try:
                (golden,) = evaluate(program.text("f"), *operands, composed=not subject.kernels)
            except Unsupported as error:
                yield program, f"no golden: {error.operation}"
                continue
            try:
                (found,) = session.call(f"f{i}", operands)
            except SubstituteError as error:
                yield program, f"does not run: {error}"
                continue
            words = difference(found, golden, program.result)
            if words:
                yield program, words + f"; operands {[o[int(words.split('element ')[1].split()[0])] for o in operands]}"


def main() -> int:
    """Print what differs."""
    import tempfile

    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--random", type=int, default=200)
    parser.add_argument("--chunk", type=int, default=60)
    parser.add_argument("--only", default="", help="programs with a line that holds this text")
    parser.add_argument("--kernels", action="store_true")
    parser.add_argument("--device", default="local-sync")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    programs = [*single_operations(), *(random_program(chance) for _ in range(arguments.random))]
    programs = [p for p in programs if arguments.only in "\n".join(p.lines)]
    subject = Subject(kernels=arguments.kernels, device=arguments.device)
    differing = of_iree = 0
    with tempfile.TemporaryDirectory() as folder:
        for start in range(0, len(programs), arguments.chunk):
            for program, words in compare(
                programs[start : start + arguments.chunk], Path(folder), arguments.seed, subject
            ):
                known = not subject.kernels and any(
                    f"{op} " in n and f": {t}" in n for op, t in FAULTS for n in program.lines
                )
                differing, of_iree = differing + (not known), of_iree + known
                print(f"{'known fault of IREE: ' if known else ''}{' / '.join(program.lines)}: {words}", flush=True)
    print(f"{len(programs)} programs, seed {arguments.seed}: {differing} differ, {of_iree} by known faults of IREE")
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main())
