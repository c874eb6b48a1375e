"""Programs by kind of dispatch, for kernels that take all of a kind and for axes that stand for several loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from .programs import Function


@dataclass(frozen=True, slots=True)
class Tensor:
    """An argument or a result: its sizes and its element type."""

    shape: tuple[int, ...]
    element: str = "f32"

    def __str__(self) -> str:
        return f"tensor<{''.join(f'{s}x' for s in self.shape)}{self.element}>"

    @property
    def is_float(self) -> bool:
        """True for floating-point elements."""
        return self.element.startswith(("f", "bf"))


Body = tuple[str, Sequence[Tensor], Sequence[str], str, Tensor]
"""Label, arguments (`%a0`, …), lines, the name of the result, its type."""


def functions_of_kinds(
    kinds: Sequence[str], *, first: int, quick: bool, elements: Set[str] = frozenset()
) -> list[Function]:
    """Return all programs of these kinds; `first` is the number of the first function.

    `elements`: only programs whose results are of these types; empty: of any type.
    """
    bodies = [body for kind in kinds if kind in PROGRAMS for body in PROGRAMS[kind](quick)]
    bodies = [body for body in bodies if not elements or body[-1].element in elements]
    return [_function(f"case_{first + i}", *body) for i, body in enumerate(bodies)]


def _function(
    name: str, label: str, arguments: Sequence[Tensor], lines: Sequence[str], result: str, type_: Tensor
) -> Function:
    signature = ", ".join(f"%a{i}: {a}" for i, a in enumerate(arguments))
    body = "\n".join(lines)
    text = f"func.func @{name}({signature}) -> {type_} {{\n{body}\nreturn {result} : {type_}\n}}"
    return Function(name=name, text=text, label=label)


def _generic(
    result: Tensor,
    maps: Sequence[str],
    inputs: Sequence[tuple[str, Tensor]],
    body: str,
    *,
    loops: str,
    kinds: str = "",
    init: str | None = None,
    name: str = "%r",
) -> list[str]:
    """Return a `linalg.generic`; `kinds` has p or r per loop (all p if empty), `init` is the initial value of
    reductions.
    """
    count = len(loops.split(","))
    iterators = ", ".join('"parallel"' if k == "p" else '"reduction"' for k in (kinds or "p" * count))
    affine = ", ".join(f"affine_map<({loops}) -> ({m})>" for m in maps)
    names, types = ", ".join(n for n, _ in inputs), ", ".join(str(t) for _, t in inputs)
    block = ", ".join([*(f"%b{i}: {t.element}" for i, (_, t) in enumerate(inputs)), f"%o: {result.element}"])
    lines = [f"{name}_empty = tensor.empty() : {result}"]
    out = f"{name}_empty"
    if init is not None:
        lines += [
            f"{name}_start = arith.constant {init} : {result.element}",
            f"{name}_init = linalg.fill ins({name}_start : {result.element}) outs({out} : {result}) -> {result}",
        ]
        out = f"{name}_init"
    given = f"ins({names} : {types}) " if inputs else ""
    return [
        *lines,
        f"{name} = linalg.generic {{indexing_maps = [{affine}], iterator_types = [{iterators}]}} {given}"
        f"outs({out} : {result}) {{\n^bb0({block}):\n{body}\n}} -> {result}",
    ]


def _yield(text: str, element: str, last: str = "%y") -> str:
    return f"{text}\nlinalg.yield {last} : {element}"


def _elementwise(quick: bool) -> list[Body]:
    m, n = (13, 37) if quick else (67, 129)
    f = Tensor((m, n))
    same = "i, j"
    bodies: list[Body] = []

    def one(label: str, element: str, text: str, *, arguments: int = 1, result: str = "") -> None:
        inputs = [Tensor((m, n), element)] * arguments
        out = Tensor((m, n), result or element)
        lines = _generic(
            out,
            [same] * (arguments + 1),
            [(f"%a{i}", t) for i, t in enumerate(inputs)],
            _yield(text, out.element),
            loops=same,
        )
        bodies.append((f"{label} in {element}", inputs, lines, "%r", out))

    chain = (
        "%c = arith.constant 0.5 : f32\n%s = arith.mulf %b0, %c : f32\n%t = arith.addf %s, %b1 : f32\n"
        "%u = arith.subf %t, %b0 : f32\n%y = arith.maximumf %u, %b1 : f32"
    )
    one("a chain", "f32", chain, arguments=2)
    one("a quotient", "f32", "%y = arith.divf %b0, %b1 : f32", arguments=2)
    one("a choice", "f32", "%p = arith.cmpf olt, %b0, %b1 : f32\n%y = arith.select %p, %b1, %b0 : f32", arguments=2)
    for name in ("exp", "tanh", "erf", "sqrt", "rsqrt", "log", "sin", "cos", "absf", "floor", "ceil", "roundeven"):
        one(name, "f32", f"%y = math.{name} %b0 : f32")
    one("a sum", "i32", "%y = arith.addi %b0, %b1 : i32", arguments=2)
    one("a product", "i64", "%y = arith.muli %b0, %b1 : i64", arguments=2)
    one("a shift", "i32", "%c = arith.constant 5 : i32\n%y = arith.shrsi %b0, %c : i32")
    one(
        "a comparison",
        "f32",
        "%p = arith.cmpf ogt, %b0, %b1 : f32\n%y = arith.extui %p : i1 to i8",
        arguments=2,
        result="i8",
    )
    one("a conversion", "f16", "%y = arith.extf %b0 : f16 to f32", result="f32")
    one("a conversion", "f32", "%y = arith.truncf %b0 : f32 to f16", result="f16")
    one("a sum", "f16", "%y = arith.addf %b0, %b1 : f16", arguments=2)
    one("a conversion", "i8", "%y = arith.sitofp %b0 : i8 to f32", result="f32")
    row = Tensor((n,))
    text = _yield("%s = arith.addf %b0, %b1 : f32\n%y = arith.mulf %s, %s : f32", "f32")
    bodies.append(
        (
            "a broadcast",
            [f, row],
            _generic(f, ["i, j", "j", "i, j"], [("%a0", f), ("%a1", row)], text, loops=same),
            "%r",
            f,
        )
    )
    return bodies


def _copies(quick: bool) -> list[Body]:
    m, n = (13, 37) if quick else (67, 129)
    bodies: list[Body] = []
    elements = ("f32", "i8") if quick else ("f32", "f16", "bf16", "i8", "i32", "i64", "f64")
    for element in elements:
        source, turned = Tensor((m, n), element), Tensor((n, m), element)
        lines = _generic(turned, ["i, j", "j, i"], [("%a0", source)], f"linalg.yield %b0 : {element}", loops="i, j")
        bodies.append((f"a transposition of {element}", [source], lines, "%r", turned))
    source, result = Tensor((5, m, 7)), Tensor((7, 5, m))
    lines = _generic(result, ["i, j, k", "k, i, j"], [("%a0", source)], "linalg.yield %b0 : f32", loops="i, j, k")
    bodies.append(("a transposition of three dimensions", [source], lines, "%r", result))
    source, result = Tensor((n,)), Tensor((m, n))
    lines = _generic(result, ["j", "i, j"], [("%a0", source)], "linalg.yield %b0 : f32", loops="i, j")
    bodies.append(("a broadcast of a row", [source], lines, "%r", result))
    source, part = Tensor((m, n)), Tensor((m - 4, n - 9))
    lines = [f"%r = tensor.extract_slice %a0[2, 5] [{m - 4}, {n - 9}] [1, 1] : {source} to {part}"]
    bodies.append(("a slice", [source], lines, "%r", part))
    padded = Tensor((m + 3, n + 2))
    lines = [
        "%c = arith.constant 0.0 : f32",
        f"%r = tensor.pad %a0 low[1, 2] high[2, 0] {{\n^bb0(%i: index, %j: index):\ntensor.yield %c : f32\n}} "
        f": {source} to {padded}",
    ]
    bodies.append(("padding", [source], lines, "%r", padded))
    return bodies


def _gathers(quick: bool) -> list[Body]:
    bodies: list[Body] = []
    table, result = Tensor((19, 23)), Tensor((11, 23))
    for element in ("i64",) if quick else ("i64", "i32"):
        at = Tensor((11,), element)
        text = (
            f"%p = arith.index_cast %b0 : {element} to index\n%j = linalg.index 1 : index\n"
            f"%y = tensor.extract %a0[%p, %j] : {table}"
        )
        lines = _generic(result, ["i", "i, j"], [("%a1", at)], _yield(text, "f32"), loops="i, j")
        bodies.append((f"rows by {element}", [table, at], lines, "%r", result))
    return bodies


def _reductions(quick: bool) -> list[Body]:
    bodies: list[Body] = []
    m, n = (9, 67) if quick else (33, 257)
    combiners = [
        ("sum", "f32", "arith.addf", "0.0"),
        ("maximum", "f32", "arith.maximumf", "0xFF800000"),
        ("minimum", "f32", "arith.minimumf", "0x7F800000"),
        ("sum", "i32", "arith.addi", "0"),
        ("maximum", "i32", "arith.maxsi", "-2147483648"),
        ("sum", "f16", "arith.addf", "0.0"),
    ]
    for name, element, op, start in combiners:
        source = Tensor((m, n), element)
        body = _yield(f"%y = {op} %o, %b0 : {element}", element)
        rows, columns, all_ = Tensor((m,), element), Tensor((n,), element), Tensor((), element)
        places = [(rows, "i", "pr", "rows")]
        if element == "f32" and name == "sum":
            places += [(columns, "j", "rp", "columns"), (all_, "", "rr", "everything")]
        for result, kept, kinds, over in places:
            lines = _generic(result, ["i, j", kept], [("%a0", source)], body, loops="i, j", kinds=kinds, init=start)
            bodies.append((f"the {name} of {over} in {element}", [source], lines, "%r", result))
    return bodies


def _normalizations(quick: bool) -> list[Body]:
    m, n = (9, 67) if quick else (33, 384)
    source, rows = Tensor((m, n)), Tensor((m,))
    square = _yield("%s = arith.mulf %b0, %b0 : f32\n%y = arith.addf %o, %s : f32", "f32")
    total = _yield("%y = arith.addf %o, %b0 : f32", "f32")
    size = f"%n = arith.constant {float(n)} : f32\n%eps = arith.constant 1.0e-5 : f32\n"
    scaled = _yield(
        f"{size}%mean = arith.divf %b1, %n : f32\n%v = arith.addf %mean, %eps : f32\n"
        "%s = math.rsqrt %v : f32\n%y = arith.mulf %b0, %s : f32",
        "f32",
    )
    maps = ["i, j", "i", "i, j"]
    rms = [
        *_generic(rows, ["i, j", "i"], [("%a0", source)], square, loops="i, j", kinds="pr", init="0.0", name="%q"),
        *_generic(source, maps, [("%a0", source), ("%q", rows)], scaled, loops="i, j"),
    ]
    centred = _yield(
        f"{size}%mean = arith.divf %b1, %n : f32\n%d = arith.subf %b0, %mean : f32\n"
        "%s = arith.mulf %d, %d : f32\n%y = arith.addf %o, %s : f32",
        "f32",
    )
    done = _yield(
        f"{size}%mean = arith.divf %b1, %n : f32\n%d = arith.subf %b0, %mean : f32\n"
        "%var = arith.divf %b2, %n : f32\n%v = arith.addf %var, %eps : f32\n%s = math.rsqrt %v : f32\n"
        "%y = arith.mulf %d, %s : f32",
        "f32",
    )
    layer = [
        *_generic(rows, ["i, j", "i"], [("%a0", source)], total, loops="i, j", kinds="pr", init="0.0", name="%t"),
        *_generic(
            rows,
            ["i, j", "i", "i"],
            [("%a0", source), ("%t", rows)],
            centred,
            loops="i, j",
            kinds="pr",
            init="0.0",
            name="%q",
        ),
        *_generic(
            source, ["i, j", "i", "i", "i, j"], [("%a0", source), ("%t", rows), ("%q", rows)], done, loops="i, j"
        ),
    ]
    return [("RMS normalisation", [source], rms, "%r", source), ("layer normalisation", [source], layer, "%r", source)]


def _poolings(quick: bool) -> list[Body]:
    bodies: list[Body] = []
    source, window = Tensor((2, 13, 17, 5)), Tensor((3, 2))
    result = Tensor((2, 6, 16, 5))
    for name, op, start in (("max", "pooling_nhwc_max", "0xFF800000"), ("sum", "pooling_nhwc_sum", "0.0")):
        lines = [
            f"%w = tensor.empty() : {window}",
            f"%e = tensor.empty() : {result}",
            f"%c = arith.constant {start} : f32",
            f"%i = linalg.fill ins(%c : f32) outs(%e : {result}) -> {result}",
            f"%r = linalg.{op} {{strides = dense<[2, 1]> : tensor<2xi64>, dilations = dense<1> : tensor<2xi64>}} "
            f"ins(%a0, %w : {source}, {window}) outs(%i : {result}) -> {result}",
        ]
        bodies.append((f"{name} pooling", [source], lines, "%r", result))
    return bodies


def _contractions(quick: bool) -> list[Body]:
    bodies: list[Body] = []
    m, n, k = (17, 33, 29) if quick else (67, 129, 65)
    body = _yield("%s = arith.mulf %b0, %b1 : f32\n%y = arith.addf %o, %s : f32", "f32")
    layouts = [
        ("A·B", (m, k), (k, n), "m, k", "k, n"),
        ("Aᵀ·B", (k, m), (k, n), "k, m", "k, n"),
        ("A·Bᵀ", (m, k), (n, k), "m, k", "n, k"),
        ("Aᵀ·Bᵀ", (k, m), (n, k), "k, m", "n, k"),
    ]
    c = Tensor((m, n))
    for label, left, right, first, second in layouts:
        a, b = Tensor(left), Tensor(right)
        lines = _generic(
            c, [first, second, "m, n"], [("%a0", a), ("%a1", b)], body, loops="m, n, k", kinds="ppr", init="0.0"
        )
        bodies.append((f"{label}, {m}×{n}×{k}", [a, b], lines, "%r", c))
    a, b, row = Tensor((m, k)), Tensor((k,)), Tensor((m,))
    lines = _generic(row, ["m, k", "k", "m"], [("%a0", a), ("%a1", b)], body, loops="m, k", kinds="pr", init="0.0")
    bodies.append(("a matrix times a vector", [a, b], lines, "%r", row))
    x, y, z = Tensor((2, 5, 7, 11)), Tensor((11, 3, 13)), Tensor((2, 7, 5, 3, 13))
    lines = _generic(
        z,
        ["b, h, s, d", "d, e, f", "b, s, h, e, f"],
        [("%a0", x), ("%a1", y)],
        body,
        loops="b, h, s, e, f, d",
        kinds="pppppr",
        init="0.0",
    )
    bodies.append(("a contraction of many loops", [x, y], lines, "%r", z))
    return bodies


def _convolutions(quick: bool) -> list[Body]:
    del quick
    named = [
        ("conv_2d_nhwc_hwcf", (1, 11, 13, 5), (3, 3, 5, 17), (1, 9, 11, 17), 1, 1),
        ("conv_2d_nchw_fchw", (2, 5, 11, 13), (7, 5, 3, 3), (2, 7, 5, 6), 2, 1),
        ("conv_2d_nhwc_hwcf", (1, 13, 13, 3), (3, 2, 3, 8), (1, 9, 11, 8), 1, 2),
        ("depthwise_conv_2d_nhwc_hwc", (1, 11, 13, 19), (3, 3, 19), (1, 9, 11, 19), 1, 1),
        ("depthwise_conv_2d_nchw_chw", (1, 19, 11, 13), (19, 3, 3), (1, 19, 5, 6), 2, 1),
    ]
    bodies: list[Body] = []
    for op, image, filter_, out, stride, dilation in named:
        x, w, y = Tensor(image), Tensor(filter_), Tensor(out)
        lines = [
            f"%e = tensor.empty() : {y}",
            "%c = arith.constant 0.0 : f32",
            f"%i = linalg.fill ins(%c : f32) outs(%e : {y}) -> {y}",
            f"%r = linalg.{op} {{strides = dense<{stride}> : tensor<2xi64>, dilations = dense<{dilation}> : "
            f"tensor<2xi64>}} ins(%a0, %a1 : {x}, {w}) outs(%i : {y}) -> {y}",
        ]
        bodies.append((f"{op}, stride {stride}, dilation {dilation}", [x, w], lines, "%r", y))
    return bodies


def _softmaxes(quick: bool) -> list[Body]:
    bodies: list[Body] = []
    shapes = [((3, 5, 67), 2), ((4, 33, 5), 1)] if quick else [((3, 5, 67), 2), ((4, 33, 5), 1), ((2, 3, 5, 257), 3)]
    for shape, axis in shapes:
        t = Tensor(shape)
        lines = [
            f"%e = tensor.empty() : {t}",
            f"%r = linalg.softmax dimension({axis}) ins(%a0 : {t}) outs(%e : {t}) -> {t}",
        ]
        bodies.append((f"softmax over dimension {axis} of {t}", [t], lines, "%r", t))
    return bodies


ATTENTION_LOOPS = "b, h, m, n, k, l"
"""Batch, heads, rows, columns of the result, the loop that scores sum over, keys."""


def _attentions(quick: bool) -> list[Body]:
    """Return attention with heads in several places, narrow elements, masks of several types, sizes of keys below and
    above any block.
    """
    found = []
    shapes = ((5, 16, 20, 33), (1, 64, 64, 7), (40, 11, 32, 150), (17, 3, 1, 1))
    for rows, columns, inner, keys in shapes[: 1 if quick else None]:
        sizes = {"b": 2, "h": 3, "m": rows, "n": columns, "k": inner, "l": keys}
        for label, operands, element, mask in (
            ("attention", ("b, h, m, k", "b, h, l, k", "b, h, l, n"), "f32", None),
            ("attention with a mask", ("b, m, h, k", "b, l, h, k", "b, l, h, n"), "f32", ("m, l", "f32")),
            ("attention of one key head, masked", ("b, h, m, k", "b, l, k", "b, l, n"), "f32", ("b, l", "i1")),
            ("attention in f16", ("b, h, m, k", "b, h, l, k", "b, h, l, n"), "f16", ("m, l", "f16")),
            ("attention in bf16", ("b, m, h, k", "b, l, h, k", "b, l, h, n"), "bf16", None),
        ):
            maps = [*operands, *([mask[0]] if mask else [])]
            elements = [element] * 3 + ([mask[1]] if mask else [])
            tensors = [_tensor(map_, sizes, element) for map_, element in zip(maps, elements, strict=True)]
            found.append(
                _attention(
                    f"{label}, {rows}x{columns}x{inner}x{keys}", tensors, maps, _tensor("b, h, m, n", sizes, element)
                )
            )
    return found


def _tensor(loops: str, sizes: dict[str, int], element: str) -> Tensor:
    return Tensor(tuple(sizes[loop] for loop in loops.split(", ")), element)


def _attention(label: str, tensors: Sequence[Tensor], maps: Sequence[str], result: Tensor) -> Body:
    """Return the operation in its generic form, since its own spelling changed between versions of IREE."""
    every = [*maps[:3], "", *maps[3:], "b, h, m, n"]
    affine = ", ".join(f"affine_map<({ATTENTION_LOOPS}) -> ({map_})>" for map_ in every)
    names = [f"%a{i}" for i in range(len(tensors))]
    types = [str(tensor) for tensor in tensors]
    lines = [
        f"%scale = arith.constant 0.25 : {result.element}",
        f"%e = tensor.empty() : {result}",
        f'%r = "iree_linalg_ext.attention"({", ".join([*names[:3], "%scale", *names[3:], "%e"])}) '
        f"<{{indexing_maps = [{affine}]}}> ({{",
        "^bb0(%s: f32):",
        '"iree_linalg_ext.yield"(%s) : (f32) -> ()',
        f"}}) : ({', '.join([*types[:3], result.element, *types[3:], str(result)])}) -> {result}",
    ]
    return label, tensors, lines, "%r", result


PROGRAMS: dict[str, Callable[[bool], list[Body]]] = {
    "elementwise": _elementwise,
    "copy": _copies,
    "gather": _gathers,
    "reduction": _reductions,
    "normalization": _normalizations,
    "pooling": _poolings,
    "contraction": _contractions,
    "convolution": _convolutions,
    "softmax": _softmaxes,
    "attention": _attentions,
}
