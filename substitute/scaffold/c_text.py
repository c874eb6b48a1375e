"""Simple code as C, CUDA C++ and GLSL text."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar

from ..codegen.glsl.operations import GLSL_TYPE, lower_constant, lower_operation
from ..codegen.unsupported import Unsupported
from ..model.index import Expr, Index
from ..model.kernel import Kernel
from ..model.scalar import Scalar, ScalarGraph
from ..payload.calls import C_TYPES
from .draft import NotExpressible
from .nests import free_name, list_names, render_factor

SMALL = ("f16", "bf16")


@dataclass(slots=True)
class TextWriter(ABC):
    """Common base of the writers of C-like languages. See `nests.Writer`."""

    kernel: Kernel
    lines: list[str] = field(default_factory=list)
    depth: int = 1
    index_type: ClassVar[str] = "int64_t"

    def put(self, line: str) -> None:
        self.lines.append(f"{'  ' * self.depth}{line}")

    def size(self, value: Index) -> str:
        return render_factor(value)

    @contextmanager
    def loop(self, size: Index, name: str) -> Iterator[str]:
        self.put(f"for ({self.index_type} {name} = 0; {name} < {self.size(size)}; ++{name}) {{")
        self.depth += 1
        yield name
        self.depth -= 1
        self.put("}")

    @contextmanager
    def when_below(self, index: str, size: Index) -> Iterator[None]:
        self.put(f"if ({index} < {self.size(size)}) {{")
        self.depth += 1
        yield
        self.depth -= 1
        self.put("}")

    def add(self, a: str, b: str) -> str:
        return f"({a} + {b})"

    def multiply(self, a: str, b: str) -> str:
        return f"({a} * {b})"

    def split(self, flat: str, sizes: Sequence[Index], names: Sequence[str]) -> list[str]:
        for at, (size, name) in enumerate(zip(sizes, names, strict=True)):
            inner = " * ".join(self.size(s) for s in sizes[at + 1 :])
            text = f"{flat} / ({inner})" if inner else flat
            self.put(f"{self.index_type} {name} = {f'{text} % {self.size(size)}' if at else text};")
        return list(names)

    def index_value(self, index: str) -> str:
        return index

    def coordinate(self, value: str) -> str:
        return value

    def variable(self, type_: str, init: float | int, name: str) -> str:
        self.put(f"{self.held(type_)} {name} = {self.constant(init, type_)};")
        return name

    def read_variable(self, variable: str) -> str:
        return variable

    def set_variable(self, variable: str, value: str) -> None:
        self.put(f"{variable} = {value};")

    def keep(self, value: str, type_: str, name: str) -> str:
        self.put(f"{self.held(type_)} {name} = {value};")
        return name

    def scalars(self, graph: ScalarGraph, leaves: Mapping[int, str]) -> list[str]:
        needed = set().union(*(graph.depends_on(r) for r in graph.results)) if graph.results else set()
        uses = [o for at in needed for o in graph.nodes[at].operands]
        texts: dict[int, str] = {}
        for number in sorted(needed):
            node = graph.nodes[number]
            if number in leaves:
                texts[number] = leaves[number]
            elif node.op == "constant":
                assert isinstance(node.attribute, (int, float))
                texts[number] = self.constant(node.attribute, node.type)
            elif node.op == "parameter":
                texts[number] = self.parameter(node)
            elif node.op == "size":
                assert isinstance(node.attribute, (int, Expr))
                texts[number] = self.size_value(node.attribute, node.type)
            else:
                types = tuple(graph.nodes[o].type for o in node.operands)
                texts[number] = self.operation(node, types, tuple(texts[o] for o in node.operands))
            if uses.count(number) > 1 and len(texts[number]) > 12:
                name = free_name(f"v{len(self.lines)}", list_names(self.kernel))
                texts[number] = self.keep(texts[number], node.type, name)
        return [texts[r] for r in graph.results]

    @abstractmethod
    def held(self, type_: str) -> str:
        """Return the type of a variable. Raises `NotExpressible`."""

    @abstractmethod
    def constant(self, value: float | int, type_: str) -> str:
        """Return a literal. Raises `NotExpressible`."""

    @abstractmethod
    def parameter(self, node: Scalar) -> str:
        """Return the value of a parameter of the kernel."""

    @abstractmethod
    def size_value(self, value: Index, type_: str) -> str:
        """Return a size as a scalar of a type."""

    @abstractmethod
    def operation(self, node: Scalar, types: tuple[str, ...], operands: tuple[str, ...]) -> str:
        """Return a scalar operation. Raises `NotExpressible`."""


@dataclass(slots=True)
class GlslWriter(TextWriter):
    """A body with `void main()`; the toolkit declares what it calls."""

    index_type: ClassVar[str] = "int"

    def load(self, operand: int, coordinates: Sequence[str]) -> str:
        return f"load_{self.kernel.operands[operand].name}({', '.join(coordinates)})"

    def store(self, operand: int, coordinates: Sequence[str], value: str) -> None:
        self.put(f"store_{self.kernel.operands[operand].name}({', '.join((*coordinates, value))});")

    def held(self, type_: str) -> str:
        if type_ not in GLSL_TYPE:
            raise NotExpressible(f"{type_} in GLSL")
        return GLSL_TYPE[type_]

    def constant(self, value: float | int, type_: str) -> str:
        return _supported(lambda: lower_constant(value, type_))

    def parameter(self, node: Scalar) -> str:
        assert isinstance(node.attribute, int)
        return self.kernel.parameters[node.attribute].name

    def size_value(self, value: Index, type_: str) -> str:
        return self.operation(Scalar("arith.index_cast", type_), ("index",), (self.size(value),))

    def operation(self, node: Scalar, types: tuple[str, ...], operands: tuple[str, ...]) -> str:
        if node.op == "arith.index_cast" and node.type == types[0]:
            return operands[0]
        return _supported(lambda: lower_operation(node, types, operands))


def _supported(lower: Callable[[], str]) -> str:
    try:
        return lower()
    except Unsupported as error:
        raise NotExpressible(f"{error} in GLSL") from None


_BINARY = {"addf": "+", "subf": "-", "mulf": "*", "divf": "/"}
_WRAPPING = {"addi": "+", "subi": "-", "muli": "*", "andi": "&", "ori": "|", "xori": "^"}
_SIGNED = {"divsi": "/", "remsi": "%", "shrsi": ">>"}
_UNSIGNED = {"divui": "/", "remui": "%", "shrui": ">>", "shli": "<<"}
_ORDER = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_LIBM = frozenset(
    (
        "exp",
        "exp2",
        "expm1",
        "log",
        "log2",
        "log10",
        "log1p",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "tanh",
        "asinh",
        "acosh",
        "atanh",
        "erf",
        "erfc",
        "floor",
        "ceil",
        "trunc",
        "round",
        "sqrt",
        "cbrt",
    )
)
_RENAMED = {"absf": "fabs", "powf": "pow", "atan2": "atan2", "copysign": "copysign", "fma": "fma", "roundeven": "rint"}
_C_INTEGERS = ("i1", "i8", "i16", "i32", "i64", "index")

HELPERS = {
    "maximum": "static {D}inline {T} maximum_{s}({T} a, {T} b) {{\n"
    "  return a != a ? a : b != b ? b : a > b ? a : b > a ? b : a == 0 ? a + b : a;  // NaN wins\n}}\n",
    "minimum": "static {D}inline {T} minimum_{s}({T} a, {T} b) {{\n"
    "  return a != a ? a : b != b ? b : a < b ? a : b < a ? b : a == 0 ? -(-a - b) : a;  // NaN wins\n}}\n",
}


@dataclass(slots=True)
class CWriter(TextWriter):
    """A function in C; with `cuda`, in CUDA C++."""

    cuda: bool = False
    helpers: set[tuple[str, str]] = field(default_factory=set)
    libm: set[str] = field(default_factory=set)
    """Functions of the math library that are called."""

    def _address(self, operand: int, coordinates: Sequence[str]) -> str:
        spec = self.kernel.operands[operand]
        if spec.strided:
            terms = [f"{c} * stride_{spec.name}_{a}" for c, a in zip(coordinates, spec.axes, strict=True)]
            return f"{spec.name}[{' + '.join(terms) or '0'}]"
        sizes = self.kernel.forms[0].program.operands[operand].type.shape
        text = ""
        for coordinate, size in zip(coordinates, sizes, strict=True):
            text = f"({text}) * {self.size(size)} + {coordinate}" if text else coordinate
        return f"{spec.name}[{text or '0'}]"

    def load(self, operand: int, coordinates: Sequence[str]) -> str:
        element = self.kernel.forms[0].program.operands[operand].type.element
        self.check(element)
        text = self._address(operand, coordinates)
        return f"(float){text}" if element in SMALL else f"({text} & 1)" if element == "i1" else text

    def store(self, operand: int, coordinates: Sequence[str], value: str) -> None:
        self.put(f"{self._address(operand, coordinates)} = {value};")

    def check(self, type_: str) -> None:
        known = type_ in C_TYPES and not (self.cuda and type_ in SMALL)
        if not known:
            raise NotExpressible(f"{type_} in {'CUDA C++' if self.cuda else 'C'}")

    def held(self, type_: str) -> str:
        self.check(type_)
        return "float" if type_ in SMALL else C_TYPES[type_]

    def constant(self, value: float | int, type_: str) -> str:
        self.check(type_)
        if type_ in _C_INTEGERS:
            if type_ == "i1":
                return "1" if value else "0"
            number = int(value)
            if type_ in ("i64", "index") and abs(number) >= 1 << 31:
                return "INT64_MIN" if number == -(1 << 63) else f"INT64_C({number})"
            return "INT32_MIN" if number == -(1 << 31) else str(number)
        suffix = "" if type_ == "f64" else "f"
        if math.isnan(value):
            return f'__builtin_nan{suffix}("")'
        if math.isinf(value):
            return f"{'-' if value < 0 else ''}__builtin_huge_val{suffix}()"
        return f"{float(value)!r}{suffix}"

    def parameter(self, node: Scalar) -> str:
        assert isinstance(node.attribute, int)
        name = self.kernel.parameters[node.attribute].name
        return f"({C_TYPES[node.type]}){name}" if node.type in ("i8", "i16", "i1") else name

    def size_value(self, value: Index, type_: str) -> str:
        return f"({C_TYPES[type_]}){self.size(value)}"

    def operation(self, node: Scalar, types: tuple[str, ...], operands: tuple[str, ...]) -> str:
        for type_ in (node.type, *types):
            self.check(type_)
        text = self._operation(node, types, operands)
        return f"(float)({C_TYPES[node.type]})({text})" if node.type in SMALL else text

    def _operation(self, node: Scalar, types: tuple[str, ...], a: tuple[str, ...]) -> str:
        dialect, _, name = node.op.partition(".")
        type_ = types[0]
        suffix = "" if type_ == "f64" else "f"
        if name == "select":
            return f"({a[0]} ? {a[1]} : {a[2]})"
        if name in _BINARY:
            return f"({a[0]} {_BINARY[name]} {a[1]})"
        if name == "negf":
            return f"(-{a[0]})"
        if name == "cmpf":
            return _compare_floats(str(node.attribute), *a)
        if name == "cmpi":
            return _compare_integers(str(node.attribute), type_, *a)
        if name in ("maximumf", "minimumf"):
            self.helpers.add((name[:-1], self.held(type_)))
            return f"{name[:-1]}_{self.held(type_)}({a[0]}, {a[1]})"
        if name in ("maxnumf", "minnumf"):
            return self._call(f"f{name[:3]}", suffix, a)
        if dialect == "arith" and type_ in _C_INTEGERS:
            found = _integer(name, node.type, type_, a)
            if found:
                return found
        if name in ("extf", "truncf", "convertf"):
            return f"({self.held(node.type)}){a[0]}"
        if name in ("fptosi", "sitofp"):
            signed = f"-{a[0]}" if type_ == "i1" and name == "sitofp" else a[0]
            return f"({self.held(node.type)})({signed})"
        if name in ("fptoui", "uitofp"):
            unsigned = f"({_unsigned(type_)})" if name == "uitofp" else f"({_unsigned(node.type)})"
            return f"({self.held(node.type)})({unsigned}({a[0]}))"
        if name == "bitcast" and type_ == node.type:
            return a[0]
        if dialect == "math" and type_ not in _C_INTEGERS:
            return self._function(name, suffix, a, types)
        raise NotExpressible(f"{node.op} on {type_} in C")

    def _call(self, function: str, suffix: str, operands: Sequence[str]) -> str:
        self.libm.add(f"{function}{suffix}")
        return f"{function}{suffix}({', '.join(operands)})"

    def _function(self, name: str, suffix: str, a: tuple[str, ...], types: tuple[str, ...]) -> str:
        if name in _LIBM:
            return self._call(name, suffix, a)
        if name in _RENAMED:
            return self._call(_RENAMED[name], suffix, a)
        if name == "rsqrt":
            return f"(1.0{suffix} / {self._call('sqrt', suffix, a)})"
        if name == "fpowi":
            return self._call("pow", suffix, (a[0], f"({self.held(types[0])}){a[1]}"))
        if name == "isnan":
            return f"({a[0]} != {a[0]})"
        if name in ("isinf", "isfinite"):
            comparison = "==" if name == "isinf" else "<"
            return f"({self._call('fabs', suffix, a)} {comparison} __builtin_huge_val{suffix}())"
        raise NotExpressible(f"math.{name} in C")

    def head(self) -> str:
        """Return the helper functions that the code calls."""
        where = "__device__ " if self.cuda else ""
        return "\n".join(HELPERS[name].format(T=type_, s=type_, D=where) for name, type_ in sorted(self.helpers))


def _unsigned(type_: str) -> str:
    return "uint8_t" if type_ == "i1" else f"u{C_TYPES[type_]}"


def _compare_floats(predicate: str, a: str, b: str) -> str:
    if predicate in ("ord", "uno"):
        numbers = f"({a} == {a} && {b} == {b})"
        return numbers if predicate == "ord" else f"(!{numbers})"
    base = predicate[1:]
    ordered = {"eq": f"({a} == {b})", "ne": f"({a} < {b} || {a} > {b})"}.get(base)
    if predicate[0] == "o":
        return ordered or f"({a} {_ORDER[base]} {b})"
    if predicate == "une":
        return f"({a} != {b})"
    if predicate == "ueq":
        return f"(!({a} < {b} || {a} > {b}))"
    inverse = {"gt": "<=", "ge": "<", "lt": ">=", "le": ">"}[base]
    return f"(!({a} {inverse} {b}))"


def _compare_integers(predicate: str, type_: str, a: str, b: str) -> str:
    if predicate in ("eq", "ne"):
        return f"({a} {'==' if predicate == 'eq' else '!='} {b})"
    cast = f"({_unsigned(type_)})" if predicate[0] == "u" else "-" if type_ == "i1" else ""
    return f"({cast}({a}) {_ORDER[predicate[1:]]} {cast}({b}))"


def _integer(name: str, result: str, type_: str, a: tuple[str, ...]) -> str:
    """Return an operation on integers; empty for one that is none."""
    unsigned, signed = _unsigned(type_), C_TYPES[type_]
    mask = " & 1" if type_ == "i1" else ""
    if name in _WRAPPING:
        return f"(({signed})((({unsigned})({a[0]}) {_WRAPPING[name]} ({unsigned})({a[1]})){mask}))"
    if name in _SIGNED and type_ != "i1":
        return f"(({signed})({a[0]} {_SIGNED[name]} {a[1]}))"
    if name in _UNSIGNED:
        return f"(({signed})(({unsigned})({a[0]}) {_UNSIGNED[name]} ({unsigned})({a[1]})))"
    if name in ("maxsi", "minsi", "maxui", "minui") and type_ != "i1":
        cast = f"({unsigned})" if name[3] == "u" else ""
        order = ">" if name.startswith("max") else "<"
        return f"({cast}({a[0]}) {order} {cast}({a[1]}) ? {a[0]} : {a[1]})"
    if name in ("extsi", "index_cast"):
        return f"(({C_TYPES[result]})({'-' if type_ == 'i1' else ''}({a[0]})))"
    if name in ("extui", "index_castui"):
        return f"(({C_TYPES[result]})({unsigned})({a[0]}))"
    if name == "trunci":
        return f"(({a[0]}) & 1)" if result == "i1" else f"(({C_TYPES[result]})({a[0]}))"
    if name == "bitcast" and type_ == result:
        return a[0]
    return ""
