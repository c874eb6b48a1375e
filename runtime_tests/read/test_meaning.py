"""The reader's program of a dispatch has the dispatch's semantics: interpreted, and compared with stock IREE's
result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime_tests.conftest import CPU_FLAGS
from runtime_tests.read.interpreter import flat, run
from runtime_tests.read.programs import FUNCTIONS, Function, inputs_of
from substitute.compiler import Compilation
from substitute.device import Session
from substitute.model.dispatch import Dispatch, Named, Nest, Program, TensorType
from substitute.model.index import Expr, Index
from substitute.model.scalar import ScalarGraph
from substitute.read.module import read_module

Array = NDArray[Any]
pytestmark = [pytest.mark.compile, pytest.mark.device]

NAMED = frozenset({"argmax"})
"""Functions that remain a named operation, which the interpreter does not support."""
BY_NAME = {f.name: f for f in FUNCTIONS}
READ = [f.name for f in FUNCTIONS if f.name not in NAMED]


@dataclass(frozen=True, slots=True)
class Compiled:
    """All functions in one module."""

    vmfb: bytes
    dispatches: dict[str, Dispatch]


@pytest.fixture(scope="session")
def compiled() -> Compiled:
    """Return the functions' dispatches, and stock IREE's results, from one compilation."""
    text = "".join(f.text for f in FUNCTIONS)
    with Compilation(CPU_FLAGS, name="functions") as compilation:
        compilation.parse(text.encode())
        compilation.run("start", "executable-sources")
        assert compilation.module is not None
        dispatches = [site.dispatch for site in read_module(compilation.module)]
        compilation.run("executable-sources", "end")
        by_function = {d.name.partition("_dispatch_")[0]: d for d in dispatches}
        assert sorted(by_function) == sorted(BY_NAME) and len(dispatches) == len(FUNCTIONS), "one dispatch each"
        return Compiled(compilation.bytecode(), by_function)


def interpret(
    function: Function, dispatch: Dispatch, program: Program, inputs: list[Array], results: list[Array]
) -> list[Array]:
    """The program's results for these inputs; `results` say how large they are."""
    wanted = [n for n, o in enumerate(program.operands) if o.kind == "binding" and o.access == "readonly"]
    stored = [w.view.operand for nest in program.stores for w in nest.writes]
    push = dict(function.push)
    memory: dict[int, Array] = {}
    left = list(inputs)
    for number in wanted:
        operand = program.operands[number]
        value = left.pop(next(i for i, v in enumerate(left) if fits(operand.type, v)))
        unify(operand.type.shape, value.shape, push)
        memory[number] = flat(value)
    for number, result in zip(dict.fromkeys(stored), results, strict=True):
        # what the function reads and writes in place comes in as its last input
        start = left.pop() if program.operands[number].access == "readwrite" and left else np.zeros_like(result)
        memory[number] = flat(start)
    assert not left, "every input is read"
    words = [push.get(i, 0) for i in range(dispatch.layout.constants)]
    run(program, memory, words)
    return [memory[n].reshape(r.shape) for n, r in zip(dict.fromkeys(stored), results, strict=True)]


def fits(type_: TensorType, value: Array) -> bool:
    """IREE flattens static tensors: only the number of elements stays."""
    name = str(value.dtype).replace("float", "f").replace("int", "i")
    same = value.size == type_.count if isinstance(type_.count, int) else len(type_.shape) == value.ndim
    return name == type_.element and same


def unify(shape: tuple[Index, ...], sizes: tuple[int, ...], push: dict[int, int]) -> None:
    """Push constants that make the shape these sizes."""
    for size, value in zip(shape, sizes, strict=False):
        if isinstance(size, Expr):
            low = size.args[0] if size.op == "u64" else size
            assert isinstance(low, Expr) and low.op == "push", size
            assert push.setdefault(int(str(low.args[0])), value) == value


def difference(found: list[Array], expected: list[Array]) -> float:
    """Largest difference, as a share of the largest expected value."""
    return max(
        float(np.abs(f - flat(e).reshape(e.shape)).max() / max(1.0, np.abs(flat(e)).max()))
        for f, e in zip(found, expected, strict=True)
    )


@pytest.fixture(scope="session")
def session(compiled: Compiled) -> Any:
    with Session(compiled.vmfb, device="local-sync") as opened:
        yield opened


@pytest.mark.parametrize("name", READ)
def test_program_means_what_stock_computes(compiled: Compiled, session: Session, name: str) -> None:
    function, dispatch = BY_NAME[name], compiled.dispatches[name]
    assert dispatch.program is not None, dispatch.reason
    assert not function.kind or dispatch.kind == function.kind
    inputs = inputs_of(function)
    expected = session.call(name, inputs)
    assert difference(interpret(function, dispatch, dispatch.program, inputs, expected), expected) < 1e-5


def reversed_writes(program: Program) -> Program:
    """Results are stored from the end."""

    def turned(nest: Nest) -> Nest:
        writes = tuple(
            replace(w, access=tuple(replace(a, terms=tuple((n, -c) for n, c in a.terms)) for a in w.access))  # type: ignore[operator]
            for w in nest.writes
        )
        return replace(nest, writes=writes)

    return replace(program, stores=tuple(turned(n) for n in program.stores))


def swapped_reads(program: Program) -> Program:
    """The first core's inputs change places."""
    core = program.cores[0]
    assert isinstance(core, Nest)
    return replace(program, cores=(replace(core, reads=core.reads[::-1]), *program.cores[1:]))


def other_combiner(program: Program) -> Program:
    core = program.cores[0]
    assert isinstance(core, Nest)
    return replace(program, cores=(replace(core, combiner="arith.mulf", init=1.0), *program.cores[1:]))


def other_start(program: Program) -> Program:
    core = program.cores[0]
    assert isinstance(core, Nest)
    return replace(program, cores=(replace(core, init=0.5), *program.cores[1:]))


def other_operation(program: Program) -> Program:
    store = program.stores[0]
    nodes = tuple(replace(n, op="arith.minimumf") if n.op == "arith.maximumf" else n for n in store.expr.nodes)
    return replace(program, stores=(replace(store, expr=ScalarGraph(nodes, store.expr.results)),))


@pytest.mark.parametrize(
    ("name", "change", "same"),
    [
        ("transpose", reversed_writes, False),
        ("row_sum", other_combiner, False),
        ("matmul", other_start, False),
        ("matmul_relu", other_operation, False),
        ("gram", swapped_reads, True),  # a·aᵀ is symmetric: a change that changes nothing
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_twin_a_changed_program_means_something_else(
    compiled: Compiled, session: Session, name: str, change: Callable[[Program], Program], same: bool
) -> None:
    function, dispatch = BY_NAME[name], compiled.dispatches[name]
    assert dispatch.program is not None
    inputs = inputs_of(function)
    expected = session.call(name, inputs)
    found = interpret(function, dispatch, change(dispatch.program), inputs, expected)
    error = difference(found, expected)
    assert error < 1e-5 if same else error > 1e-2


def test_argmax_stays_a_named_operation(compiled: Compiled) -> None:
    program = compiled.dispatches["argmax"].program
    assert program is not None
    (core,) = program.cores
    assert isinstance(core, Named)
    assert (core.op, len(core.reads), len(core.temporaries)) == ("linalg.generic", 1, 2)
    assert "arith.cmpf" in core.region
