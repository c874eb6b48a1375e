"""Programs built by hand, and a way to run what is generated for them: a JIT, NumPy arrays, guard zones."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import ml_dtypes
import numpy as np

from substitute.model.dispatch import (
    Dispatch,
    Linear,
    LoopKind,
    Named,
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
from substitute.model.index import Expr, Index, evaluate, mul
from substitute.model.kernel import Kernel, Launch, PayloadSpec
from substitute.model.plan import Match, Parameter, Request, Substitution
from substitute.model.scalar import GraphBuilder, ScalarGraph
from substitute.payload.kinds import find_kind

NUMPY: dict[str, Any] = {
    "f64": np.float64,
    "f32": np.float32,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "i64": np.int64,
    "i32": np.int32,
    "i16": np.int16,
    "i8": np.int8,
    "i1": np.int8,
    "index": np.int64,
}
GUARD = 256
POISON = 0xA5

# no real test depends on a certain CPU: the host's own features are what the JIT can run
HOST = Target(
    backend="llvm-cpu",
    format="embedded-elf-x86_64",
    config=(
        ("cpu", llvm.get_host_cpu_name()),
        ("cpu_features", llvm.get_host_cpu_features().flatten()),
        ("target_triple", llvm.get_default_triple()),
    ),
)


def linear(spec: str | int) -> Linear:
    """`'0'` → loop 0; `'2*0+1'` → 2·loop 0 + loop 1; an int → a constant."""
    if isinstance(spec, int):
        return Linear(terms=(), constant=spec)
    terms = []
    for part in spec.split("+"):
        factor, _, loop = part.rpartition("*")
        terms.append((int(loop), int(factor) if factor else 1))
    return Linear(terms=tuple(sorted(terms)))


def view(
    operand: int,
    shape: Sequence[Index],
    element: str = "f32",
    strides: Sequence[Index] | None = None,
    offset: Index = 0,
) -> View:
    """A window, row-major unless strides are given."""
    if strides is None:
        steps: list[Index] = [1]
        for size in reversed(list(shape)[1:]):
            steps.append(mul(steps[-1], size))
        strides = tuple(reversed(steps[: len(shape)]))
    return View(
        operand=operand, type=TensorType(shape=tuple(shape), element=element), offset=offset, strides=tuple(strides)
    )


def read(source: View | int, *access: str | int, type: TensorType | None = None) -> Read:
    """A read at these coordinates."""
    of = source.type if isinstance(source, View) else type
    assert of is not None
    return Read(source=source, access=tuple(linear(a) for a in access), type=of)


def expression(*nodes: tuple[Any, ...], results: Sequence[int] = (-1,)) -> ScalarGraph:
    """`(op, type, operands, attribute)` rows as a graph."""
    graph = GraphBuilder()
    at = [graph.add(n[0], n[1], tuple(n[2]) if len(n) > 2 else (), n[3] if len(n) > 3 else None) for n in nodes]
    return graph.graph(tuple(at[r] for r in results))


def elementwise(sizes: Sequence[Index], reads: Sequence[Read], expr: ScalarGraph, *writes: tuple[Any, ...]) -> Nest:
    """A store nest; each write is `(view, coordinate, …)`."""
    return Nest(
        sizes=tuple(sizes),
        kinds=("parallel",) * len(sizes),
        reads=tuple(reads),
        expr=expr,
        writes=tuple(Write(view=w[0], access=tuple(linear(a) for a in w[1:])) for w in writes),
    )


def reduction(
    sizes: Sequence[Index],
    kinds: str,
    reads: Sequence[Read],
    expr: ScalarGraph,
    combiner: str,
    init: float | int,
    target: Sequence[str],
    temporary: int,
    type: TensorType,
) -> Nest:
    """A core; `kinds` is a string of `p` and `r`."""
    named: tuple[LoopKind, ...] = tuple("parallel" if k == "p" else "reduction" for k in kinds)
    return Nest(
        sizes=tuple(sizes),
        kinds=named,
        reads=tuple(reads),
        expr=expr,
        combiner=combiner,
        init=init,
        target=tuple(linear(t) for t in target),
        temporary=temporary,
        type=type,
    )


def program(operands: int, cores: Sequence[Nest | Named], stores: Sequence[Nest]) -> Program:
    """Operands are bindings of their own; their types and accesses follow from how they are used."""
    views = [r.source for n in (*cores, *stores) for r in n.reads if isinstance(r.source, View)]
    written = [w.view for n in stores for w in n.writes]
    made = []
    for at in range(operands):
        some = next(v for v in (*written, *views) if v.operand == at)
        is_read, is_written = any(v.operand == at for v in views), any(v.operand == at for v in written)
        made.append(
            Operand(
                kind="binding",
                type=some.type,
                binding=at,
                access="readwrite" if is_read and is_written else "writeonly" if is_written else "readonly",
            )
        )
    return Program(operands=tuple(made), cores=tuple(cores), stores=tuple(stores))


def request(prog: Program, scalars: Sequence[Index] = (), target: Target = HOST, entry: str = "kernel") -> Request:
    """Return the generator's request for a program."""
    views = [r.source for n in (*prog.cores, *prog.stores) for r in n.reads if isinstance(r.source, View)]
    written = [w.view for n in prog.stores for w in n.writes]
    unique = list(dict.fromkeys([*views, *written]))
    parameters = tuple(
        Parameter(name=f"x{v.operand}", operand=prog.operands[v.operand], view=v, written=v in written, read=v in views)
        for v in unique
    )
    dispatch = Dispatch(
        executable="e",
        variant="v",
        name="d",
        target=target,
        layout=PipelineLayout(constants=0, bindings=()),
        workload=(),
        program=prog,
        reason="",
        operations=(),
        kind="",
    )
    kernel = Kernel(
        name="k",
        folder=Path("."),
        summary="",
        abi="canonical",
        targets=(),
        forms=(),
        operands=(),
        payload=PayloadSpec(kind=find_kind("llvm-generator"), path=Path("."), entry=entry),
        launch=Launch(),
    )
    match = Match(form="", axes=(), program=prog, arguments=(), specificity=0)
    return Request(
        entry=entry,
        substitution=Substitution(dispatch=dispatch, kernel=kernel, match=match),
        parameters=parameters,
        scalars=tuple(scalars),
    )


