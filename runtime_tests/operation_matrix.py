"""Which scalar operations and element types each room knows: `python -m runtime_tests.operation_matrix`.

Nothing is listed by hand: every operation of `substitute.model.ops` is put, with every element type that MLIR accepts,
into a function of one element-wise nest, which is then read, evaluated by the golden, and given to each emitter.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from substitute.bindings import settle_bindings
from substitute.codegen.unsupported import Unsupported
from substitute.errors import SubstituteError
from substitute.model.elements import ELEMENT
from substitute.model.kernel import OperandSpec
from substitute.model.ops import OPERATIONS, Operation
from substitute.model.scalar import Scalar, ScalarGraph

ROOMS = ("read", "golden", "LLVM", "GLSL", "PTX")
TYPES = ("f32", "f16", "bf16", "f64", "i1", "i8", "i16", "i32", "i64")
PREDICATES = {"arith.cmpf": "olt", "arith.cmpi": "slt"}
MIXED = {"math.fpowi": ("", "i32"), "arith.select": ("i1", "", "")}
"""Operands whose types are not those of the result; an empty text is the result's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One operation on one combination of types."""

    operation: str
    types: tuple[str, ...]
    """Types of the operands."""
    result: str
    rooms: tuple[str, ...]
    """Rooms that know it."""

    @property
    def label(self) -> str:
        return self.result if set(self.types) == {self.result} else f"{self.types[-1]}→{self.result}"


def draw_matrix() -> list[Cell]:
    """Try every operation on every type, in the order of the table of operations."""
    settle_bindings()
    from iree.compiler import ir

    with ir.Context(), ir.Location.unknown():
        return [cell for operation in OPERATIONS.values() for cell in _cells(operation)]


def _cells(operation: Operation) -> Iterator[Cell]:
    from iree.compiler import ir

    for types, result in _signatures(operation):
        text = _function(operation.name, types, result)
        try:
            module = ir.Module.parse(text)
        except ir.MLIRError:
            continue  # MLIR has no such operation
        knows: dict[str, Callable[[], bool]] = {
            "read": lambda text=text, types=types: _is_read(text, len(types)),
            "golden": lambda module=module, types=types: _has_golden(module, types),
            **_emitters(operation.name, types, result),
        }
        rooms = tuple(room for room in ROOMS if knows[room]())
        yield Cell(operation=operation.name, types=types, result=result, rooms=rooms)


def _signatures(operation: Operation) -> Iterator[tuple[tuple[str, ...], str]]:
    if operation.name in MIXED:
        for type_ in TYPES:
            yield tuple(t or type_ for t in MIXED[operation.name]), type_
    elif operation.flops == 0 and operation.arity == 1 and operation.name.startswith("arith."):  # conversions
        for source, target in itertools.permutations(TYPES, 2):
            yield (source,), target
    else:
        for type_ in TYPES:
            tests = operation.name in PREDICATES or operation.name.startswith("math.is")
            yield (type_,) * operation.arity, "i1" if tests else type_


def _function(name: str, types: tuple[str, ...], result: str) -> str:
    maps = ", ".join(["affine_map<(i) -> (i)>"] * (len(types) + 1))
    arguments = ", ".join(f"%a{n}: tensor<4x{t}>" for n, t in enumerate(types))
    operands = ", ".join(f"%a{n}" for n in range(len(types)))
    tensors = ", ".join(f"tensor<4x{t}>" for t in types)
    scalars = ", ".join(f"%x{n}: {t}" for n, t in enumerate(types))
    uses = ", ".join(f"%x{n}" for n in range(len(types)))
    predicate = f"{PREDICATES[name]}, " if name in PREDICATES else ""
    spelled = types[0]
    if name in MIXED:
        spelled = ", ".join(types) if name == "math.fpowi" else result
    elif len(types) == 1 and types[0] != result and not name.startswith("math.is"):
        spelled = f"{types[0]} to {result}"
    return f"""
func.func @f({arguments}) -> tensor<4x{result}> {{
  %e = tensor.empty() : tensor<4x{result}>
  %r = linalg.generic {{indexing_maps = [{maps}], iterator_types = ["parallel"]}}
      ins({operands} : {tensors}) outs(%e : tensor<4x{result}>) {{
  ^bb0({scalars}, %o: {result}):
    %y = {name} {predicate}{uses} : {spelled}
    linalg.yield %y : {result}
  }} -> tensor<4x{result}>
  return %r : tensor<4x{result}>
}}"""


