"""Good-faith definitions of common operations: each as a kernel's author writes it once, for every width.

A formula is Python's syntax: `x * rsqrt(s / C + 1e-5)`, where a capital letter is the size of that axis as a number.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from substitute.model.kernel import Kernel, Launch, OperandSpec, PayloadSpec, Slot, TargetRule
from substitute.model.ops import OPERATIONS as SCALAR
from substitute.payload.kinds import find_kind
from substitute.read.definition import read_forms


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One loop nest: `result` over its axes, from the tensors that its formula names."""

    result: str
    axes: str
    formula: str
    combiner: str = ""
    over: str = ""
    start: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A definition; the last step computes the result."""

    name: str
    arguments: tuple[tuple[str, str], ...]
    """Name and axes of each."""
    steps: tuple[Step, ...]
    groups: str = ""
    named: str = ""
    """`linalg.softmax` of the only argument, in place of steps."""
    types: tuple[tuple[str, str], ...] = ()
    """Element types of arguments that are not of the type of all others."""

    @property
    def result(self) -> tuple[str, str]:
        """Name and axes of the result."""
        return self.steps[-1].result, self.steps[-1].axes


def _op(
    name: str, arguments: str, *steps: str, groups: str = "R", types: tuple[tuple[str, str], ...] = (), named: str = ""
) -> Operation:
    pairs = [word.split(":") for word in arguments.split()]
    return Operation(
        name=name,
        arguments=tuple((n, axes[0] if axes else "") for n, *axes in pairs),
        steps=tuple(_step(s) for s in steps),
        groups=groups,
        types=types,
        named=named,
    )


_NEGATIVE_INFINITY = {"f32": "0xFF800000", "f16": "0xFC00", "bf16": "0xFF80"}
_COMBINERS = {"sum": ("arith.addf", 0.0), "max": ("arith.maximumf", float("-inf"))}


def _step(text: str) -> Step:
    """`s:R = sum C of x * x`, or `y:RC = x / s`."""
    target, _, formula = text.partition(" = ")
    result, _, axes = target.partition(":")
    words = formula.split()
    if words[0] in _COMBINERS and words[2:3] == ["of"]:
        combiner, start = _COMBINERS[words[0]]
        return Step(
            result=result, axes=axes, formula=" ".join(words[3:]), combiner=combiner, over=words[1], start=start
        )
    return Step(result=result, axes=axes, formula=formula)


OPERATIONS = (
    _op("softmax", "x:RC", "y:RC = x", named="linalg.softmax"),
    _op("log_softmax", "x:RC", "m:R = max C of x", "s:R = sum C of exp(x - m)", "y:RC = x - m - log(s)"),
    _op("logsumexp", "x:RC", "m:R = max C of x", "s:R = sum C of exp(x - m)", "y:R = m + log(s)"),
    _op(
        "softmax_mask",
        "x:RC k:RC",
        "m:R = max C of x + k",
        "s:R = sum C of exp(x + k - m)",
        "y:RC = exp(x + k - m) / s",
    ),
    _op(
        "softmax_scale",
        "x:RC",
        "m:R = max C of x * 0.125",
        "s:R = sum C of exp(x * 0.125 - m)",
        "y:RC = exp(x * 0.125 - m) / s",
    ),
    _op(
        "layer_norm",
        "x:RC w:C b:C",
        "s:R = sum C of x",
        "v:R = sum C of (x - s / C) * (x - s / C)",
        "y:RC = (x - s / C) * rsqrt(v / C + 1e-5) * w + b",
    ),
    _op(
        "layer_norm_plain",
        "x:RC",
        "s:R = sum C of x",
        "v:R = sum C of (x - s / C) * (x - s / C)",
        "y:RC = (x - s / C) / sqrt(v / C + 1e-5)",
    ),
    _op("rms_norm", "x:RC w:C", "s:R = sum C of x * x", "y:RC = x * rsqrt(s / C + 1e-6) * w"),
    _op("rms_norm_plain", "x:RC", "s:R = sum C of x * x", "y:RC = x * rsqrt(s / C + 1e-5)"),
    _op("l2_normalize", "x:RC", "s:R = sum C of x * x", "y:RC = x / maximumf(sqrt(s), 1e-12)"),
    _op("mean", "x:RC", "s:R = sum C of x", "y:R = s / C"),
    _op("variance", "x:RC", "s:R = sum C of x", "v:R = sum C of (x - s / C) * (x - s / C)", "y:R = v / C"),
    _op("gelu_erf", "x:R", "y:R = 0.5 * x * (1 + erf(x / 1.4142135623730951))"),
    _op("gelu_tanh", "x:R", "y:R = 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))"),
    _op("silu", "x:R", "y:R = x / (1 + exp(-x))"),
    _op("sigmoid", "x:R", "y:R = 1 / (1 + exp(-x))"),
    _op("softplus", "x:R", "y:R = select(gt(x, 20.0), x, log1p(exp(x)))"),
    _op("mish", "x:R", "y:R = x * tanh(select(gt(x, 20.0), x, log1p(exp(x))))"),
    _op("hardswish", "x:R", "y:R = x * minimumf(maximumf(x + 3, 0.0), 6.0) / 6"),
    _op("hardsigmoid", "x:R", "y:R = minimumf(maximumf(x / 6 + 0.5, 0.0), 1.0)"),
    _op("relu6", "x:R", "y:R = minimumf(maximumf(x, 0.0), 6.0)"),
    _op("clip", "x:R", "y:R = maximumf(minimumf(x, 2.5), -1.5)"),
    _op("leaky_relu", "x:R", "y:R = select(ge(x, 0.0), x, 0.01 * x)"),
    _op("elu", "x:R", "y:R = select(gt(x, 0.0), x, expm1(x))"),
    _op("batch_norm", "x:NCP m:C v:C w:C b:C", "y:NCP = (x - m) / sqrt(v + 1e-5) * w + b", groups="P"),
    _op("bias_gelu", "x:RC b:C", "y:RC = 0.5 * (x + b) * (1 + erf((x + b) * 0.7071067811865476))"),
    _op("bias_relu", "x:RC b:C", "y:RC = maximumf(x + b, 0.0)"),
    _op("residual_relu", "x:R z:R", "y:R = maximumf(x + z, 0.0)"),
    _op("swiglu", "x:R z:R", "y:R = x / (1 + exp(-x)) * z"),
    _op("scaled_matmul", "a:MK b:KN", "c:MN = sum K of a * b", "y:MN = c * 0.125", groups=""),
    _op("matmul_bias_relu", "a:MK b:KN d:N", "c:MN = sum K of a * b", "y:MN = maximumf(c + d, 0.0)", groups=""),
    _op("rotary_half", "x:RC z:RC k:RC n:RC", "y:RC = x * k - z * n"),
    _op("embedding", "t:VC i:R", "y:RC = t[i]", types=(("i", "i64"),)),
    _op("embedding_wrapped", "t:VC i:R", "y:RC = t[wrap(i, V)]", types=(("i", "i64"),)),
    _op("quick_gelu", "x:R", "y:R = x / (1 + exp(-1.702 * x))"),
    _op("geglu", "x:R z:R", "y:R = 0.5 * x * (1 + erf(x * 0.7071067811865476)) * z"),
    _op("reglu", "x:R z:R", "y:R = maximumf(x, 0.0) * z"),
    _op("squared_relu", "x:R", "y:R = maximumf(x, 0.0) * maximumf(x, 0.0)"),
    _op("log_sigmoid", "x:R", "y:R = minimumf(x, 0.0) - log1p(exp(-absf(x)))"),
    _op(
        "selu",
        "x:R",
        "y:R = 1.0507009873554805 * select(gt(x, 0.0), x, 1.6732632423543772 * expm1(x))",
    ),
    _op("softsign", "x:R", "y:R = x / (1 + absf(x))"),
    _op("tanh_shrink", "x:R", "y:R = x - tanh(x)"),
    _op("hard_shrink", "x:R", "y:R = select(gt(absf(x), 0.5), x, 0.0)"),
    _op("soft_shrink", "x:R", "y:R = select(gt(x, 0.5), x - 0.5, select(lt(x, -0.5), x + 0.5, 0.0))"),
    _op("prelu", "x:RC w:C", "y:RC = select(gt(x, 0.0), x, w * x)"),
    _op("rms_norm_gemma", "x:RC w:C", "s:R = sum C of x * x", "y:RC = x * rsqrt(s / C + 1e-6) * (1 + w)"),
    _op(
        "rms_norm_residual",
        "x:RC z:RC w:C",
        "s:R = sum C of (x + z) * (x + z)",
        "y:RC = (x + z) * rsqrt(s / C + 1e-6) * w",
    ),
    _op(
        "layer_norm_residual",
        "x:RC z:RC w:C b:C",
        "s:R = sum C of x + z",
        "v:R = sum C of (x + z - s / C) * (x + z - s / C)",
        "y:RC = (x + z - s / C) * rsqrt(v / C + 1e-12) * w + b",
    ),
    _op(
        "instance_norm",
        "x:NCP w:C b:C",
        "s:NC = sum P of x",
        "v:NC = sum P of (x - s / P) * (x - s / P)",
        "y:NCP = (x - s / P) / sqrt(v / P + 1e-5) * w + b",
        groups="N",
    ),
    _op(
        "cosine_similarity",
        "x:RC z:RC",
        "d:R = sum C of x * z",
        "s:R = sum C of x * x",
        "t:R = sum C of z * z",
        "y:R = d / (maximumf(sqrt(s), 1e-8) * maximumf(sqrt(t), 1e-8))",
    ),
    _op("l2_distance", "x:RC z:RC", "s:R = sum C of (x - z) * (x - z)", "y:R = sqrt(s)"),
    _op("smooth_l1", "x:R z:R", "y:R = select(lt(absf(x - z), 1.0), 0.5 * (x - z) * (x - z), absf(x - z) - 0.5)"),
    _op("bce_logits", "x:R z:R", "y:R = maximumf(x, 0.0) - x * z + log1p(exp(-absf(x)))"),
    _op(
        "soft_cross_entropy",
        "x:RC z:RC",
        "m:R = max C of x",
        "s:R = sum C of exp(x - m)",
        "l:R = sum C of z * (x - m - log(s))",
        "y:R = -l",
    ),
    _op("root_mean_square", "x:RC", "s:R = sum C of x * x", "y:R = sqrt(s / C)"),
    _op("norm", "x:RC", "s:R = sum C of x * x", "y:R = sqrt(s)"),
    _op("global_average_pool", "x:NCP", "s:NC = sum P of x", "y:NC = s / P", groups="N"),
    _op("global_max_pool", "x:NCP", "m:NC = max P of x", "y:NC = m", groups="N"),
    _op("squeeze_excite", "x:NCP g:NC", "y:NCP = x / (1 + exp(-g))", groups="P"),
    _op("layer_scale", "x:RC w:C z:RC", "y:RC = x + w * z"),
    _op("modulate", "x:RC w:C b:C", "y:RC = x * (1 + w) + b"),
    _op("soft_cap", "x:R", "y:R = 30 * tanh(x / 30)"),
    _op("gated_sigmoid", "x:R z:R", "y:R = x / (1 + exp(-z))"),
    _op("lerp", "x:R z:R w:R", "y:R = x + w * (z - x)"),
    _op("swish_beta", "x:RC w:C", "y:RC = x / (1 + exp(-(w * x)))"),
    _op("masked_fill", "x:R k:R", "y:R = select(k, -1e4, x)", types=(("k", "i1"),)),
    _op("causal_mask", "x:RC", "y:RC = select(upto(C, R), x, -1e4)", groups=""),
    _op(
        "causal_softmax",
        "x:RC",
        "m:R = max C of select(upto(C, R), x, -inf)",
        "s:R = sum C of exp(select(upto(C, R), x, -inf) - m)",
        "y:RC = exp(select(upto(C, R), x, -inf) - m) / s",
        groups="",
    ),
    _op(
        "softmax_scale_mask",
        "x:RC k:RC",
        "m:R = max C of x * 0.125 + k",
        "s:R = sum C of exp(x * 0.125 + k - m)",
        "y:RC = exp(x * 0.125 + k - m) / s",
    ),
    _op("dequantize", "q:RC w:C", "y:RC = (sitofp(q) - 3) * w", types=(("q", "i8"),)),
    _op("matmul_bias", "a:MK b:KN d:N", "c:MN = sum K of a * b", "y:MN = c + d", groups=""),
    _op("matmul_transposed", "a:MK b:NK", "c:MN = sum K of a * b", "y:MN = c", groups=""),
    _op("matmul_residual", "a:MK b:KN d:MN", "c:MN = sum K of a * b", "y:MN = c + d", groups=""),
    _op(
        "matmul_bias_gelu",
        "a:MK b:KN d:N",
        "c:MN = sum K of a * b",
        "y:MN = 0.5 * (c + d) * (1 + erf((c + d) * 0.7071067811865476))",
        groups="",
    ),
    _op(
        "matmul_bias_silu", "a:MK b:KN d:N", "c:MN = sum K of a * b", "y:MN = (c + d) / (1 + exp(-(c + d)))", groups=""
    ),
    _op(
        "linear_int8", "a:MK q:KN w:N", "c:MN = sum K of a * sitofp(q)", "y:MN = c * w", types=(("q", "i8"),), groups=""
    ),
)


def make_kernel(
    operation: Operation, element: str, *, slots: tuple[Slot, ...] = (), generated: bool = False, **fields: object
) -> Kernel:
    """Return a kernel with this definition: a finished one, or with `generated` one whose code sees the dispatch."""
    name, axes = operation.result
    specs = tuple(OperandSpec(name=n, axes=tuple(a), strided=True) for n, a in (*operation.arguments, (name, axes)))
    texts = [write_definition(operation, element, "plain")]
    if element in ("f16", "bf16"):
        texts.append(write_definition(operation, element, "wide"))
    return Kernel(
        name=operation.name,
        folder=Path("kernels") / operation.name,
        summary="",
        abi="canonical",
        targets=(TargetRule(backend="llvm-cpu"),),
        forms=read_forms(Path("definition.mlir"), "\n".join(texts), specs),
        operands=specs,
        groups=frozenset(operation.groups),
        slots=frozenset(slots),
        payload=PayloadSpec(
            kind=find_kind("llvm-generator" if generated else "llvm-ir"), path=Path("payload"), entry="entry"
        ),
        launch=Launch(),
        **fields,  # type: ignore[arg-type]
    )


def write_definition(operation: Operation, element: str, name: str) -> str:
    """Return the definition's text; `wide` computes in f32 and rounds what it stores."""
    return _Writer(operation, element, "f32" if name == "wide" else element).function(name)


