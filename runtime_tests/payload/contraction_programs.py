"""Hand-made contractions: programs, float64 references, guarded memory, and runs of the generated code."""

from __future__ import annotations

import ctypes
import dataclasses
import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import llvmlite.binding as llvm
import ml_dtypes
import numpy as np

from kernels.contraction import generator as contraction
from substitute.model.dispatch import (
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
from substitute.model.index import Index, evaluate, mul, symbol
from substitute.model.plan import Generated, Match, Parameter, Request, Substitution
from substitute.model.scalar import GraphBuilder
from substitute.payload.llvm.optimize import to_bitcode

NUMPY = {
    "f32": np.float32,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "i8": np.int8,
    "u8": np.uint8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
}
POISON = 0xA5
MARGIN = 256
"""Poisoned elements around every output."""


def target(features: str | None = None, triple: str = "x86_64-unknown-unknown-eabi-elf", cpu: str = "") -> Target:
    """The host's CPU, or one with just these features."""
    if features is None:
        cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    config = (("cpu", cpu), ("cpu_features", features), ("target_triple", triple))
    return Target(backend="llvm-cpu", format="embedded-elf-x86_64", config=config)


HOST = target()
OLD = target("+sse,+sse2", cpu="x86-64")
"""No FMA, no masked loads, four lanes."""


def _trunc(g: GraphBuilder, x: int) -> int:
    return g.add("arith.trunci", "i32", (x,))


def _requantize(g: GraphBuilder, x: int) -> int:
    real = g.add("arith.sitofp", "f32", (x,))
    scaled = g.add("arith.mulf", "f32", (real, g.add("constant", "f32", (), 2.0**-6)))
    whole = g.add("math.roundeven", "f32", (scaled,))
    least = g.add("arith.maxnumf", "f32", (whole, g.add("constant", "f32", (), 0.0)))
    most = g.add("arith.minnumf", "f32", (least, g.add("constant", "f32", (), 255.0)))
    return g.add("arith.fptoui", "i8", (most,))


def _relu(g: GraphBuilder, x: int) -> int:
    return g.add("arith.maximumf", "f32", (x, g.add("constant", "f32", (), 0.0)))


def _add_extra(g: GraphBuilder, x: int) -> int:
    return g.add("arith.addf", "f32", (x, g.add("read", "f32", (), 1)))


def _tanh_scaled(g: GraphBuilder, x: int) -> int:
    small = g.add("arith.mulf", "f32", (x, g.add("constant", "f32", (), 0.125)))
    return g.add("math.tanh", "f32", (small,))


def _plus_index(g: GraphBuilder, x: int) -> int:
    index = g.add("arith.index_cast", "i32", (g.add("index", "index", (), 0),))
    return g.add("arith.addf", "f32", (x, g.add("arith.sitofp", "f32", (index,))))


EPILOGUES: dict[str, tuple[Callable[[GraphBuilder, int], int], Callable[..., Any]]] = {
    "": (lambda g, x: x, lambda x, *e: x),
    "bias": (_add_extra, lambda x, *e: x + e[0]),
    "bias, relu": (lambda g, x: _relu(g, _add_extra(g, x)), lambda x, *e: np.maximum(x + e[0], 0)),
    "tanh": (_tanh_scaled, lambda x, *e: np.tanh(x * 0.125)),
    "trunc": (_trunc, lambda x, *e: x),
    "requantize": (_requantize, lambda x, *e: np.clip(np.rint(x * 2.0**-6), 0, 255)),
    "index": (_plus_index, lambda x, *e: x + np.arange(x.shape[0]).reshape(-1, *[1] * (x.ndim - 1))),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`left ; right -> out`, coordinates separated by commas: `b,c,p*2+t ; o,c,t -> b,o,p`."""

    spec: str
    sizes: dict[str, int]
    left: str = "f32"
    right: str = "f32"
    out: str = "f32"
    extra: str = ""
    """Axes of one more operand of the epilogue."""
    epilogue: str = ""
    stored: tuple[str, ...] = ("",)
    """Axes of each result; empty: those of the sum."""
    padding: int = 0
    """Elements around the window of the last two dimensions that is stored to."""
    dynamic: tuple[str, ...] = ()
    swapped: bool = False
    init: float = 0.0
    left_relu: bool = False
    sums: str = "f32"
    zero_points: tuple[int, int] = (0, 0)
    """Constants that are subtracted from integer factors."""
    claimed: dict[str, int] = field(default_factory=dict)
    """Sizes that the program has instead of the true ones: for tests that need a wrong program."""

    @property
    def maps(self) -> tuple[str, str, str]:
        """Coordinates of left, right and the sum."""
        operands, out = self.spec.replace(" ", "").split("->")
        left, right = operands.split(";")
        return left, right, out

    @property
    def depth(self) -> int:
        """Products per sum."""
        return int(np.prod([n for a, n in self.sizes.items() if a not in self.maps[2].split(",")]))

    @property
    def is_integer(self) -> bool:
        """True if integers are multiplied."""
        return self.sums.startswith("i")

    def __str__(self) -> str:
        return " ".join([self.spec, "x".join(map(str, self.sizes.values())), self.left, self.right, self.epilogue])


def _coordinate(text: str, names: Sequence[str]) -> Linear:
    terms: dict[int, Index] = {}
    for part in text.split("+"):
        name, _, factor = part.partition("*")
        terms[names.index(name)] = int(factor or 1)
    return Linear(terms=tuple(sorted(terms.items())))


def _access(axes: str, names: Sequence[str]) -> tuple[Linear, ...]:
    return tuple(_coordinate(c, names) for c in axes.split(","))


def _row_major(shape: Sequence[Index]) -> tuple[Index, ...]:
    strides: list[Index] = [1]
    for size in reversed(shape[1:]):
        strides.insert(0, mul(strides[0], size))
    return tuple(strides)


def extent(axes: str, sizes: dict[str, int]) -> tuple[int, ...]:
    """Sizes of an operand that these coordinates just cover."""
    names = list(sizes)
    return tuple(1 + sum(int(str(f)) * (sizes[names[loop]] - 1) for loop, f in c.terms) for c in _access(axes, names))


class _Builder:
    """Operands and views of one program."""

    def __init__(self, case: Case) -> None:
        self.case, self.names = case, list(case.sizes)
        self.operands: list[Operand] = []
        true = {**case.sizes, **case.claimed}
        self.sizes: dict[str, Index] = {n: symbol(n) if n in case.dynamic else true[n] for n in self.names}

    def view(self, axes: str, element: str, padding: int = 0) -> View:
        shape: list[Index] = [
            self.sizes.get(c, size) for c, size in zip(axes.split(","), extent(axes, self.case.sizes), strict=True)
        ]
        outer = [*shape[:-2], *(int(str(s)) + 2 * padding for s in shape[-2:])] if padding else shape
        strides = _row_major(outer)
        offset: Index = sum(padding * int(str(s)) for s in strides[-2:]) if padding else 0
        access = "readwrite" if padding else "readonly"
        type_ = TensorType(shape=tuple(outer), element=element)
        self.operands.append(
            Operand(kind="binding", type=type_, access=access, binding=len(self.operands))  # type: ignore[arg-type]
        )
        window = TensorType(shape=tuple(shape), element=element)
        return View(operand=len(self.operands) - 1, type=window, offset=offset, strides=strides)


def build(case: Case) -> Program:
    """The program of a case; operands in the order left, right, extra, results."""
    b, (left, right, out) = _Builder(case), case.maps
    reads = []
    for axes, element in ((left, case.left), (right, case.right)):
        view = b.view(axes, element.replace("u", "i"))
        reads.append(Read(source=view, access=_access(axes, b.names), type=view.type))
    g = GraphBuilder()
    factors = []
    for at, element in enumerate((case.left, case.right)):
        value = g.add("read", element.replace("u", "i"), (), at)
        if case.is_integer:
            extend = "arith.extui" if element[0] == "u" else "arith.extsi"
            value = value if element == case.sums else g.add(extend, case.sums, (value,))
            if case.zero_points[at]:
                zero = g.add("constant", case.sums, (), case.zero_points[at])
                value = g.add("arith.subi", case.sums, (value, zero))
        else:
            value = value if element == case.sums else g.add("arith.extf", case.sums, (value,))
        factors.append(_relu(g, value) if at == 0 and case.left_relu else value)
    product = "arith.muli" if case.is_integer else "arith.mulf"
    root = g.add(product, case.sums, tuple(reversed(factors)) if case.swapped else tuple(factors))
    parallel = out.split(",")
    shape = tuple(b.sizes[a] for a in parallel)
    sums = TensorType(shape=shape, element=case.sums)
    core = Nest(
        sizes=tuple(b.sizes[a] for a in b.names),
        kinds=tuple("parallel" if a in parallel else "reduction" for a in b.names),
        reads=tuple(reads),
        expr=g.graph((root,)),
        combiner="arith.addi" if case.is_integer else "arith.addf",
        init=int(case.init) if case.is_integer else case.init,
        target=_access(out, b.names),
        temporary=0,
        type=sums,
    )
    inputs = [Read(source=0, access=_access(out, parallel), type=sums)]
    if case.extra:
        view = b.view(case.extra, "f32")
        inputs.append(Read(source=view, access=_access(case.extra, parallel), type=view.type))
    g = GraphBuilder()
    value = g.add("read", case.sums, (), 0)
    element = case.out if case.is_integer else case.sums
    if case.epilogue and element in ("f16", "bf16"):
        value, element = g.add("arith.extf", "f32", (value,)), "f32"
    value = EPILOGUES[case.epilogue][0](g, value)
    if element != case.out:
        value = g.add("arith.truncf" if element == "f32" else "arith.extf", case.out, (value,))
    writes = tuple(
        Write(view=b.view(axes or out, case.out.replace("u", "i"), case.padding), access=_access(axes or out, parallel))
        for axes in case.stored
    )
    store = Nest(
        sizes=shape,
        kinds=("parallel",) * len(shape),
        reads=tuple(inputs),
        expr=g.graph((value,) * len(writes)),
        writes=writes,
    )
    return Program(operands=tuple(b.operands), cores=(core,), stores=(store,))


def request(program: Program, scalars: tuple[Index, ...] = (), on: Target = HOST) -> Request:
    """Return the generator's request for a program: one parameter per operand, in order."""
    views: dict[int, tuple[View, bool]] = {}
    for nest in (*program.cores, *program.stores):
        assert isinstance(nest, Nest)
        for read in nest.reads:
            if isinstance(read.source, View):
                views[read.source.operand] = (read.source, False)
        for write in nest.writes:
            views[write.view.operand] = (write.view, True)
    parameters = tuple(
        Parameter(name=f"p{at}", operand=program.operands[at], view=view, written=written, read=not written)
        for at, (view, written) in sorted(views.items())
    )
    dispatch = Dispatch(
        executable="executable",
        variant="variant",
        name="dispatch",
        target=on,
        layout=PipelineLayout(constants=0, bindings=()),
        workload=(),
        program=program,
        reason="",
        operations=(),
        kind="contraction",
    )
    match = Match(form="contraction", axes=(), program=program, arguments=(), specificity=1)
    kernel: Any = None  # generators ask the match and the dispatch, never the kernel
    substitution = Substitution(dispatch=dispatch, kernel=kernel, match=match)
    return Request(entry="kernel", substitution=substitution, parameters=parameters, scalars=scalars)


def generate(case: Case, on: Target = HOST) -> tuple[Request, Generated]:
    """The generator's answer for a case."""
    made = request(build(case), tuple(symbol(a) for a in case.dynamic), on)
    return made, contraction.generate(made)


def reference(case: Case, arrays: Sequence[Any], *, magnitude: bool = False, kind: Any = np.float64) -> Any:
    """The sums in `kind`, without the epilogue; with `magnitude`, the sums of the products' absolute values."""
    left, right, out = case.maps
    names = list(case.sizes)
    grids = np.meshgrid(*(np.arange(case.sizes[a]) for a in names), indexing="ij", sparse=True)

    def element(array: Any, axes: str) -> Any:
        return array.astype(kind)[
            tuple(sum(grids[loop] * int(str(f)) for loop, f in c.terms) for c in _access(axes, names))
        ]

    values = [element(a, axes) - zero for a, axes, zero in zip(arrays, (left, right), case.zero_points, strict=False)]
    product = (np.maximum(values[0], 0) if case.left_relu else values[0]) * values[1]
    product = np.broadcast_to(np.abs(product) if magnitude else product, tuple(case.sizes.values()))
    parallel = out.split(",")
    total = product.sum(axis=tuple(at for at, a in enumerate(names) if a not in parallel))
    kept = [a for a in names if a in parallel]
    return total.transpose([kept.index(a) for a in parallel]) + kind(case.init)


def expected(case: Case, arrays: Sequence[Any]) -> list[Any]:
    """Each result in float64."""
    parallel = case.maps[2].split(",")
    extra = []
    if case.extra:
        axes = case.extra.split(",")
        shape = [case.sizes[a] if a in axes else 1 for a in parallel]
        extra = [arrays[2].astype(np.float64).transpose(np.argsort([parallel.index(a) for a in axes])).reshape(shape)]
    value = EPILOGUES[case.epilogue][1](reference(case, arrays), *extra)
    return [value.transpose([parallel.index(a) for a in (axes or case.maps[2]).split(",")]) for axes in case.stored]


def expected_integers(case: Case, arrays: Sequence[Any]) -> list[Any]:
    """Each result of a case of integers, whose sums wrap around in i32."""
    left, right = (a.astype(np.int64) - z for a, z in zip(arrays[:2], case.zero_points, strict=True))
    exact = reference(dataclasses.replace(case, zero_points=(0, 0)), [left, right], kind=np.int64)
    wrapped = exact.astype(np.int64).astype(np.uint32).astype(np.int32)
    return [np.asarray(EPILOGUES[case.epilogue][1](wrapped)).astype(NUMPY[case.out])]


def inputs(case: Case, seed: int, *, integers: bool) -> list[Any]:
    """Left, right and extra: small integers, whose sums are exact, or normally distributed numbers."""
    random = np.random.default_rng(seed)
    left, right, _ = case.maps
    wanted = [(left, case.left), (right, case.right), *([(case.extra, "f32")] if case.extra else [])]
    made = []
    for axes, element in wanted:
        shape = extent(axes, case.sizes)
        if np.issubdtype(NUMPY[element], np.integer):
            bounds = np.iinfo(NUMPY[element])
            # many of the extremes, whose products and sums are the largest
            values = random.integers(bounds.min, bounds.max + 1, shape, NUMPY[element])
            values = np.where(random.random(shape) < 0.5, random.choice([bounds.min, bounds.max], shape), values)
        else:
            values = random.integers(-4, 5, shape) if integers else random.standard_normal(shape)
        made.append(np.asarray(values).astype(NUMPY[element]))
    return made


class Memory:
    """Arrays that end where readable memory ends: reading past one of them ends the process."""

    def __init__(self) -> None:
        self._maps: list[mmap.mmap] = []
        self._protect = ctypes.CDLL(None, use_errno=True).mprotect

    def place(self, array: Any) -> Any:
        """Return a copy whose last byte is the last of a page, followed by an unreadable page."""
        page = mmap.PAGESIZE
        size = -(-array.nbytes // page) * page
        room = mmap.mmap(-1, size + page)
        self._maps.append(room)
        whole = np.frombuffer(room, np.uint8)
        address = ctypes.c_void_p(whole.ctypes.data + size)
        assert self._protect(address, ctypes.c_size_t(page), 0) == 0
        copy = whole[size - array.nbytes : size].view(array.dtype).reshape(array.shape)
        copy[...] = array
        return copy


class Compiled:
    """Generated code, optimised as for IREE and loaded into this process."""

    def __init__(self, case: Case, on: Target = HOST) -> None:
        self.case = case
        self.request, self.generated = generate(case, on)
        bitcode = to_bitcode(self.generated.text, target=on, entry="kernel")
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        module = llvm.parse_bitcode(bitcode)
        module.triple = llvm.get_default_triple()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=on.get("cpu"), features=on.get("cpu_features"), opt=2, jit=True
        )
        module.data_layout = str(machine.target_data)
        self._engine = llvm.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()
        scalars = len(self.request.scalars) + 3
        prototype = ctypes.CFUNCTYPE(
            None, *[ctypes.c_void_p] * len(self.request.parameters), *[ctypes.c_int64] * scalars
        )
        self._call = prototype(self._engine.get_function_address("kernel"))

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        """The results. Raises `AssertionError` where anything outside of them was written."""
        case, program = self.case, self.request.program
        outputs, pointers = [], [a.ctypes.data for a in arrays]
        for parameter in self.request.parameters[len(arrays) :]:
            element = NUMPY[case.out]
            shape = [evaluate(s, (), case.sizes) for s in program.operands[parameter.view.operand].type.shape]
            room = np.full((int(np.prod(shape)) + 2 * MARGIN) * np.dtype(element).itemsize, POISON, np.uint8)
            whole = room.view(element)
            outputs.append((room, whole, shape, parameter.view))
            start = MARGIN + evaluate(parameter.view.offset, (), case.sizes)
            pointers.append(whole.ctypes.data + start * whole.itemsize)
        values = [evaluate(s, (), case.sizes) for s in self.request.scalars]
        x, y, z = (evaluate(c, (), case.sizes) for c in self.generated.workgroup_count)
        for at in np.ndindex(z, y, x):
            self._call(*pointers, *values, *reversed(at))
        return [self._window(*output) for output in outputs]

    def _window(self, room: Any, whole: Any, shape: list[int], view: View) -> Any:
        """Return the result, after a check that nothing else was written."""
        inner = whole[MARGIN:-MARGIN].reshape(shape)
        pad = self.case.padding
        window = inner[..., pad : shape[-2] - pad, pad : shape[-1] - pad] if pad else inner
        result = window.copy()
        window[...] = np.full(window.shape, np.frombuffer(bytes([POISON]) * window.itemsize, window.dtype)[0])
        assert (room == POISON).all(), "written outside of the result"
        return result
