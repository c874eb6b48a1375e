"""Kernels made in memory, to be compared with dispatches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from runtime_tests.read.short_form import expand
from substitute.match.planner import decide
from substitute.model.constraints import parse_constraint
from substitute.model.dispatch import Dispatch
from substitute.model.kernel import (
    Kernel,
    Launch,
    OperandSpec,
    PayloadKind,
    PayloadSpec,
    Slot,
    TargetRule,
)
from substitute.model.plan import Decision, Match, Rule
from substitute.payload.kinds import find_kind
from substitute.read.definition import read_forms

CPU_RULE = TargetRule(backend="llvm-cpu")


def kernel(
    definition: str = "",
    operands: Mapping[str, str] | None = None,
    *,
    name: str = "mine",
    strided: str = "",
    kind: PayloadKind = "llvm-ir",
    groups: str = "",
    slots: Sequence[Slot] = (),
    constraints: Sequence[str] = (),
    targets: Sequence[TargetRule] = (CPU_RULE,),
    **fields: object,
) -> Kernel:
    """A kernel whose operands are `{"a": "MK", …}`: one letter per axis; `strided` and `groups` are letters, too."""
    specs = tuple(OperandSpec(name=n, axes=tuple(axes), strided=n in strided) for n, axes in (operands or {}).items())
    axes = {axis for spec in specs for axis in spec.axes}
    return Kernel(
        name=name,
        folder=Path("kernels") / name,
        summary="",
        abi="canonical",
        targets=tuple(targets),
        forms=read_forms(Path("definition.mlir"), expand(definition), specs) if definition else (),
        operands=specs,
        groups=frozenset(groups),
        slots=frozenset(slots),
        constraints=tuple(parse_constraint(text, axes) for text in constraints),
        payload=PayloadSpec(kind=find_kind(kind), path=Path("kernels") / name / "payload", entry="entry"),
        launch=Launch(),
        **fields,  # type: ignore[arg-type]
    )


def takes_all(_kernel: Kernel, _dispatch: Dispatch) -> str:
    """A generator that can do everything."""
    return ""


def decision(made: Kernel, dispatch: Dispatch) -> Decision:
    """Return the decision on a kernel and a dispatch."""
    assert dispatch.program is not None or not made.forms, dispatch.reason
    return decide(made, dispatch, takes_all)


def accepted(made: Kernel, dispatch: Dispatch) -> Match:
    """The match of a kernel that has to fit."""
    found = decision(made, dispatch)
    assert found.match is not None, found.rules[-1]
    return found.match


def refused(made: Kernel, dispatch: Dispatch) -> Rule:
    """The rule that failed, for a kernel that must not fit."""
    found = decision(made, dispatch)
    assert found.match is None, "accepted"
    assert not found.rules[-1].passed
    return found.rules[-1]


HEAD = """
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
"""
MATMUL = f"""
func.func @matmul(%a: !?x?xf32, %b: !?x?xf32) -> !?x?xf32 {{{HEAD}
  %m = tensor.dim %a, %c0 : !?x?xf32
  %n = tensor.dim %b, %c1 : !?x?xf32
  %e = tensor.empty(%m, %n) : !?x?xf32
  %i = linalg.fill ins(%zero : f32) outs(%e : !?x?xf32) -> !?x?xf32
  %c = linalg.matmul ins(%a, %b : !?x?xf32, !?x?xf32) outs(%i : !?x?xf32) -> !?x?xf32
  return %c : !?x?xf32
}}
"""
MATMUL_OPERANDS = {"a": "MK", "b": "KN", "c": "MN"}
