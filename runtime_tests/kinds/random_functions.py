"""Random functions with fused work around a core, and their values in NumPy: a small generator for tests.

A function is a core (product, convolution, reduction, softmax or nothing) and an element-wise operation on its result.
Operands of both have random indexing maps: any rank from 0, permuted, constant in a dimension, one argument read twice.
Elements are small integers, so that sums and products are exact in every order. Sizes are static or dynamic.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Map = tuple[tuple[str, ...], ...]
"""One coordinate per dimension: the loops whose sum it is, none for a constant 0; `#n` is the constant n."""

SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17)
BINARY = {
    "arith.addf": np.add,
    "arith.subf": np.subtract,
    "arith.mulf": np.multiply,
    "arith.maximumf": np.maximum,
    "arith.minimumf": np.minimum,
}
COMBINERS = {"arith.addf": 0.0, "arith.maximumf": -64.0, "arith.minimumf": 64.0}
"""With what reductions start here."""


@dataclass
class Argument:
    """A tensor that a function takes, or a constant in it."""

    name: str
    extents: tuple[int, ...]
    dynamic: tuple[bool, ...]
    element: str
    values: Array
    constant: bool = False

    @property
    def type(self) -> str:
        """MLIR's spelling of the type."""
        shape = ["?" if d else str(e) for e, d in zip(self.extents, self.dynamic, strict=True)]
        return f"tensor<{'x'.join([*shape, self.element])}>"


@dataclass
class Stage:
    """One `linalg.generic`: `result = combiner over reduced loops of body(operands)`."""

    loops: tuple[str, ...]
    reduced: frozenset[str]
    operands: list[tuple[Argument | None, Map]]
    """None: the result of the stage before."""
    steps: list[tuple[str, int, bool]]
    """For each operand but the first: operation, position, and whether it stands left of what was computed so far."""
    out: tuple[str, ...]
    """The loops that index the result, in order."""
    combiner: str = ""


