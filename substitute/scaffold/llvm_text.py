"""Simple code as LLVM IR: for a CPU, or through LLVM's own backend as PTX."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from llvmlite import ir

from ..codegen.llvm.elements import REGISTER_TYPES, from_f32, is_float, load, memory_type, store
from ..codegen.llvm.function import I64, KernelFunction, emit_index_op
from ..codegen.llvm.lower import ScalarEmitter, supported
from ..errors import PayloadError
from ..model.dispatch import Dispatch, Nest, PipelineLayout, Program, Target
from ..model.index import Index, symbol
from ..model.kernel import Kernel
from ..model.parameter import BoundParameter, ParameterValue
from ..model.plan import Axis, Match, Parameter, Request, Substitution
from ..model.scalar import Scalar, ScalarGraph
from ..payload.calls import list_arguments, llvm_type
from .classes import list_operands
from .draft import NotExpressible
from .nests import Grid, write_nests


@dataclass(slots=True)
class LlvmWriter:
    """A function that llvmlite fills. See `nests.Writer`."""

    kernel: Kernel
    function: KernelFunction

    def size(self, value: Index) -> ir.Value:
        return self.function.index(value)

    @contextmanager
    def loop(self, size: Index, name: str) -> Iterator[ir.Value]:
        with self.function.loop(0, self.size(size)) as loop:
            yield loop.index

    @contextmanager
    def when_below(self, index: ir.Value, size: Index) -> Iterator[None]:
        with self.function.when(self.function.builder.icmp_signed("<", index, self.size(size))):
            yield

    def add(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.function.builder.add(a, b)

    def multiply(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.function.builder.mul(a, b)

    def split(self, flat: ir.Value, sizes: Sequence[Index], names: Sequence[str]) -> list[ir.Value]:
        found: list[ir.Value] = []
        for size in reversed(sizes[1:]):
            found.insert(0, emit_index_op(self.function.builder, "rem", (flat, self.size(size))))
            flat = emit_index_op(self.function.builder, "floordiv", (flat, self.size(size)))
        return [flat, *found] if sizes else []

    def index_value(self, index: ir.Value) -> ir.Value:
        return index

    def coordinate(self, value: ir.Value) -> ir.Value:
        return value

    def _address(self, operand: int, coordinates: Sequence[ir.Value]) -> tuple[ir.Value, str]:
        spec = self.kernel.operands[operand]
        type_ = self.kernel.forms[0].program.operands[operand].type
        build = self.function.builder
        offset: ir.Value = ir.Constant(I64, 0)
        for number, coordinate in enumerate(coordinates):
            if spec.strided:
                stride = self.size(symbol(f"stride_{spec.name}_{spec.axes[number]}"))
                offset = build.add(offset, build.mul(coordinate, stride))
            else:
                offset = build.add(build.mul(offset, self.size(type_.shape[number])), coordinate)
        return self.function.element(self.function.pointers[operand], offset, memory_type(type_.element)), type_.element

    def load(self, operand: int, coordinates: Sequence[ir.Value]) -> ir.Value:
        place, element = self._address(operand, coordinates)
        return load(self.function.builder, place, element)

    def store(self, operand: int, coordinates: Sequence[ir.Value], value: ir.Value) -> None:
        place, element = self._address(operand, coordinates)
        store(self.function.builder, value, place, element)

    def variable(self, type_: str, init: float | int, name: str) -> tuple[ir.Value, str]:
        room = self.function.stack(memory_type(type_), 1, align=8)
        value = self._emitter().constant(Scalar("constant", type_, (), init))
        store(self.function.builder, value, room, type_)
        return room, type_

    def read_variable(self, variable: tuple[ir.Value, str]) -> ir.Value:
        return load(self.function.builder, *variable)

    def set_variable(self, variable: tuple[ir.Value, str], value: ir.Value) -> None:
        store(self.function.builder, value, *variable)

    def keep(self, value: ir.Value, type_: str, name: str) -> ir.Value:
        return value

    def _emitter(self) -> ScalarEmitter:
        return ScalarEmitter(self.function.module, self.function.builder, None, hardware=self.function.hardware)

    def scalars(self, graph: ScalarGraph, leaves: Mapping[int, ir.Value]) -> list[ir.Value]:
        # a leaf is told apart by its position, which the emitter does not say
        nodes = tuple(
            replace(node, op="read", attribute=at, operands=())
            if at in leaves or node.op in ("parameter", "size")
            else node
            for at, node in enumerate(graph.nodes)
        )
        given = dict(leaves)
        needed = set().union(*(graph.depends_on(r) for r in graph.results))
        for at in needed:
            node = graph.nodes[at]
            if node.op == "parameter":
                given[at] = self._parameter(node)
            elif node.op == "size":
                given[at] = self._resized(self.size(node.attribute), node.type)  # type: ignore[arg-type]
        # what no result needs has no value yet
        kept = sorted(needed)
        at_new = {old: new for new, old in enumerate(kept)}
        pruned = ScalarGraph(
            tuple(replace(nodes[old], operands=tuple(at_new[o] for o in nodes[old].operands)) for old in kept),
            tuple(at_new[r] for r in graph.results),
        )
        problem = supported(pruned)
        if problem:
            raise NotExpressible(f"{problem} in LLVM IR")
        return list(self._emitter().emit(pruned, lambda node, _: given[node.attribute]))  # type: ignore[index]

    def _parameter(self, node: Scalar) -> ir.Value:
        assert isinstance(node.attribute, int)
        value = self.function.parameter(self.kernel.parameters[node.attribute].name)
        if node.type in ("f32", "f64", "i32", "i64", "index"):
            return value
        if is_float(node.type):
            return from_f32(self.function.builder, value, node.type, self.function.hardware)
        return self._resized(value, node.type)

    def _resized(self, value: ir.Value, type_: str) -> ir.Value:
        wanted = REGISTER_TYPES[type_]
        build = self.function.builder
        return build.trunc(value, wanted) if wanted.width < value.type.width else build.sext(value, wanted)


def symbolic_request(kernel: Kernel, target: Target) -> Request:
    """Return the request of a kernel for no dispatch in particular: every size and parameter is an argument."""
    form = kernel.forms[0]
    parameters = []
    for spec, operand in zip(kernel.operands, form.program.operands, strict=True):
        views = [
            view
            for stage in (*form.program.cores, *form.program.stores)
            if isinstance(stage, Nest)
            for view in list_operands(stage)
            if form.program.operands[view.operand] is operand
        ]
        written = operand.kind == "result"
        if not views:
            raise NotExpressible(f"the operand {spec.name}, which no loop reads")
        parameters.append(Parameter(name=spec.name, operand=operand, view=views[0], written=written, read=not written))
    names = [a.name for a in list_arguments(kernel, workgroup=False) if a.kind == "size"]
    values = tuple(
        BoundParameter(name=p.name, value=ParameterValue(type=p.type, bits=symbol(p.name))) for p in kernel.parameters
    )
    axes = dict.fromkeys(axis for spec in kernel.operands for axis in spec.axes)
    match = Match(
        form=form.name,
        axes=tuple(Axis(name=axis, loops=(), sizes=(symbol(axis),)) for axis in axes),
        program=form.program,
        arguments=(),
        specificity=0,
        parameters=values,
    )
    dispatch = Dispatch(
        executable="",
        variant="",
        name=kernel.name,
        target=target,
        layout=PipelineLayout(constants=0, bindings=()),
        workload=(),
        program=form.program,
        reason="",
        operations=(),
        kind="",
    )
    return Request(
        entry=kernel.payload.entry,
        substitution=Substitution(dispatch=dispatch, kernel=kernel, match=match),
        parameters=tuple(parameters),
        scalars=tuple(symbol(name) for name in names),
        scalar_names=tuple(names),
        values=values,
    )


def write_llvm(kernel: Kernel, grids: Sequence[Grid], program: Program, target: Target) -> str:
    """Return a module with the kernel's function, as LLVM prints it. Raises `NotExpressible`."""
    from llvmlite import binding

    from ..payload.llvm.optimize import initialize

    initialize()
    module = binding.parse_assembly(_write(kernel, grids, program, target))
    machine = binding.Target.from_default_triple().create_target_machine()
    builder = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=1))
    passes = binding.create_new_module_pass_manager()
    passes.add_sroa_pass()  # sums in registers
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    passes.run(module, builder)
    builder.close()
    heads = ("; ModuleID", "source_filename", "target ")
    lines = [line for line in str(module).splitlines() if not line.startswith(heads)]
    return "\n".join(lines).strip() + "\n"


