"""A function of the linalg dialect while it is being written: its arguments, its values and its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from runtime_tests.fuzz.choices import Choices

SETS = 2
"""Number of sets of sizes with which a function of open sizes is launched."""
FLOATS = ("f32", "f16", "bf16", "f64")
INTEGERS = ("i32", "i8", "i64", "i16")
WIDTHS = {"i1": 1, "i8": 8, "i16": 16, "i32": 32, "i64": 64, "f16": 16, "bf16": 16, "f32": 32, "f64": 64, "index": 64}
SIZES = (4, 3, 2, 5, 1, 7, 8, 6, 9, 16, 2, 3, 4, 1, 17, 15, 12, 33)
LARGE = (64, 65, 100, 128, 130, 200, 257)
MOST = 40_000
"""Iterations of one loop nest, at most."""


@dataclass(frozen=True, slots=True)
class Size:
    """Size of one dimension or loop, in each of the sets; `open` if the type has `?`."""

    values: tuple[int, ...]
    open: bool = False

    def span(self, stride: int, more: int = 0) -> Size:
        """Return the extent that a loop of this size reads with a stride, and `more` elements besides."""
        return Size(tuple(stride * (v - 1) + 1 + more if v else more for v in self.values), self.open)

    def plus(self, more: int) -> Size:
        """A size that is larger by a number."""
        return Size(tuple(v + more for v in self.values), self.open)

    @property
    def text(self) -> str:
        """In a type."""
        return "?" if self.open else str(self.values[0])


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value of the function."""

    name: str
    shape: tuple[Size, ...]
    element: str

    @property
    def type(self) -> str:
        """MLIR's spelling of the type."""
        return f"tensor<{''.join(s.text + 'x' for s in self.shape)}{self.element}>"

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.shape)


@dataclass(frozen=True, slots=True)
class Argument:
    """Argument of the function: a tensor, or a scalar (`shape` is None)."""

    shape: tuple[Size, ...] | None
    element: str
    limit: int | None = None
    """For integers that are used as indices: valid ones are below this."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function that can be put into a module under any name."""

    seed: str
    choices: tuple[int, ...]
    arguments: tuple[Argument, ...]
    parts: tuple[str, ...]
    """Text after `func.func @NAME`."""
    results: int
    kinds: tuple[str, ...]
    """Names of the operations in it, for statistics."""
    imported: bool = False
    """It comes from ONNX, and is in the torch dialect."""

    def text(self, name: str) -> str:
        """The function under a name."""
        return f"func.func @{name}" + "\n".join(self.parts)

    def shapes(self, number: int) -> tuple[tuple[int, ...], ...]:
        """The shapes of all arguments in one set of sizes; a scalar has none."""
        return tuple(tuple(s.values[number] for s in a.shape or ()) for a in self.arguments)

    @property
    def open(self) -> bool:
        """True if it has more than one set of sizes."""
        return any(s.open for a in self.arguments for s in a.shape or ())