class Memory:
    """An operand's bytes between two guard zones."""

    def __init__(self, content: Any) -> None:
        self.array = np.ascontiguousarray(content)
        self.raw = np.full(self.array.nbytes + 2 * GUARD, POISON, np.uint8)
        self.raw[GUARD : GUARD + self.array.nbytes] = self.array.reshape(-1).view(np.uint8)

    @property
    def address(self) -> int:
        return int(self.raw.ctypes.data) + GUARD

    @property
    def content(self) -> Any:
        inside = self.raw[GUARD : GUARD + self.array.nbytes]
        return inside.view(self.array.dtype).reshape(self.array.shape)

    @property
    def guards_intact(self) -> bool:
        return bool((self.raw[:GUARD] == POISON).all() and (self.raw[len(self.raw) - GUARD :] == POISON).all())


class Compiled:
    """A generated kernel in this process."""

    def __init__(self, text: str | bytes, req: Request, *, optimised: bool = False) -> None:
        from substitute.payload.llvm.optimize import to_bitcode

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        target = req.substitution.dispatch.target
        module = (
            llvm.parse_bitcode(to_bitcode(text, target=target, entry=req.entry))
            if optimised
            else (llvm.parse_assembly(str(text)))
        )
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2 if optimised else 0
        )
        self.engine = llvm.create_mcjit_compiler(module, machine)
        self.engine.finalize_object()
        self.request = req
        pointers, numbers = len(req.parameters), len(req.scalars) + 3
        prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * pointers, *[ctypes.c_int64] * numbers)
        self.function: Callable[..., None] = prototype(self.engine.get_function_address(req.entry))

    def run(self, memories: Sequence[Memory], count: int, push: tuple[int, ...] = ()) -> None:
        """All workgroups, last one first: no order may matter."""
        pointers = [
            memories[p.view.operand].address
            + evaluate(p.view.offset, push) * memories[p.view.operand].array.dtype.itemsize
            for p in self.request.parameters
        ]
        scalars = [evaluate(s, push) for s in self.request.scalars]
        for group in reversed(range(count)):
            self.function(*pointers, *scalars, group, 0, 0)


def execute(
    prog: Program,
    arrays: Sequence[Any],
    *,
    scalars: Sequence[Expr] = (),
    push: tuple[int, ...] = (),
    optimised: bool = True,
    target: Target = HOST,
) -> list[Any]:
    """Generates, compiles and runs a program; the operands' contents afterwards. Guard zones must be untouched."""
    from kernels.rows.generator import generate

    req = request(prog, scalars, target)
    made = generate(req)
    memories = [Memory(a) for a in arrays]
    count = evaluate(made.workgroup_count[0], push)
    Compiled(made.text, req, optimised=optimised).run(memories, count, push)
    for at, memory in enumerate(memories):
        assert memory.guards_intact, f"operand {at}: written outside"
    return [m.content for m in memories]