def _write(kernel: Kernel, grids: Sequence[Grid], program: Program, target: Target) -> str:
    function = KernelFunction(symbolic_request(kernel, target))
    arguments = list_arguments(kernel, workgroup=True)
    for argument, value in zip(arguments, function.function.args, strict=True):
        value.name = argument.name
    writer = LlvmWriter(kernel, function)
    try:
        write_nests(program, grids, writer, function.workgroup[0], exact=target.backend == "llvm-cpu")
    except PayloadError as error:
        raise NotExpressible(error.what) from None
    return function.finish()


def write_ptx(kernel: Kernel, grids: Sequence[Grid], program: Program, target: Target, architecture: str) -> str:
    """Return PTX that LLVM makes of the same function, with an entry around it. Raises `NotExpressible`."""
    from llvmlite import binding

    from ..payload.llvm.optimize import initialize

    entry = kernel.payload.entry
    point = replace(kernel, payload=replace(kernel.payload, entry=f"{entry}_point"))
    body = _write(point, grids, program, target).replace("define void", "define internal void", 1)
    arguments = [f"{llvm_type(a)} %{a.name}" for a in list_arguments(kernel, workgroup=False)]
    head = ", ".join(arguments)
    passed = "".join(f"{argument}, " for argument in arguments)
    # names with a dot, which no argument has
    registers = [f"declare i32 @llvm.nvvm.read.ptx.sreg.{name}.x()" for name in ("tid", "ctaid", "ntid")]
    wrapper = f"""
define ptx_kernel void @{entry}({head}) {{
  %.thread = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %.block = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
  %.size = call i32 @llvm.nvvm.read.ptx.sreg.ntid.x()
  %.wide_thread = zext i32 %.thread to i64
  %.wide_block = zext i32 %.block to i64
  %.wide_size = zext i32 %.size to i64
  %.first = mul i64 %.wide_block, %.wide_size
  %.point = add i64 %.first, %.wide_thread
  call void @{entry}_point({passed}i64 %.point, i64 0, i64 0)
  ret void
}}
"""
    initialize()
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    triple = "nvptx64-nvidia-cuda"
    text = re.sub(r'target triple = "[^"]*"', f'target triple = "{triple}"', body) + wrapper + "\n".join(registers)
    machine = binding.Target.from_triple(triple).create_target_machine(cpu=architecture, opt=2)
    module = binding.parse_assembly(text)
    module.triple = triple
    module.data_layout = str(machine.target_data)
    options = binding.create_pipeline_tuning_options(speed_level=2)
    builder = binding.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    builder.close()
    return str(machine.emit_assembly(module))