@dataclass
class Function:
    """A random function."""

    name: str
    kind: str
    sizes: dict[str, int]
    dynamic: frozenset[str]
    stages: list[Stage] = field(default_factory=list)
    arguments: list[Argument] = field(default_factory=list)

    @property
    def inputs(self) -> list[Array]:
        """Arguments of the call."""
        return [a.values for a in self.arguments if not a.constant]

    @property
    def is_exact(self) -> bool:
        """True if every right result is the same number."""
        return self.kind != "softmax"

    def expected(self) -> Array:
        """The function's value."""
        value: Array = np.zeros(())
        for number, stage in enumerate(self.stages):
            value = self._run(stage, value)
            if self.kind == "softmax" and number == 0:
                shifted = np.exp(value - value.max(axis=-1, keepdims=True))
                value = shifted / shifted.sum(axis=-1, keepdims=True)
        return value.astype(np.float32)

    def _run(self, stage: Stage, before: Array) -> Array:
        order = [*stage.out, *(loop for loop in stage.loops if loop in stage.reduced)]
        grid = dict(zip(order, np.ix_(*(np.arange(self.sizes[loop]) for loop in order)), strict=True))
        picked = []
        for argument, coordinates in stage.operands:
            source = before if argument is None else argument.values.astype(np.float64)
            at = tuple(sum((_coordinate(grid, w) for w in c), np.zeros((), np.int64)) for c in coordinates)
            picked.append(source[at] if at else source)
        value = picked[0]
        for operation, position, left in stage.steps:
            pair = (picked[position], value) if left else (value, picked[position])
            value = BINARY[operation](*pair)
        value = np.broadcast_to(value, [self.sizes[loop] for loop in order])
        axes = tuple(range(len(stage.out), len(order)))
        if not stage.combiner:
            return value
        start = COMBINERS[stage.combiner]
        return {"arith.addf": np.add, "arith.maximumf": np.maximum, "arith.minimumf": np.minimum}[
            stage.combiner
        ].reduce(value, axis=axes, initial=start)

    def text(self) -> str:
        """The function in MLIR."""
        parameters = ", ".join(f"%{a.name}: {a.type}" for a in self.arguments if not a.constant)
        lines = []
        for a in self.arguments:
            if a.constant:
                values = np.array2string(a.values, separator=", ", threshold=10**6).replace("\n", " ")
                lines.append(f"  %{a.name} = arith.constant dense<{values}> : {a.type}")
        for loop in sorted(self.dynamic):
            argument, dimension = self._holder(loop)
            lines.append(f"  %c_{loop} = arith.constant {dimension} : index")
            lines.append(f"  %n_{loop} = tensor.dim %{argument.name}, %c_{loop} : {argument.type}")
        before = ""
        for number, stage in enumerate(self.stages):
            lines += self._stage(number, stage, before)
            before = f"%r{number}"
            if self.kind == "softmax" and number == 0:
                type_ = self._type(stage.out)
                lines += [
                    f"  %es = tensor.empty({self._sizes(stage.out)}) : {type_}",
                    f"  %rs = linalg.softmax dimension({len(stage.out) - 1}) ins({before} : {type_})"
                    f" outs(%es : {type_}) -> {type_}",
                ]
                before = "%rs"
        type_ = self._type(self.stages[-1].out)
        return (
            f"func.func @{self.name}({parameters}) -> {type_} {{\n"
            + "\n".join(lines)
            + f"\n  return {before} : {type_}\n}}\n"
        )

    def _holder(self, loop: str) -> tuple[Argument, int]:
        for stage in self.stages:
            for argument, coordinates in stage.operands:
                for dimension, words in enumerate(coordinates):
                    if argument is not None and words == (loop,) and not argument.constant:
                        return argument, dimension
        raise AssertionError(f"no argument has the size of {loop}")

    def _type(self, loops: Sequence[str]) -> str:
        return f"tensor<{'x'.join([*('?' if n in self.dynamic else str(self.sizes[n]) for n in loops), 'f32'])}>"

    def _sizes(self, loops: Sequence[str]) -> str:
        return ", ".join(f"%n_{loop}" for loop in loops if loop in self.dynamic)

    def _stage(self, number: int, stage: Stage, before: str) -> list[str]:
        maps = [*(coordinates for _, coordinates in stage.operands), tuple((loop,) for loop in stage.out)]
        dims = ", ".join(stage.loops)
        texts = ", ".join(f"affine_map<({dims}) -> ({', '.join(map(_words, m))})>" for m in maps)
        kinds = ", ".join('"reduction"' if loop in stage.reduced else '"parallel"' for loop in stage.loops)
        types = [a.type if a else self._type(self.stages[number - 1].out) for a, _ in stage.operands]
        names = [f"%{a.name}" if a else before for a, _ in stage.operands]
        elements = [a.element if a else "f32" for a, _ in stage.operands]
        type_ = self._type(stage.out)
        lines = [f"  %e{number} = tensor.empty({self._sizes(stage.out)}) : {type_}"]
        init = f"%e{number}"
        if stage.combiner:
            init = f"%i{number}"
            lines += [
                f"  %z{number} = arith.constant {COMBINERS[stage.combiner]:e} : f32",
                f"  {init} = linalg.fill ins(%z{number} : f32) outs(%e{number} : {type_}) -> {type_}",
            ]
        block = ", ".join([*(f"%x{at}: {e}" for at, e in enumerate(elements)), "%o: f32"])
        body = [f"  ^bb0({block}):"]
        values = []
        for at, element in enumerate(elements):
            values.append(f"%x{at}" if element == "f32" else f"%f{at}")
            if element != "f32":
                body.append(f"    %f{at} = arith.sitofp %x{at} : {element} to f32")
        value = values[0]
        for at, (operation, position, left) in enumerate(stage.steps):
            pair = (values[position], value) if left else (value, values[position])
            body.append(f"    %v{at} = {operation} {', '.join(pair)} : f32")
            value = f"%v{at}"
        if stage.combiner:
            body.append(f"    %s = {stage.combiner} %o, {value} : f32")
            value = "%s"
        body.append(f"    linalg.yield {value} : f32")
        lines.append(
            f"  %r{number} = linalg.generic {{indexing_maps = [{texts}], iterator_types = [{kinds}]}}"
            f" ins({', '.join(names)} : {', '.join(types)}) outs({init} : {type_}) {{"
        )
        return [*lines, *body, f"  }} -> {type_}"]