def _is_read(text: str, operands: int) -> bool:
    from substitute.read.definition import read_forms

    names = [*(f"a{n}" for n in range(operands)), "r"]
    specs = tuple(OperandSpec(name=name, axes=("N",)) for name in names)
    try:
        return bool(read_forms(Path("definition.mlir"), text, specs))
    except SubstituteError:
        return False


def _has_golden(module: Any, types: tuple[str, ...]) -> bool:
    from substitute.golden import evaluate_function
    from substitute.golden.numbers import element_of

    arguments = [np.ones(4, element_of(t).storage) for t in types]
    try:
        evaluate_function(module.body.operations[0].operation, arguments)
    except SubstituteError:
        return False
    return True


def _emitters(name: str, types: tuple[str, ...], result: str) -> dict[str, Callable[[], bool]]:
    # an exponent has to be a whole constant on CUDA
    constant = name in ("math.powf", "math.fpowi")
    nodes = [
        Scalar("constant", t, (), 2 if t[0] == "i" else 2.0) if constant and at else Scalar("read", t, (), at)
        for at, t in enumerate(types)
    ]
    node = Scalar(name, result, tuple(range(len(types))), PREDICATES.get(name))
    graph = ScalarGraph((*nodes, node), (len(nodes),))
    return {
        "LLVM": lambda: _is_supported_by_llvm(graph),
        "GLSL": lambda: _is_lowered_to_glsl(node, types),
        "PTX": lambda: _is_lowered_to_ptx(node, tuple(nodes)),
    }


def _is_supported_by_llvm(graph: ScalarGraph) -> bool:
    from substitute.codegen.llvm.lower import supported

    return not supported(graph)


def _is_lowered_to_glsl(node: Scalar, types: tuple[str, ...]) -> bool:
    from substitute.codegen.glsl.operations import lower_operation

    try:
        lower_operation(node, types, tuple(f"x{n}" for n in range(len(types))))
    except Unsupported:
        return False
    return True


def _is_lowered_to_ptx(node: Scalar, operands: tuple[Scalar, ...]) -> bool:
    from substitute.payload.ptx.slots.block import Block
    from substitute.payload.ptx.slots.scalars import operation

    try:
        operation(Block("m"), node, operands, tuple(f"%x{n}" for n in range(len(operands))))
    except Unsupported:
        return False
    return True


def render_matrix(cells: list[Cell]) -> str:
    """Return the page of the documentation."""
    lines = [
        "# Scalar operations",
        "",
        "Written by `make docs`: every operation of `substitute/model/ops.py` on every element type that MLIR accepts "
        f"({', '.join(TYPES)}),",
        "tried in the reader of bodies, the golden, and the emitters for the CPU (LLVM), Vulkan (GLSL) and the slots "
        "of CUDA kernels (PTX).",
        "An operation that an emitter does not know is a refusal with its name, shown by `explain`; IREE's own code "
        "then stays in.",
        "",
        "| operation | " + " | ".join(ROOMS) + " |",
        "|---|" + "---|" * len(ROOMS),
    ]
    for name, group in itertools.groupby(cells, key=lambda cell: cell.operation):
        row = list(group)
        lines.append(f"| `{name}` | " + " | ".join(_describe(row, room) for room in ROOMS) + " |")
    return "\n".join(lines) + "\n"


def _describe(row: list[Cell], room: str) -> str:
    known = [cell.label for cell in row if room in cell.rooms]
    if len(known) == len(row):
        return "all"
    missing = [cell.label for cell in row if room not in cell.rooms]
    if not known:
        return "–"
    return " ".join(known) if len(known) <= len(missing) else "all but " + " ".join(missing)


if __name__ == "__main__":
    assert set(TYPES) <= set(ELEMENT)
    print(render_matrix(draw_matrix()), end="")
