"""Computations of this suite's kernels: `definition.mlir`, `[operands]` and one typical shape of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Named = tuple[str, Sequence[str], str]
"""An operand: name, axes, element type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One computation, and the shape at which people usually try it."""

    name: str
    operands: tuple[Named, ...]
    """Arguments, then the one result."""
    text: str
    typical: Mapping[str, int]
    constraints: tuple[str, ...] = ()

    @property
    def operands_toml(self) -> str:
        """The `[operands]` table."""
        lines = [f"{name} = [{', '.join(f'{a!r}' for a in axes)}]" for name, axes, _ in self.operands]
        return "[operands]\n" + "\n".join(lines).replace("'", '"')


def tensor(axes: Sequence[object], element: str) -> str:
    return f"tensor<{''.join('?x' for _ in axes)}{element}>"


def generic(
    result: str,
    inputs: Sequence[tuple[str, str, str]],
    out: tuple[str, str, str],
    loops: str,
    kinds: str,
    body: str,
) -> str:
    """A `linalg.generic`: (value, type, map) of the inputs and of the output; `kinds` has p or r per loop."""
    maps = ", ".join(f"affine_map<({loops}) -> ({m})>" for _, _, m in (*inputs, out))
    iterators = ", ".join('"parallel"' if k == "p" else '"reduction"' for k in kinds)
    elements = [t.removesuffix(">").rpartition("x")[2].removeprefix("tensor<") for _, t, _ in (*inputs, out)]
    block = ", ".join(f"%{'xyzw'[i] if i < len(inputs) else 'o'}: {e}" for i, e in enumerate(elements))
    given = f"ins({', '.join(v for v, _, _ in inputs)} : {', '.join(t for _, t, _ in inputs)}) " if inputs else ""
    return (
        f"%{result} = linalg.generic {{indexing_maps = [{maps}], iterator_types = [{iterators}]}} {given}"
        f"outs({out[0]} : {out[1]}) {{\n^bb0({block}):\n{body}\n}} -> {out[1]}"
    )


def _function(name: str, operands: Sequence[Named], lines: Sequence[str], last: str = "%r") -> str:
    *arguments, result = operands
    signature = ", ".join(f"%in_{n}: {tensor(axes, e)}" for n, axes, e in arguments)
    type_ = tensor(result[1], result[2])
    body = "\n".join((*_sizes(operands), *lines))
    return f"func.func @{name}({signature}) -> {type_} {{\n{body}\nreturn {last} : {type_}\n}}\n"


def _sizes(operands: Sequence[Named]) -> list[str]:
    """`%M` and so on from the arguments, then an empty result `%empty`."""
    *arguments, result = operands
    lines, known = [], set()
    for number in range(max((len(a[1]) for a in arguments), default=0)):
        lines.append(f"%c{number} = arith.constant {number} : index")
    for name, axes, element in arguments:
        for number, axis in enumerate(axes):
            if axis not in known:
                known.add(axis)
                lines.append(f"%{axis} = tensor.dim %in_{name}, %c{number} : {tensor(axes, element)}")
    sizes = ", ".join(f"%{a}" for a in result[1])
    lines.append(f"%empty = tensor.empty({sizes}) : {tensor(result[1], result[2])}")
    return lines


def _filled(type_: str, element: str, value: str) -> list[str]:
    return [
        f"%start = arith.constant {value} : {element}",
        f"%init = linalg.fill ins(%start : {element}) outs(%empty : {type_}) -> {type_}",
    ]


def _contraction(
    name: str,
    a: Sequence[str],
    b: Sequence[str],
    c: Sequence[str],
    loops: str,
    kinds: str,
    typical: Mapping[str, int],
    elements: tuple[str, str, str] = ("f32", "f32", "f32"),
    product: str = "%p = arith.mulf %x, %y : f32\n%s = arith.addf %o, %p : f32\nlinalg.yield %s : f32",
) -> Definition:
    operands: tuple[Named, ...] = (("a", a, elements[0]), ("b", b, elements[1]), ("c", c, elements[2]))
    ta, tb, tc = (tensor(axes, e) for _, axes, e in operands)
    maps = [", ".join(axes).lower() for axes in (a, b, c)]
    lines = [
        *_filled(tc, elements[2], "0.0" if elements[2].startswith(("f", "b")) else "0"),
        generic("r", [("%in_a", ta, maps[0]), ("%in_b", tb, maps[1])], ("%init", tc, maps[2]), loops, kinds, product),
    ]
    text = _function(name, operands, lines)
    return Definition(name=name, operands=operands, text=text, typical=typical)


def _elementwise(
    name: str, operands: tuple[Named, ...], body: str, typical: Mapping[str, int], maps: Sequence[str] = ()
) -> Definition:
    *arguments, result = operands
    loops = ", ".join(result[1]).lower()
    given = [
        (f"%in_{n}", tensor(axes, e), maps[i] if maps else ", ".join(axes).lower())
        for i, (n, axes, e) in enumerate(arguments)
    ]
    out = ("%empty", tensor(result[1], result[2]), loops)
    text = _function(name, operands, [generic("r", given, out, loops, "p" * len(result[1]), body)])
    return Definition(name=name, operands=operands, text=text, typical=typical)


def _row_reduction(name: str, start: str, body: str, element: str = "f32") -> Definition:
    operands: tuple[Named, ...] = (("x", ("M", "N"), element), ("y", ("M",), element))
    ty = tensor("M", element)
    reduced = generic("r", [("%in_x", tensor("MN", element), "m, n")], ("%init", ty, "m"), "m, n", "pr", body)
    lines = [*_filled(ty, element, start), reduced]
    return Definition(name=name, operands=operands, text=_function(name, operands, lines), typical={"M": 64, "N": 256})


def _softmax() -> Definition:
    operands: tuple[Named, ...] = (("x", ("M", "N"), "f32"), ("y", ("M", "N"), "f32"))
    t = tensor("MN", "f32")
    lines = [f"%r = linalg.softmax dimension(1) ins(%in_x : {t}) outs(%empty : {t}) -> {t}"]
    return Definition(
        name="softmax", operands=operands, text=_function("softmax", operands, lines), typical={"M": 64, "N": 128}
    )


def _gather() -> Definition:
    operands: tuple[Named, ...] = (("t", ("R", "N"), "f32"), ("i", ("M",), "i32"), ("y", ("M", "N"), "f32"))
    body = (
        "%at = arith.index_cast %x : i32 to index\n%n = linalg.index 1 : index\n"
        "%v = tensor.extract %in_t[%at, %n] : tensor<?x?xf32>\nlinalg.yield %v : f32"
    )
    t = tensor("MN", "f32")
    lines = [generic("r", [("%in_i", tensor("M", "i32"), "m")], ("%empty", t, "m, n"), "m, n", "pp", body)]
    return Definition(
        name="gather",
        operands=operands,
        text=_function("gather", operands, lines),
        typical={"R": 100, "N": 64, "M": 32},
        constraints=("R > 0",),
    )


_HALVES = (
    "%p0 = arith.extf %x : f16 to f32\n%p1 = arith.extf %y : f16 to f32\n%p = arith.mulf %p0, %p1 : f32\n"
    "%s = arith.addf %o, %p : f32\nlinalg.yield %s : f32"
)
_BYTES = (
    "%p0 = arith.extsi %x : i8 to i32\n%p1 = arith.extsi %y : i8 to i32\n%p = arith.muli %p0, %p1 : i32\n"
    "%s = arith.addi %o, %p : i32\nlinalg.yield %s : i32"
)
_SILU = (
    "%one = arith.constant 1.0 : f32\n%n = arith.negf %x : f32\n%e = math.exp %n : f32\n"
    "%d = arith.addf %e, %one : f32\n%v = arith.divf %x, %d : f32\nlinalg.yield %v : f32"
)
_GELU = (
    "%half = arith.constant 0.5 : f32\n%one = arith.constant 1.0 : f32\n%q = arith.constant 0.707106769 : f32\n"
    "%s = arith.mulf %x, %q : f32\n%e = math.erf %s : f32\n%d = arith.addf %e, %one : f32\n"
    "%h = arith.mulf %x, %half : f32\n%v = arith.mulf %h, %d : f32\nlinalg.yield %v : f32"
)
_CLAMP = (
    "%low = arith.constant 0.0 : f32\n%high = arith.constant 6.0 : f32\n%l = arith.maximumf %x, %low : f32\n"
    "%v = arith.minimumf %l, %high : f32\nlinalg.yield %v : f32"
)
_DEQUANTIZED = (
    "%w = arith.extsi %x : i8 to i32\n%zp = arith.constant 3 : i32\n%d = arith.subi %w, %zp : i32\n"
    "%f = arith.sitofp %d : i32 to f32\n%scale = arith.constant 0.125 : f32\n%v = arith.mulf %f, %scale : f32\n"
    "linalg.yield %v : f32"
)
_LINE = {"N": 1024}
_PLANE = {"M": 64, "N": 128}
_CUBE = {"M": 64, "K": 96, "N": 128}
_SUM = "%s = arith.addf %o, %x : f32\nlinalg.yield %s : f32"
_MAX = "%s = arith.maximumf %o, %x : f32\nlinalg.yield %s : f32"

DEFINITIONS: Mapping[str, Definition] = {
    d.name: d
    for d in (
        _contraction("matmul", "MK", "KN", "MN", "m, n, k", "ppr", _CUBE),
        _contraction("matmul_transposed", "MK", "NK", "MN", "m, n, k", "ppr", _CUBE),
        _contraction("batch_matmul", "BMK", "BKN", "BMN", "b, m, n, k", "pppr", {"B": 4, "M": 32, "K": 64, "N": 32}),
        _contraction("matvec", "MK", "K", "M", "m, k", "pr", {"M": 256, "K": 128}),
        _contraction("matmul_f16", "MK", "KN", "MN", "m, n, k", "ppr", _CUBE, ("f16", "f16", "f32"), _HALVES),
        _contraction("matmul_i8", "MK", "KN", "MN", "m, n, k", "ppr", _CUBE, ("i8", "i8", "i32"), _BYTES),
        _row_reduction("row_sum", "0.0", _SUM),
        _row_reduction("row_max", "0xFF800000", _MAX),
        _softmax(),
        _elementwise(
            "difference",
            (("a", "N", "f32"), ("b", "N", "f32"), ("y", "N", "f32")),
            "%s = arith.constant 2.0 : f32\n%p = arith.mulf %x, %s : f32\n%v = arith.subf %p, %y : f32\n"
            "linalg.yield %v : f32",
            _LINE,
        ),
        _elementwise("silu", (("x", "N", "f32"), ("y", "N", "f32")), _SILU, _LINE),
        _elementwise("gelu", (("x", "N", "f32"), ("y", "N", "f32")), _GELU, _LINE),
        _elementwise("clamp", (("x", "N", "f32"), ("y", "N", "f32")), _CLAMP, _LINE),
        _elementwise(
            "narrowed",
            (("x", "N", "f32"), ("y", "N", "f16")),
            "%v = arith.truncf %x : f32 to f16\nlinalg.yield %v : f16",
            _LINE,
        ),
        _elementwise(
            "sum_bf16",
            (("a", "N", "bf16"), ("b", "N", "bf16"), ("y", "N", "bf16")),
            "%p0 = arith.extf %x : bf16 to f32\n%p1 = arith.extf %y : bf16 to f32\n%s = arith.addf %p0, %p1 : f32\n"
            "%v = arith.truncf %s : f32 to bf16\nlinalg.yield %v : bf16",
            _LINE,
        ),
        _elementwise(
            "integers",
            (("a", "N", "i32"), ("b", "N", "i32"), ("y", "N", "i32")),
            "%p = arith.muli %x, %x : i32\n%m = arith.maxsi %p, %y : i32\n%v = arith.subi %m, %y : i32\n"
            "linalg.yield %v : i32",
            _LINE,
        ),
        _elementwise("dequantized", (("x", "N", "i8"), ("y", "N", "f32")), _DEQUANTIZED, _LINE),
        _elementwise(
            "bias_add",
            (("a", "MN", "f32"), ("b", "N", "f32"), ("y", "MN", "f32")),
            "%v = arith.addf %x, %y : f32\nlinalg.yield %v : f32",
            _PLANE,
        ),
        _elementwise("transpose", (("x", "MN", "f32"), ("y", "NM", "f32")), "linalg.yield %x : f32", _PLANE),
        _gather(),
    )
}
"""By name."""