def _coordinate(grid: dict[str, Array], word: str) -> Array:
    return np.asarray(int(word[1:])) if word[0] == "#" else grid[word]


def _words(coordinate: tuple[str, ...]) -> str:
    return " + ".join(word.removeprefix("#") for word in coordinate) or "0"


class Generator:
    """Makes functions from a seed."""

    def __init__(self, seed: int, *, elements: Sequence[str] = ("f32", "f32", "i32", "i8")) -> None:
        self.elements = elements
        self.random = random.Random(seed)
        self.numbers = np.random.default_rng(seed)

    def function(self, name: str, kind: str, *, dynamic: float = 0.25) -> Function:
        """A function of this kind: `product`, `convolution`, `reduction`, `softmax`, `elementwise`."""
        pick = self.random
        parallel = ["i", "j", *(["b"] if pick.random() < 0.4 else []), *(["c"] if pick.random() < 0.15 else [])]
        reduced = {"product": ["k"], "convolution": ["k", "r"], "reduction": ["k"]}.get(kind, [])
        if kind in ("product", "reduction") and pick.random() < 0.3:
            reduced.append("l")
        if kind == "reduction" and pick.random() < 0.15:
            parallel = []
        loops = [*parallel, *reduced]
        sizes = {loop: pick.choice(SIZES[1:] if pick.random() < 0.9 else SIZES) for loop in loops}
        if len(parallel) > 1 and pick.random() < 0.3:
            sizes[parallel[1]] = sizes[parallel[0]]
        still = {"r", *(["j"] if kind == "convolution" else []), *(loop for loop in loops if sizes[loop] == 1)}
        f = Function(name, kind, sizes, frozenset(n for n in loops if n not in still and pick.random() < dynamic))
        out = tuple(pick.sample(parallel, len(parallel))) if pick.random() < 0.3 else tuple(parallel)
        operands: list[tuple[Argument | None, Map]]
        steps = []
        if kind == "product":
            shared = [loop for loop in parallel[2:] if pick.random() < 0.7]
            left = ["i", *shared, *reduced]
            right = ["j", *(set(parallel[2:]) - set(shared)), *shared, *reduced]
            operands = [(self._argument(f, m), m) for m in (self._shuffled(left), self._shuffled(right))]
            steps = [("arith.mulf", 1, False)]
        elif kind == "convolution":
            image: Map = tuple(((loop, "r") if loop == "j" else (loop,)) for loop in ("k", *parallel[2:], "j"))
            filters = self._shuffled(["i", "k", "r"])
            operands = [(self._argument(f, image), image), (self._argument(f, filters), filters)]
            steps = [("arith.mulf", 1, False)]
        else:
            whole = self._shuffled(loops)
            operands = [(self._argument(f, whole), whole)]
        for _ in range(pick.choice((0, 0, 1, 2))):
            # before the product, so that it belongs to a factor, and after it
            self._extra(f, operands, loops)
            operation = pick.choice(
                tuple(BINARY) if kind not in ("product", "convolution") else ("arith.mulf", "arith.addf")
            )
            step = (operation, len(operands) - 1, pick.random() < 0.5)
            steps.insert(0 if kind in ("product", "convolution") else len(steps), step)
        combiner = {"product": "arith.addf", "convolution": "arith.addf"}.get(kind, "")
        if kind == "reduction":
            combiner = pick.choice(tuple(COMBINERS))
        f.stages.append(Stage(tuple(loops), frozenset(reduced), operands, steps, out, combiner))
        self._epilogue(f, out)
        return f

    def _epilogue(self, f: Function, out: tuple[str, ...]) -> None:
        pick = self.random
        result: tuple[Argument | None, Map] = (None, tuple((loop,) for loop in out))
        operands, steps = [result], []
        for _ in range(pick.choice((1, 1, 2, 3))):
            if pick.random() < 0.1:
                operands.append(result)
            else:
                self._extra(f, operands, out)
            steps.append((pick.choice(tuple(BINARY)), len(operands) - 1, pick.random() < 0.5))
        last = tuple(pick.sample(out, len(out))) if pick.random() < 0.2 else out
        f.stages.append(Stage(out, frozenset(), operands, steps, last))

    def _extra(self, f: Function, operands: list[tuple[Argument | None, Map]], loops: Sequence[str]) -> None:
        """Appends one more operand over some of `loops`: new, or an argument that is there already."""
        pick = self.random
        if pick.random() < 0.2:
            argument = pick.choice(f.arguments)
            fitting = [
                [n for n in loops if f.sizes[n] == e and n not in f.dynamic and not d]
                for e, d in zip(argument.extents, argument.dynamic, strict=True)
            ]
            if all(fitting):
                operands.append((argument, tuple((pick.choice(names),) for names in fitting)))
                return
        some = [loop for loop in loops if pick.random() < 0.4] if pick.random() < 0.6 else []
        map_ = list(self._shuffled(some))
        if pick.random() < 0.15:
            map_.insert(pick.randrange(len(map_) + 1), (f"#{pick.choice((0, 0, 2))}",))
        operands.append((self._argument(f, tuple(map_), element=pick.choice(self.elements)), tuple(map_)))

    def _shuffled(self, loops: Sequence[str]) -> Map:
        order = list(loops) if self.random.random() < 0.5 else self.random.sample(list(loops), len(loops))
        return tuple((loop,) for loop in order)

    def _argument(self, f: Function, map_: Map, element: str = "f32") -> Argument:
        """An argument, or now and then a constant, that this map reads whole."""
        extents, dynamic = [], []
        for words in map_:
            if words[0][0] == "#":
                extents.append(int(words[0][1:]) + 1)
            else:
                extents.append(sum(f.sizes[word] for word in words) - len(words) + 1)
            dynamic.append(any(word in f.dynamic for word in words))
        type_ = {"f32": np.float32, "i32": np.int32, "i8": np.int8}[element]
        values = self.numbers.integers(-2, 3, size=extents).astype(type_)
        is_constant = not any(dynamic) and bool(f.arguments) and values.size <= 20 and self.random.random() < 0.15
        argument = Argument(
            f"a{len(f.arguments)}", tuple(extents), tuple(dynamic), element, np.asarray(values), is_constant
        )
        f.arguments.append(argument)
        return argument


