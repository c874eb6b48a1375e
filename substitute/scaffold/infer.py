"""Gives a person's definition its operands: names from the function, axes from the loops that run over them."""

from __future__ import annotations

import re
from pathlib import Path

from ..bindings import settle_bindings
from ..model.dispatch import Nest
from ..model.kernel import OperandSpec
from ..read.definition import read_forms
from .classes import classify, list_operands, name_axes
from .draft import Draft, NotExpressible
from .nests import check_simple, free_name


def infer_operands(path: Path, text: str) -> Draft:
    """Return the definition with its operands.

    Raises `ManifestError` for text that is no definition, and `NotExpressible` for several functions.
    """
    settle_bindings()
    from iree.compiler import ir

    count = 0
    ranks: list[int] = []
    scalars: list[bool] = []
    with ir.Context(), ir.Location.unknown():
        try:
            module = ir.Module.parse(text)
        except ir.MLIRError:
            read_forms(path, text, ())  # whose error points at the place
            raise
        functions = [op.operation for op in module.body.operations if op.operation.name == "func.func"]
        if len(functions) > 1:
            raise NotExpressible(f"a definition with {len(functions)} functions: give one")
        for function in functions:
            type_ = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
            scalars = [not isinstance(i, ir.ShapedType) for i in type_.inputs]
            tensors = [*(i for i in type_.inputs if isinstance(i, ir.ShapedType)), *type_.results]
            ranks = [t.rank if isinstance(t, ir.RankedTensorType) else 0 for t in tensors]
            count = len(type_.results)
    names = _argument_names(text, len(scalars))
    parameters = tuple(n for n, scalar in zip(names, scalars, strict=True) if scalar)
    results = ["y"] if count == 1 else [f"y{n}" for n in range(count)]
    arguments = [n for n, scalar in zip(names, scalars, strict=True) if not scalar]
    labels = [*arguments, *(free_name(result, names) for result in results)]
    separate = tuple(
        OperandSpec(name=label, axes=tuple(f"{label}_{d}" for d in range(rank)))
        for label, rank in zip(labels, ranks, strict=True)
    )
    (form,) = read_forms(path, text, separate)
    program = check_simple(form.program)
    stages = (*(core for core in program.cores if isinstance(core, Nest)), *program.stores)
    classes = classify(program, stages)
    views = {view.operand: view for nest in stages for view in list_operands(nest)}
    summed = {
        classes.find((number, loop))
        for number, nest in enumerate(stages)
        for loop, kind in enumerate(nest.kinds)
        if kind == "reduction"
    }
    axes = [
        [classes.find((views[at], d, "dimension") if at in views else (at, d, "unread")) for d in range(rank)]
        for at, rank in enumerate(ranks)
    ]
    order = [(axis, axis in summed) for row in (*axes[len(axes) - count :], *axes) for axis in row]
    found = name_axes(order, taken=(*labels, *parameters))
    operands = tuple(
        OperandSpec(name=label, axes=tuple(found[axis] for axis in row))
        for label, row in zip(labels, axes, strict=True)
    )
    return Draft(text=text, operands=operands, parameters=parameters)


def _argument_names(text: str, count: int) -> list[str]:
    """Return the names of the arguments, which MLIR does not keep."""
    head = re.search(r"func\.func\s+(?:public\s+)?@[^(]*\((.*?)\)\s*(?:->|\{|attributes)", text, re.DOTALL)
    names = re.findall(r"%([A-Za-z_]\w*)\s*:", head[1]) if head else []
    return names if len(names) == count else [f"arg{n}" for n in range(count)]