@dataclass(slots=True)
class Builder:
    """Collects arguments and lines."""

    choices: Choices
    main: str = "f32"
    """The element type of most values."""
    open: bool = False
    """Some sizes are only known at run time."""
    lines: list[str] = field(default_factory=list)
    arguments: list[tuple[str, Argument]] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    count: int = 0
    constants: dict[int, str] = field(default_factory=dict)

    def name(self, prefix: str = "v") -> str:
        """A new one."""
        self.count += 1
        return f"%{prefix}{self.count}"

    def line(self, text: str) -> None:
        """Adds a line."""
        self.lines.append("  " + text)

    def size(self, *, most: int = 10**6) -> Size:
        """Return the size of a new loop."""
        c = self.choices
        sizes = [s for s in SIZES if s <= most] or [1]
        drawn = c.pick(LARGE) if c.chance(5) and most >= max(LARGE) else c.pick(sizes)
        if not (self.open and c.chance(50)):
            return Size((drawn,) * SETS)
        other = c.pick((drawn, *(s for s in (1, 2, 3, 0, 8, 16, 17) if s <= most)))
        return Size((drawn, other), open=True)

    def sizes(self, count: int, most: int = MOST) -> list[Size]:
        """Return sizes of several loops with a small product."""
        found = []
        for _ in range(count):
            found.append(self.size(most=most))
            most = max(1, most // max(*found[-1].values, 1))
        return found

    def argument(self, shape: Sequence[Size], element: str, limit: int | None = None) -> Tensor:
        """A new tensor argument; where a constant will do it may be one."""
        shape = tuple(shape)
        total = 1
        for size in shape:
            total *= size.values[0]
        if limit is None and not any(s.open for s in shape) and self.choices.chance(12):
            return self.constant(shape, element, total)
        name = f"%arg{len(self.arguments)}"
        self.arguments.append((name, Argument(shape, element, limit)))
        found = Tensor(name, shape, element)
        self.values.append(found)
        return found

    def constant(self, shape: tuple[Size, ...], element: str, total: int) -> Tensor:
        """A splat, or a few dense numbers."""
        c = self.choices
        found = Tensor(self.name("c"), shape, element)
        if total == 0 or total > 96 or not shape or c.chance(40):
            value = self.literal(element)
        else:
            value = _nested([s.values[0] for s in shape], iter([self.literal(element) for _ in range(total)]))
        self.line(f"{found.name} = arith.constant dense<{value}> : {found.type}")
        return found

    def literal(self, element: str) -> str:
        """A small number of a type."""
        c = self.choices
        if element == "i1":
            return c.pick(("false", "true"))
        if element.startswith("i"):
            return str(c.pick((1, 2, 3, 0, -1, 5, 7, -4, 100)))
        return c.pick(("1.0", "2.0", "0.5", "0.0", "-1.0", "3.0", "-0.25", "0.1", "1.0e-3", "10.0", "-0.0"))

    def scalar(self, element: str) -> str:
        """A scalar: a constant, or an argument of the function."""
        if self.choices.chance(15) and element in ("f32", "i32", "i64", "index"):
            name = f"%arg{len(self.arguments)}"
            self.arguments.append((name, Argument(None, element)))
            return name
        return self.scalar_constant(self.literal(element), element)

    def scalar_constant(self, literal: str, element: str) -> str:
        """A constant with a name."""
        name = self.name("s")
        self.line(f"{name} = arith.constant {literal}" + ("" if element == "i1" else f" : {element}"))
        return name

    def index(self, number: int) -> str:
        """A constant index."""
        if number not in self.constants:
            name = f"%index{number}"
            self.constants[number] = name
            self.lines.insert(0, f"  {name} = arith.constant {number} : index")
        return self.constants[number]

    def extent(self, tensor: Tensor, dimension: int) -> str:
        """The size of a dimension, as a value."""
        name = self.name("d")
        self.line(f"{name} = tensor.dim {tensor.name}, {self.index(dimension)} : {tensor.type}")
        return name

    def empty(self, shape: Sequence[Size], element: str, extents: Sequence[str | None]) -> Tensor:
        """A `tensor.empty`; `extents` gives the value of each open size."""
        found = Tensor(self.name("e"), tuple(shape), element)
        given = ", ".join(str(e) for s, e in zip(shape, extents, strict=True) if s.open)
        self.line(f"{found.name} = tensor.empty({given}) : {found.type}")
        return found

    def filled(self, empty: Tensor, value: str) -> Tensor:
        """A `linalg.fill`."""
        found = Tensor(self.name("f"), empty.shape, empty.element)
        self.line(
            f"{found.name} = linalg.fill ins({value} : {empty.element}) outs({empty.name} : {empty.type}) "
            f"-> {empty.type}"
        )
        return found

    def operand(self, shape: Sequence[Size], element: str, *, reuse: int = 35) -> Tensor:
        """A value that has this type: an earlier one (several operands may be one tensor), or a new argument."""
        fitting = [v for v in self.values if v.shape == tuple(shape) and v.element == element]
        if fitting and self.choices.chance(reuse):
            return self.choices.pick(fitting)
        return self.argument(shape, element)

    def element(self) -> str:
        """The main type, or another now and then."""
        c = self.choices
        return c.pick((*FLOATS, *INTEGERS, "i1")) if c.chance(15) else self.main


def _nested(shape: Sequence[int], values: object) -> str:
    if not shape:
        return next(values)  # type: ignore[call-overload, no-any-return]
    return "[" + ", ".join(_nested(shape[1:], values) for _ in range(shape[0])) + "]"
