"""Runs shaders on a Vulkan device, each as the only dispatch of a small module; and builds programs by hand."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from kernels.vulkan.direct import write_direct
from kernels.vulkan.elementwise import write_elementwise
from kernels.vulkan.rows import write_rows
from kernels.vulkan.softmax import write_softmax
from kernels.vulkan.tiles import write_contraction
from substitute.codegen.glsl.features import Features
from substitute.codegen.glsl.generator import Writer
from substitute.codegen.glsl.shader import Shader
from substitute.model.dispatch import (
    Linear,
    Nest,
    Operand,
    PipelineLayout,
    Program,
    Read,
    TensorType,
    View,
    Write,
)
from substitute.model.index import Index, evaluate
from substitute.model.plan import Generated
from substitute.model.scalar import GraphBuilder
from substitute.payload.glsl.compile import compile_glsl
from substitute.payload.spirv import adapt, verify

WRITERS: dict[str, Writer] = {
    "contraction": write_contraction,
    "convolution": write_direct,
    "softmax": write_softmax,
    "row_reduce": write_rows,
    "elementwise": write_elementwise,
}
ELEMENTS = {
    "float32": "f32",
    "float64": "f64",
    "float16": "f16",
    "int8": "i8",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
    "bool": "i1",
}

MODULE = """
#target = #hal.executable.target<"vulkan-spirv", "vulkan-spirv-fb", {{iree_codegen.target_info = #iree_gpu.target<
  arch = "", features = "spirv:v1.3,cap:Shader", wgp = <compute = fp32|int32, storage = b32, subgroup = none,
  subgroup_size_choices = [64], max_workgroup_sizes = [128, 128, 64], max_thread_count_per_workgroup = 128,
  max_workgroup_memory_bytes = 16384, max_workgroup_counts = [65535, 65535, 65535]>>}}>