class _Writer:
    """Writes one operation as MLIR."""

    def __init__(self, operation: Operation, element: str, inside: str) -> None:
        self._operation, self._element, self._inside = operation, element, inside
        self._lines: list[str] = []
        self._count = 0
        self._axes: dict[str, str] = dict(operation.arguments)
        own = dict(operation.types)
        self._types = {n: own.get(n, element) for n, _ in operation.arguments}

    def function(self, name: str) -> str:
        arguments = ", ".join(f"%{n}: {self._tensor(n)}" for n, _ in self._operation.arguments)
        sizes: dict[str, str] = {}
        for n, axes in self._operation.arguments:
            for d, axis in enumerate(axes):
                if axis not in sizes:
                    sizes[axis] = f"%size_{axis}"
                    self._lines.append(f"%at_{axis} = arith.constant {d} : index")
                    self._lines.append(f"%size_{axis} = tensor.dim %{n}, %at_{axis} : {self._tensor(n)}")
        if self._operation.named:
            self._softmax()
        for step in () if self._operation.named else self._operation.steps:
            self._nest(step, last=step is self._operation.steps[-1])
        result = self._operation.result[0]
        type_ = self._tensor(result)
        body = "\n  ".join(self._lines)
        return f"func.func @{name}({arguments}) -> {type_} {{\n  {body}\n  return %{result} : {type_}\n}}\n"

    def _softmax(self) -> None:
        ((x, axes),), (y, _) = self._operation.arguments, self._operation.result
        self._axes[y], self._types[y] = axes, self._element
        source, inside = f"%{x}", f"tensor<{'?x' * len(axes)}{self._inside}>"
        if self._inside != self._element:
            source = self._converted(source, axes, "extf", self._element, self._inside)
        made = "%softmax" if self._inside != self._element else f"%{y}"
        empty = self._empty(axes, self._inside)
        self._lines.append(
            f"{made} = {self._operation.named} dimension({len(axes) - 1}) ins({source} : {inside}) "
            f"outs({empty} : {inside}) -> {inside}"
        )
        if self._inside != self._element:
            self._lines[-1:] = [self._lines[-1]]
            again = self._converted(made, axes, "truncf", self._inside, self._element)
            self._lines.append(f"%{y} = tensor.cast {again} : {self._tensor(y)} to {self._tensor(y)}")

    def _converted(self, source: str, axes: str, op: str, start: str, end: str) -> str:
        made, empty = self._new(), self._empty(axes, end)
        letters = ", ".join(axes.lower())
        map_ = f"affine_map<({letters}) -> ({letters})>"
        kinds = ", ".join(['"parallel"'] * len(axes))
        dims = "?x" * len(axes)
        self._lines.append(
            f"{made} = linalg.generic {{indexing_maps = [{map_}, {map_}], iterator_types = [{kinds}]}} "
            f"ins({source} : tensor<{dims}{start}>) outs({empty} : tensor<{dims}{end}>) {{\n  ^bb0(%a: {start}, "
            f"%o: {end}):\n    %c = arith.{op} %a : {start} to {end}\n    linalg.yield %c : {end}\n  }} "
            f"-> tensor<{dims}{end}>"
        )
        return made

    def _nest(self, step: Step, *, last: bool) -> None:
        type_ = self._element if last and not step.combiner else self._inside
        self._axes[step.result], self._types[step.result] = step.axes, type_
        loops = step.axes + step.over
        formula = ast.parse(step.formula, mode="eval").body
        read = [n for n in self._axes if n != step.result and n in _names(formula)]
        whole = {node.value.id for node in ast.walk(formula) if isinstance(node, ast.Subscript)}  # type: ignore[attr-defined]
        inputs = [n for n in read if n not in whole]
        letters = ", ".join(loops.lower())
        maps = [f"affine_map<({letters}) -> ({', '.join(self._axes[n].lower())})>" for n in (*inputs, step.result)]
        kinds = ['"parallel"'] * len(step.axes) + ['"reduction"'] * len(step.over)
        start = self._empty(step.axes, type_)
        if step.combiner:
            filled, zero = self._new(), self._new()
            text = _NEGATIVE_INFINITY[type_] if step.start < 0 else "0.0"
            self._lines.append(f"{zero} = arith.constant {text} : {type_}")
            tensor = self._tensor(step.result)
            self._lines.append(f"{filled} = linalg.fill ins({zero} : {type_}) outs({start} : {tensor}) -> {tensor}")
            start = filled
        body: list[str] = []
        known = {}
        for n in inputs:
            known[n] = f"%in_{n}"
            if self._types[n] != self._inside and not self._types[n].startswith("i"):
                body.append(f"%wide_{n} = arith.extf %in_{n} : {self._types[n]} to {self._inside}")
                known[n] = f"%wide_{n}"
        value = self._value(formula, known, body, step)
        inside = self._element if whole else self._inside
        if step.combiner:
            body.append(f"%next = {step.combiner} %out, {value} : {self._inside}")
            value = "%next"
        elif type_ != inside:
            body.append(f"%stored = arith.truncf {value} : {inside} to {type_}")
            value = "%stored"
        body.append(f"linalg.yield {value} : {type_}")
        scalars = ", ".join([*(f"%in_{n}: {self._types[n]}" for n in inputs), f"%out: {type_}"])
        ins = ", ".join(f"%{n}" for n in inputs) + " : " + ", ".join(self._tensor(n) for n in inputs)
        tensor = self._tensor(step.result)
        lines = "\n    ".join(body)
        self._lines.append(
            f"%{step.result} = linalg.generic {{indexing_maps = [{', '.join(maps)}], iterator_types = "
            f"[{', '.join(kinds)}]}} ins({ins}) outs({start} : {tensor}) {{\n  ^bb0({scalars}):\n    {lines}\n  }} "
            f"-> {tensor}"
        )

    def _value(self, node: ast.expr, known: dict[str, str], body: list[str], step: Step) -> str:
        inside = self._inside
        below = lambda n: self._value(n, known, body, step)  # noqa: E731
        made = self._new()
        match node:
            case ast.Constant(value=value):
                body.append(f"{made} = arith.constant {float(value):.17e} : {inside}")
            case ast.UnaryOp(op=ast.USub(), operand=ast.Name(id="inf")):
                body.append(f"{made} = arith.constant {_NEGATIVE_INFINITY[inside]} : {inside}")
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=value)):
                body.append(f"{made} = arith.constant {-float(value):.17e} : {inside}")
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                body.append(f"{made} = arith.negf {below(operand)} : {inside}")
            case ast.BinOp(left=left, op=op, right=right):
                name = {ast.Add: "addf", ast.Sub: "subf", ast.Mult: "mulf", ast.Div: "divf"}[type(op)]
                body.append(f"{made} = arith.{name} {below(left)}, {below(right)} : {inside}")
            case ast.Name(id=name) if name in known:
                return known[name]
            case ast.Name(id=axis):
                body.append(f"{made}i = arith.index_cast %size_{axis} : index to i64")
                body.append(f"{made} = arith.sitofp {made}i : i64 to {inside}")
            case ast.Subscript(value=ast.Name(id=table), slice=place):
                row = self._place(place, known, body)
                body.append(f"{made}c = linalg.index {step.axes.index('C')} : index")
                body.append(f"{made} = tensor.extract %{table}[{row}, {made}c] : {self._tensor(table)}")
            case ast.Call(func=ast.Name(id="sitofp"), args=[ast.Name(id=name)]):
                body.append(f"{made} = arith.sitofp {known[name]} : {self._types[name]} to {inside}")
            case ast.Call(func=ast.Name(id="upto"), args=[ast.Name(id=first), ast.Name(id=last)]):
                loops = step.axes + step.over
                body += [f"{made}{axis} = linalg.index {loops.index(axis)} : index" for axis in (first, last)]
                body.append(f"{made} = arith.cmpi sle, {made}{first}, {made}{last} : index")
            case ast.Call(func=ast.Name(id="select"), args=[condition, a, b]):
                body.append(f"{made} = arith.select {below(condition)}, {below(a)}, {below(b)} : {inside}")
            case ast.Call(func=ast.Name(id=("gt" | "ge" | "lt" | "le") as name), args=[a, b]):
                body.append(f"{made} = arith.cmpf o{name}, {below(a)}, {below(b)} : {inside}")
            case ast.Call(func=ast.Name(id=name), args=args):
                dialect = "arith" if f"arith.{name}" in SCALAR else "math"
                body.append(f"{made} = {dialect}.{name} {', '.join(below(a) for a in args)} : {inside}")
            case _:
                raise ValueError(ast.unparse(node))
        return made

    def _place(self, node: ast.expr, known: dict[str, str], body: list[str]) -> str:
        made = self._new()
        match node:
            case ast.Name(id=name):
                body.append(f"{made} = arith.index_cast {known[name]} : i64 to index")
            case ast.Call(args=[ast.Name(id=name), ast.Name(id=axis)]):
                body.append(f"{made}z = arith.constant 0 : i64")
                body.append(f"{made}n = arith.index_cast %size_{axis} : index to i64")
                body.append(f"{made}l = arith.cmpi slt, {known[name]}, {made}z : i64")
                body.append(f"{made}w = arith.addi {known[name]}, {made}n : i64")
                body.append(f"{made}s = arith.select {made}l, {made}w, {known[name]} : i64")
                body.append(f"{made} = arith.index_cast {made}s : i64 to index")
        return made

    def _empty(self, axes: str, element: str) -> str:
        made = self._new()
        sizes = ", ".join(f"%size_{axis}" for axis in axes)
        self._lines.append(f"{made} = tensor.empty({sizes}) : tensor<{'?x' * len(axes)}{element}>")
        return made

    def _tensor(self, name: str) -> str:
        if name not in self._types:
            self._types[name] = self._element
            self._axes[name] = self._operation.result[1]
        return f"tensor<{'?x' * len(self._axes[name])}{self._types[name]}>"

    def _new(self) -> str:
        self._count += 1
        return f"%v{self._count}"


def _names(node: ast.expr) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
