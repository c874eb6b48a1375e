"""A small plan, made by hand: a matrix multiplication that a kernel takes, and two dispatches that none takes."""

from pathlib import Path

import pytest

from substitute.model.dispatch import (
    Access,
    Dispatch,
    Linear,
    Nest,
    Operand,
    PipelineLayout,
    Program,
    Read,
    Target,
    TensorType,
    View,
    Write,
)
from substitute.model.index import Index, push
from substitute.model.kernel import Constraint, Kernel, Launch, OperandSpec, PayloadSpec, TargetRule
from substitute.model.plan import Axis, Decision, Match, Plan, Rule, Substitution
from substitute.model.scalar import Scalar, ScalarGraph
from substitute.payload.kinds import find_kind

TARGET = Target(backend="llvm-cpu", format="embedded-elf-x86_64", config=())


def linear(*loops: int) -> tuple[Linear, ...]:
    return tuple(Linear(terms=((loop, 1),)) for loop in loops)


def operand(access: Access, *shape: Index, element: str = "f32", binding: int = 0) -> Operand:
    return Operand(kind="binding", type=TensorType(shape=shape, element=element), access=access, binding=binding)


def whole(number: int, *shape: Index, element: str = "f32") -> View:
    return View(operand=number, type=TensorType(shape=shape, element=element), offset=0, strides=(1,) * len(shape))


def matmul(m: Index, n: Index, k: Index) -> Program:
    """c[m, n] = max(Σk a[m, k] · b[k, n], 0)."""
    a, b, c = whole(0, m, k), whole(1, k, n), whole(2, m, n)
    type_ = TensorType(shape=(m, n), element="f32")
    core = Nest(
        sizes=(m, n, k),
        kinds=("parallel", "parallel", "reduction"),
        reads=(
            Read(source=a, access=linear(0, 2), type=a.type),
            Read(source=b, access=linear(2, 1), type=b.type),
        ),
        expr=ScalarGraph(
            (Scalar("read", "f32", (), 0), Scalar("read", "f32", (), 1), Scalar("arith.mulf", "f32", (0, 1))), (2,)
        ),
        combiner="arith.addf",
        init=0.0,
        target=linear(0, 1),
        temporary=0,
        type=type_,
    )
    store = Nest(
        sizes=(m, n),
        kinds=("parallel", "parallel"),
        reads=(Read(source=0, access=linear(0, 1), type=type_),),
        expr=ScalarGraph(
            (
                Scalar("read", "f32", (), 0),
                Scalar("constant", "f32", (), 0.0),
                Scalar("arith.maximumf", "f32", (0, 1)),
            ),
            (2,),
        ),
        writes=(Write(view=c, access=linear(0, 1)),),
    )
    operands = (operand("readonly", m, k), operand("readonly", k, n, binding=1), operand("writeonly", m, n, binding=2))
    return Program(operands=operands, cores=(core,), stores=(store,))


def dispatch(name: str, kind: str, operations: tuple[str, ...], program: Program | None, reason: str = "") -> Dispatch:
    return Dispatch(
        executable="main",
        variant="cpu",
        name=name,
        target=TARGET,
        layout=PipelineLayout(constants=0, bindings=("ReadOnly", "ReadOnly", "")),
        workload=(),
        program=program,
        reason=reason,
        operations=operations,
        kind=kind,
    )


KERNEL = Kernel(
    name="matmul_f32",
    folder=Path("kernels/matmul"),
    summary="Matrix multiply",
    abi="canonical",
    targets=(TargetRule(backend="llvm-cpu", features=("avx2",)),),
    forms=(),
    operands=(
        OperandSpec(name="a", axes=("M", "K"), strided=True),
        OperandSpec(name="b", axes=("K", "N")),
        OperandSpec(name="c", axes=("M", "N")),
    ),
    slots=frozenset({"epilogue"}),
    constraints=(Constraint(text="N % 16 == 0", axes=frozenset("N")),),
    payload=PayloadSpec(kind=find_kind("llvm-generator"), path=Path("kernels/matmul/generator.py"), entry="matmul"),
    launch=Launch(),
)
MATMUL = dispatch("m$async_dispatch_0_matmul", "contraction", ("linalg.fill", "linalg.matmul"), matmul(64, 32, 48))
DYNAMIC = dispatch(
    "m$async_dispatch_1_matmul_D",
    "contraction",
    ("linalg.matmul", "linalg.generic", "linalg.generic"),
    matmul(push(0), 33, 48),
)
UNREAD = dispatch("m$async_dispatch_10_sort", "sort", ("iree_linalg_ext.sort",), None, "tensor.unpack is not known")

TAKES = Match(
    form="plain",
    axes=(
        Axis(name="M", loops=(0, 1), sizes=(8, 8)),
        Axis(name="N", loops=(2,), sizes=(32,)),
        Axis(name="K", loops=(), sizes=()),
    ),
    program=MATMUL.program,
    arguments=(),
    specificity=1,
    fallback=("M % 4 == 0",),
)


def rule(name: str, passed: bool, expected: str, found: str) -> Rule:
    return Rule(name=name, passed=passed, expected=expected, found=found)


IN_TARGET = rule("target", True, "llvm-cpu", "llvm-cpu")
ACCEPTED = Decision(kernel=KERNEL, dispatch=MATMUL, rules=(IN_TARGET,), match=TAKES)
REJECTED = Decision(
    kernel=KERNEL,
    dispatch=DYNAMIC,
    rules=(IN_TARGET, rule("constraint", False, "N % 16 == 0", "N = 33")),
    match=None,
)


@pytest.fixture
def plan() -> Plan:
    """Three dispatches, of which the first is substituted."""
    unread = Decision(
        kernel=KERNEL, dispatch=UNREAD, rules=(rule("target", False, "llvm-cpu with avx2", "llvm-cpu"),), match=None
    )
    return Plan(
        substitutions=(Substitution(dispatch=MATMUL, kernel=KERNEL, match=TAKES),),
        decisions=(ACCEPTED, REJECTED, unread),
        dispatches=(MATMUL, DYNAMIC, UNREAD),
    )


@pytest.fixture
def accepted() -> Decision:
    """A kernel that fits."""
    return ACCEPTED


@pytest.fixture
def rejected() -> Decision:
    """A kernel whose constraint fails."""
    return REJECTED