KINDS = ("product", "product", "convolution", "reduction", "softmax", "elementwise")


def random_functions(
    seed: int, count: int, *, dynamic: float = 0.25, elements: Sequence[str] = ("f32", "f32", "i32", "i8")
) -> list[Function]:
    """`count` functions of all kinds; `elements` are those of further operands, the more often the likelier."""
    generator = Generator(seed, elements=elements)
    return [generator.function(f"f{n}", KINDS[n % len(KINDS)], dynamic=dynamic) for n in range(count)]


def module_text(functions: Sequence[Function]) -> str:
    """All functions in one module."""
    return "\n".join(f.text() for f in functions)


def difference(function: Function, found: Array) -> str:
    """Return how a result differs from the function's value; empty if it does not."""
    expected = function.expected()
    if found.shape != expected.shape:
        return f"shape {found.shape}, expected {expected.shape}"
    right = np.array_equal(found, expected) if function.is_exact else np.allclose(found, expected, rtol=1e-4, atol=1e-5)
    if right:
        return ""
    at = tuple(int(i[0]) for i in np.nonzero(np.atleast_1d(~np.isclose(found, expected, rtol=1e-4, atol=1e-5))))
    return f"{np.atleast_1d(found)[at]} at {at}, expected {np.atleast_1d(expected)[at]}"
