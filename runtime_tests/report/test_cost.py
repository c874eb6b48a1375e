"""FLOPs and bytes against figures worked out by hand."""

import pytest

from substitute.model.dispatch import Linear, Named, Nest, Operand, Program, Read, TensorType, View, Write
from substitute.model.index import Index, evaluate, push
from substitute.model.plan import Plan
from substitute.model.scalar import Scalar, ScalarGraph
from substitute.report.cost import Cost, cost_of

pytestmark = pytest.mark.unit


def program_of(plan: Plan, number: int) -> Program:
    program = plan.dispatches[number].program
    assert program is not None
    return program


def test_matmul_with_fused_maximum(plan: Plan) -> None:
    cost = cost_of(program_of(plan, 0))
    assert cost == Cost(flops=2 * 64 * 32 * 48 + 64 * 32, bytes=4 * (64 * 48 + 48 * 32 + 64 * 32))


def test_dynamic_sizes_make_expressions(plan: Plan) -> None:
    cost = cost_of(program_of(plan, 1))
    assert cost.flops is not None
    assert not isinstance(cost.flops, int)
    assert evaluate(cost.flops, (64,)) == 2 * 64 * 33 * 48 + 64 * 33
    assert evaluate(cost.bytes, (64,)) == 4 * (64 * 48 + 48 * 33 + 64 * 33)


def view(operand: int, *shape: Index, element: str = "f32", offset: int = 0) -> View:
    return View(operand=operand, type=TensorType(shape=shape, element=element), offset=offset, strides=())


def elementwise(nodes: tuple[Scalar, ...], reads: tuple[Read, ...], size: Index, element: str = "f32") -> Program:
    out = view(9, size, element=element)
    nest = Nest(
        sizes=(size,),
        kinds=("parallel",),
        reads=reads,
        expr=ScalarGraph(nodes, (len(nodes) - 1,)),
        writes=(Write(view=out, access=(Linear(terms=((0, 1),)),)),),
    )
    return Program(operands=(), cores=(), stores=(nest,))


def read(source: View) -> Read:
    return Read(source=source, access=(Linear(terms=((0, 1),)),), type=source.type)


def test_address_arithmetic_is_no_work_and_a_table_is_not_read_whole() -> None:
    """out[i] = exp(table[2·i + 1]): one operation for each element, and one element of the table."""
    table = view(0, 1000)
    nodes = (
        Scalar("index", "index", (), 0),
        Scalar("constant", "i32", (), 2),
        Scalar("arith.index_cast", "i32", (0,)),
        Scalar("arith.muli", "i32", (2, 1)),
        Scalar("gather", "f32", (3,), 0),
        Scalar("math.exp", "f32", (4,)),
    )
    gathered = Read(source=table, access=(), type=table.type)
    assert cost_of(elementwise(nodes, (gathered,), 10)) == Cost(flops=10, bytes=10 * 4 + 10 * 4)
    assert cost_of(elementwise(nodes, (gathered,), 5000)).bytes == 1000 * 4 + 5000 * 4


def test_window_read_twice_counts_once_and_another_window_again() -> None:
    nodes = (Scalar("read", "f16", (), 0), Scalar("read", "f16", (), 1), Scalar("math.fma", "f16", (0, 1, 0)))
    same = (read(view(0, 8, element="f16")), read(view(0, 8, element="f16")))
    other = (read(view(0, 8, element="f16")), read(view(0, 8, element="f16", offset=8)))
    assert cost_of(elementwise(nodes, same, 8, "f16")) == Cost(flops=16, bytes=16 + 16)
    assert cost_of(elementwise(nodes, other, 8, "f16")).bytes == 32 + 16


def test_comparisons_selections_and_casts_are_free() -> None:
    nodes = (
        Scalar("read", "i8", (), 0),
        Scalar("arith.sitofp", "f32", (0,)),
        Scalar("arith.cmpf", "i1", (1, 1), "olt"),
        Scalar("arith.select", "f32", (2, 1, 1)),
    )
    assert cost_of(elementwise(nodes, (read(view(0, 8, element="i8")),), 8)) == Cost(flops=0, bytes=8 + 32)


def named(op: str, *shapes: tuple[Index, ...], result: tuple[Index, ...]) -> Program:
    reads = tuple(read(view(i, *shape)) for i, shape in enumerate(shapes))
    stage = Named(op=op, reads=reads, attributes=(), temporaries=(0,), types=(TensorType(shape=result, element="f32"),))
    operands: tuple[Operand, ...] = ()
    return Program(operands=operands, cores=(stage,), stores=())


@pytest.mark.parametrize(
    ("program", "flops"),
    [
        (named("linalg.softmax", (4, 100), result=(4, 100)), 5 * 400),
        # 2·B·M·N·D + 2·B·M·N·D' + 5·B·M·N
        (
            named("iree_linalg_ext.attention", (2, 10, 64), (2, 20, 64), (2, 20, 32), result=(2, 10, 32)),
            2 * 2 * 10 * 20 * 64 + 2 * 2 * 10 * 20 * 32 + 5 * 2 * 10 * 20,
        ),
        (named("iree_linalg_ext.scan", (7,), result=(7,)), 7),
        (named("iree_linalg_ext.sort", (7,), result=(7,)), None),
        (named("iree_linalg_ext.attention", (2, 10, 64), (2, 20, 63), (2, 20, 32), result=(2, 10, 32)), None),
    ],
)
def test_named_operations(program: Program, flops: int | None) -> None:
    assert cost_of(program).flops == flops


def test_named_operation_with_dynamic_size() -> None:
    flops = cost_of(named("linalg.softmax", (push(0), 10), result=(push(0), 10))).flops
    assert flops is not None
    assert evaluate(flops, (3,)) == 150