#device = #hal.device.target<"vulkan", [#target]> : !hal.device
module attributes {{hal.device.targets = [#device]}} {{
  func.func @run({arguments}) -> ({results}) {{
{constants}
    %one = arith.constant 1 : index
    %r{arity} = hal.dispatch.extern "{entry}"[%one]({operands}) : ({types}) -> ({results})
      count(%device: !hal.device, %workload: index) -> (index, index, index) {{
        %x = arith.constant {count[0]} : index
        %y = arith.constant {count[1]} : index
        %z = arith.constant {count[2]} : index
        hal.return %x, %y, %z : index, index, index
      }}
      layout(#hal.pipeline.layout<constants = {words}, bindings = [{bindings}]>)
      objects({{ #target ordinal(0) = [ #hal.executable.object<{{path = "{path}"}}> ] }})
    return {returned} : {results}
  }}
}}
"""


@functools.cache
def why_no_vulkan() -> str:
    """Return why shaders cannot be run here; empty if they can."""
    from substitute.device import available_devices

    return available_devices().get("vulkan", "the runtime has no Vulkan driver")


def needs_vulkan() -> None:
    """Skips the test where there is no Vulkan device."""
    reason = why_no_vulkan()
    if reason:
        pytest.skip(f"no Vulkan device: {reason}")


def run_spirv(
    binary: bytes,
    inputs: Sequence[np.ndarray],
    outputs: Sequence[tuple[tuple[int, ...], str]],
    *,
    entry: str = "main",
    constants: Sequence[int] = (),
    count: tuple[int, int, int] = (1, 1, 1),
) -> list[np.ndarray]:
    """Runs a binary; inputs are bindings 0, 1, …, outputs (shape, element type) the next ones."""
    needs_vulkan()
    from iree.compiler import compile_str

    from substitute.device import Session

    sources = ["x".join([*map(str, a.shape), ELEMENTS[str(a.dtype)]]) for a in inputs]
    results = ["x".join([*map(str, shape), element]) for shape, element in outputs]
    input_types = [f"tensor<{t}>" for t in sources]
    output_types = [f"tensor<{t}>" for t in results]
    signed = [c - (1 << 32) if c >> 31 else c for c in constants]
    bindings = ["#hal.pipeline.binding<storage_buffer, ReadOnly>"] * len(inputs)
    bindings += ["#hal.pipeline.binding<storage_buffer>"] * len(outputs)
    names = [*(f"%k{i}" for i in range(len(constants))), *(f"%a{i}" for i in range(len(inputs)))]
    many = len(outputs) > 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.spv"
        path.write_bytes(binary)
        text = MODULE.format(
            arguments=", ".join(f"%a{i}: {t}" for i, t in enumerate(input_types)),
            results=", ".join(output_types),
            constants="\n".join(f"    %k{i} = arith.constant {c} : i32" for i, c in enumerate(signed)),
            arity=f":{len(outputs)}" if many else "",
            entry=entry,
            operands=", ".join(names),
            types=", ".join([*["i32"] * len(constants), *input_types]),
            count=count,
            words=len(constants),
            bindings=", ".join(bindings),
            path=path,
            returned=", ".join(f"%r#{i}" for i in range(len(outputs))) if many else "%r",
        )
        vmfb = compile_str(text)
    with Session(vmfb, device="vulkan") as session:
        return [np.asarray(a) for a in session.call("run", list(inputs))]


def loop(number: int, coefficient: Index = 1, constant: Index = 0) -> Linear:
    """One loop's index, scaled and shifted."""
    return Linear(terms=((number, coefficient),), constant=constant)


def type_of(shape: tuple[Index, ...], element: str = "f32") -> TensorType:
    """A tensor type."""
    return TensorType(shape=shape, element=element)


def view(operand: int, shape: tuple[Index, ...], element: str = "f32", *, offset: Index = 0) -> View:
    """A whole row-major operand, with static sizes."""
    strides: list[Index] = []
    step = 1
    for size in reversed(shape):
        strides.insert(0, step)
        step *= size if isinstance(size, int) else 1
    return View(operand=operand, type=type_of(shape, element), offset=offset, strides=tuple(strides))


def operand(
    binding: int, shape: tuple[Index, ...], element: str = "f32", *, byte_offset: Index = 0, written: bool = False
) -> Operand:
    """A tensor in a binding."""
    return Operand(
        kind="binding",
        type=type_of(shape, element),
        access="writeonly" if written else "readonly",
        binding=binding,
        byte_offset=byte_offset,
    )


def read(source: View | int, *access: Linear, type_: TensorType | None = None) -> Read:
    """A read at these coordinates."""
    if isinstance(source, View):
        return Read(source=source, access=access, type=source.type)
    return Read(source=source, access=access, type=type_ or type_of(()))


def pointwise(
    sizes: tuple[Index, ...],
    reads: tuple[Read, ...],
    graph: GraphBuilder,
    results: tuple[int, ...],
    writes: tuple[Write, ...],
) -> Nest:
    """An element-wise nest."""
    kinds = ("parallel",) * len(sizes)
    return Nest(sizes=sizes, kinds=kinds, reads=reads, expr=graph.graph(results), writes=writes)


def write_shader(
    kind: str, program: Program, *, bindings: int, constants: int = 0, features: Features | None = None
) -> Generated:
    """Return the shader of a built-in generator for a program."""
    layout = PipelineLayout(constants=constants, bindings=("",) * bindings)
    return WRITERS[kind](Shader(program.operands, layout, features or Features()), program)


def run_program(
    kind: str,
    program: Program,
    inputs: Sequence[np.ndarray],
    outputs: Sequence[tuple[tuple[int, ...], str]],
    *,
    constants: Sequence[int] = (),
    features: Features | None = None,
) -> list[np.ndarray]:
    """Generates, compiles, verifies, adapts and runs."""
    bindings = len(inputs) + len(outputs)
    made = write_shader(kind, program, bindings=bindings, constants=len(constants), features=features)
    binary = compile_glsl(made.text, name="generated")
    verify(binary, entry="main", bindings=bindings, push_constants=len(constants), workgroup_size=made.workgroup_size)
    name = "kernel$1"
    x, y, z = (evaluate(c, tuple(constants)) for c in made.workgroup_count)
    adapted = adapt(binary, entry="main", export_name=name)
    return run_spirv(adapted, inputs, outputs, entry=name, constants=constants, count=(x, y, z))


def evaluate_on_device(
    inputs: Sequence[np.ndarray],
    types: Sequence[str],
    operations: Sequence[tuple[str, str, tuple[int, ...], object]],
    result: str,
    *,
    features: Features | None = None,
) -> np.ndarray:
    """Row r of the result is operation r, given as (op, type, which inputs, attribute), on all elements.

    All results have the type `result`.
    """
    count = len(inputs[0])
    graph = GraphBuilder()
    leaves = [graph.add("read", t, (), i) for i, t in enumerate(types)]
    results = tuple(graph.add(op, type_, tuple(leaves[i] for i in which), a) for op, type_, which, a in operations)
    shape = (len(results), count)
    operands = (
        *(operand(i, (count,), t) for i, t in enumerate(types)),
        operand(len(types), shape, result, written=True),
    )
    writes = tuple(
        Write(view=view(len(types), (count,), result, offset=row * count), access=(loop(0),))
        for row in range(len(results))
    )
    reads = tuple(read(view(i, (count,), t), loop(0)) for i, t in enumerate(types))
    nest = pointwise((count,), reads, graph, results, writes)
    program = Program(operands=operands, cores=(), stores=(nest,))
    return run_program("elementwise", program, inputs, [(shape, result)], features=features)[0]


RNG = np.random.default_rng(3)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def product_nest(
    sizes: tuple[Index, ...], kinds: str, a: Read, b: Read, target: tuple[int, ...], *, negate: bool = False
) -> Nest:
    """temporary 0[target] = sum of a * b; `kinds` has one letter per loop, p or r."""
    graph = GraphBuilder()
    x = graph.add("read", "f32", (), 0)
    if negate:  # work that was fused before the product
        x = graph.add("arith.negf", "f32", (x,))
    root = graph.add("arith.mulf", "f32", (x, graph.add("read", "f32", (), 1)))
    return Nest(
        sizes=sizes,
        kinds=tuple("parallel" if k == "p" else "reduction" for k in kinds),
        reads=(a, b),
        expr=graph.graph((root,)),
        combiner="arith.addf",
        init=0.0,
        target=tuple(loop(t) for t in target),
        temporary=0,
        type=type_of(tuple(sizes[t] for t in target)),
    )


def bias_relu(sizes: tuple[Index, ...], result: View, bias: Read, access: tuple[Linear, ...]) -> Nest:
    """result = max(temporary 0 + bias, 0)"""
    graph = GraphBuilder()
    total = graph.add("arith.addf", "f32", (graph.add("read", "f32", (), 0), graph.add("read", "f32", (), 1)))
    root = graph.add("arith.maximumf", "f32", (total, graph.add("constant", "f32", (), 0.0)))
    source = read(0, *(loop(i) for i in range(len(sizes))), type_=type_of(sizes))
    return pointwise(sizes, (source, bias), graph, (root,), (Write(view=result, access=access),))
