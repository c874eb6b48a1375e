"""Texts of `hal.executable`s as IREE has them at `executable-sources`, in a short form, and their dispatches.

In a body, besides the short form of `programs.expand`:

- `%a = input 0 !4x8xf32` loads the whole of binding 0; `output 2 %r !4x8xf32` stores the whole of binding 2;
- `%s = subspan 0 offset(%o) : DT<readonly:!4x8xf32>` and `DT.load`, `DT.store` are IREE's operations, abridged;
- `%p = push 3` is push constant 3; `%n = size 3` the index in push constants 3 and 4.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from runtime_tests.read.short_form import expand
from substitute.model.dispatch import Dispatch, Nest, Program
from substitute.read.module import Site, read_module

CPU = (
    '"llvm-cpu", "embedded-elf-x86_64", {cpu = "", cpu_features = "+avx2,+fma,-avx512f",'
    ' native_vector_size = 32 : i64, target_triple = "x86_64-unknown-unknown-eabi-elf"}'
)
VULKAN = (
    '"vulkan-spirv", "vulkan-spirv-fb", {iree_codegen.target_info = #iree_gpu.target<arch = "vp_android_baseline_2022",'
    ' features = "spirv:v1.3,cap:Shader", wgp = <compute = fp32|int32, storage = b32, subgroup = none,'
    " subgroup_size_choices = [64], max_workgroup_sizes = [128, 128, 64], max_thread_count_per_workgroup = 128,"
    " max_workgroup_memory_bytes = 16384, max_workgroup_counts = [65535, 65535, 65535]>>}"
)
CUDA = (
    '"cuda", "cuda-nvptx-fb", {iree_codegen.target_info = #iree_gpu.target<arch = "sm_80", features = "+ptx76",'
    " wgp = <compute = fp32|int32, storage = b32, subgroup = shuffle, subgroup_size_choices = [32],"
    " max_workgroup_sizes = [1024, 1024, 1024], max_thread_count_per_workgroup = 1024,"
    " max_workgroup_memory_bytes = 166912, max_workgroup_counts = [2147483647, 65535, 65535]>>}"
)
_LOAD = "iree_tensor_ext.dispatch.tensor.load"
_STORE = "iree_tensor_ext.dispatch.tensor.store"


def executable(
    body: str,
    *,
    name: str = "main_dispatch_0",
    bindings: int = 3,
    constants: int = 0,
    workload: int = 0,
    target: str = CPU,
    result: int = -1,
) -> str:
    """One executable; `result` is the binding that is written (the last one)."""
    written = result % bindings
    flags = ["Indirect" if n == written else '"ReadOnly|Indirect"' for n in range(bindings)]
    listed = ", ".join(f"#hal.pipeline.binding<storage_buffer, {f}>" for f in flags)
    layout = f"<constants = {constants}, bindings = [{listed}], flags = Indirect>"
    arguments = "".join(f", %w{n}: index" for n in range(workload))
    values = ", ".join(f"%w{n}" for n in range(workload))
    return f"""
hal.executable private @{name} {{
  hal.executable.variant public @cpu target(<{target}>) {{
    hal.executable.export public @{name}_work ordinal(0) layout(#hal.pipeline.layout{layout})
        count(%device: !hal.device{arguments}) -> (index, index, index) {{
      %x, %y, %z = iree_tensor_ext.dispatch.workgroup_count_from_slice({values})
      hal.return %x, %y, %z : index, index, index
    }}
    builtin.module {{
      func.func @{name}_work() {{
{_written_out(body, layout)}
        return
      }}
    }}
  }}
}}
"""


def _written_out(body: str, layout: str) -> str:
    body = re.sub(
        r"(%\w+) = size (\d+)",
        lambda m: (
            f"""{m[1]}_l = push {m[2]}
        {m[1]}_h = push {int(m[2]) + 1}
        {m[1]}_l64 = arith.extui {m[1]}_l : i32 to i64
        {m[1]}_h64 = arith.extui {m[1]}_h : i32 to i64
        {m[1]}_32 = arith.constant 32 : i64
        {m[1]}_s = arith.shli {m[1]}_h64, {m[1]}_32 : i64
        {m[1]}_o = arith.ori {m[1]}_l64, {m[1]}_s : i64
        {m[1]} = arith.index_castui {m[1]}_o : i64 to index"""
        ),
        body,
    )
    body = re.sub(r"(%\w+) = input (\d+) (!\S+)", lambda m: _whole(m[1], m[2], m[3], ""), body)
    body = re.sub(r"output (\d+) (%\w+) (!\S+)", lambda m: _whole("", m[1], m[3], m[2]), body)
    body = re.sub(r"\bpush (\d+)", rf"hal.interface.constant.load layout({layout}) ordinal(\1) : i32", body)
    body = re.sub(r"\bsubspan (\d+)", rf"hal.interface.binding.subspan layout({layout}) binding(\1)", body)
    body = body.replace("DT.load", _LOAD).replace("DT.store", _STORE)
    return expand(body.replace("DT<", "\x01")).replace("\x01", "!iree_tensor_ext.dispatch.tensor<")


def _whole(value: str, binding: str, type_: str, stored: str) -> str:
    sizes = re.findall(r"(\d+)x", type_)
    zeros, ones = ", ".join("0" for _ in sizes), ", ".join("1" for _ in sizes)
    slice_ = f"offsets = [{zeros}], sizes = [{', '.join(sizes)}], strides = [{ones}]"
    if stored:
        return f"""%s{binding} = subspan {binding} : DT<writeonly:{type_}>
        DT.store {stored}, %s{binding}, {slice_} : {type_} -> DT<writeonly:{type_}>"""
    return f"""{value}_s = subspan {binding} : DT<readonly:{type_}>
        {value} = DT.load {value}_s, {slice_} : DT<readonly:{type_}> -> {type_}"""


@cache
def context() -> Any:
    """One context for all texts."""
    from iree.compiler import ir

    return ir.Context()


def parse(text: str) -> Any:
    """The module's operation. Raises MLIR's error for text that is no valid IR."""
    from iree.compiler import ir

    with context():
        return ir.Module.parse(text).operation


def sites(text: str) -> list[Site]:
    """Return the dispatches that the reader finds in a text."""
    with context():
        return read_module(parse(text))


def dispatch_of(body: str, **options: Any) -> Dispatch:
    """The dispatch of a body."""
    (site,) = sites(executable(body, **options))
    return site.dispatch


def program_of(body: str, **options: Any) -> Program:
    """Its program, which has to be readable."""
    dispatch = dispatch_of(body, **options)
    assert dispatch.program is not None, dispatch.reason
    return dispatch.program


def core_of(program: Program, number: int = 0) -> Nest:
    """A core that is a loop nest."""
    core = program.cores[number]
    assert isinstance(core, Nest)
    return core
