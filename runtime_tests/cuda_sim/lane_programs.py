"""Runs PTX on the executor: whole kernels with arrays as arguments, and single instructions over arrays of operands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from substitute.device.cuda_sim.faults import Report
from substitute.device.cuda_sim.launch import Limits, launch
from substitute.device.cuda_sim.memory import Memory
from substitute.device.cuda_sim.program import load

HEADER = ".version 8.6\n.target {target}\n.address_size 64\n"


@dataclass
class Out:
    """An output of a kernel: shape and type; never written before the launch, or full of one byte."""

    shape: tuple[int, ...]
    dtype: str
    fill: int | None = None


def run_kernel(
    ptx: str,
    entry: str,
    arguments: Sequence[object],
    *,
    grid=(1, 1, 1),
    block=(32, 1, 1),
    shared=0,
    target="sm_90a",
    limits: Limits | None = None,
) -> tuple[list[NDArray], Report]:
    """Arrays are inputs, `Out`s are outputs (returned), NumPy scalars are passed as they are."""
    memory = Memory(1 << 24)
    program = load(ptx, target)
    packed, outputs = [], []
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            address = memory.allocate(argument.nbytes, name="input")
            memory.write(address, np.ascontiguousarray(argument))
            packed.append(address.to_bytes(8, "little"))
        elif isinstance(argument, Out):
            size = int(np.prod(argument.shape)) * np.dtype(argument.dtype).itemsize
            address = memory.allocate(size, name="output")
            if argument.fill is not None:
                memory.fill(address, bytes([argument.fill]), size)
            outputs.append((address, argument, size))
            packed.append(address.to_bytes(8, "little"))
        else:
            packed.append(np.asarray(argument).tobytes())
    report = launch(
        program,
        entry,
        grid=grid,
        block=block,
        parameters=program.entries[entry].pack(packed),
        memory=memory,
        dynamic_shared_bytes=shared,
        limits=limits or Limits(shared_bytes=232448),
    )
    found = [np.frombuffer(memory.read(a, n), o.dtype).reshape(o.shape).copy() for a, o, n in outputs]
    return found, report


_LOAD = {1: "u8", 2: "b16", 4: "b32", 8: "b64"}
_REGISTER = {1: "b16", 2: "b16", 4: "b32", 8: "b64"}


def lane_program(body: str, inputs: Sequence[np.dtype], outputs: Sequence[np.dtype], extra: str = "") -> str:
    """A kernel of one block: thread i has element i of input j in %aj, and writes %dj to output j."""
    lines = [HEADER.format(target="sm_90a"), ".visible .entry k("]
    names = [f"a{n}" for n in range(len(inputs))] + [f"d{n}" for n in range(len(outputs))]
    lines.append(",\n".join(f".param .u64 p_{name}" for name in names) + ")\n{")
    lines.append(".reg .b64 %base, %at, %off; .reg .b32 %tid; .reg .pred %p, %q;")
    for name, dtype in zip(names, [*inputs, *outputs], strict=True):
        lines.append(f".reg .{_REGISTER[dtype.itemsize]} %{name};")
    lines += [extra, "mov.u32 %tid, %tid.x;"]
    for name, dtype in zip(names, [*inputs, *outputs], strict=True):
        lines.append(f"ld.param.u64 %base, [p_{name}]; mul.wide.u32 %off, %tid, {dtype.itemsize};")
        lines.append(f"add.u64 %at, %base, %off; // {name}")
        if name[0] == "a":
            lines.append(f"ld.global.{_LOAD[dtype.itemsize]} %{name}, [%at];")
    lines.append(body)
    for number, dtype in enumerate(outputs):
        lines.append(f"ld.param.u64 %base, [p_d{number}]; mul.wide.u32 %off, %tid, {dtype.itemsize};")
        lines.append(f"add.u64 %at, %base, %off; st.global.{_LOAD[dtype.itemsize]} [%at], %d{number};")
    lines.append("ret;\n}")
    return "\n".join(lines)


def apply(body: str, inputs: Sequence[NDArray], outputs: Sequence[str], *, extra: str = "") -> list[NDArray]:
    """Executes instructions for every element; findings are errors."""
    count = len(inputs[0])
    types = [np.dtype(o) for o in outputs]
    ptx = lane_program(body, [a.dtype for a in inputs], types, extra)
    block = min(count, 1024)
    assert count == block, "at most 1024 elements"
    found, report = run_kernel(ptx, "k", [*inputs, *(Out((count,), o) for o in outputs)], block=(block, 1, 1))
    assert not report.findings, "\n".join(map(str, report.findings))
    return found
