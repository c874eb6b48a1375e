"""Runs PTX on the simulated device's executor, with arrays as bindings and words as push constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from substitute.device.cuda_sim.launch import Limits, launch
from substitute.device.cuda_sim.memory import Memory
from substitute.device.cuda_sim.program import load

Triple = tuple[int, int, int]


def run_entry(
    text: str,
    entry: str,
    bindings: Sequence[np.ndarray[Any, Any]],
    constants: Sequence[int],
    *,
    grid: Triple = (1, 1, 1),
    block: Triple = (1, 1, 1),
) -> list[np.ndarray[Any, Any]]:
    """The bindings after the launch. Fails if the executor finds anything, such as an access out of bounds."""
    memory = Memory(1 << 24)
    addresses = []
    for number, array in enumerate(bindings):
        address = memory.allocate(max(1, array.nbytes), name=f"binding {number}")
        memory.write(address, array.tobytes())
        addresses.append(address)
    program = load(text, "sm_80")
    values = [a.to_bytes(8, "little") for a in addresses] + [c.to_bytes(4, "little") for c in constants]
    report = launch(
        program,
        entry,
        grid=grid,
        block=block,
        parameters=program.entries[entry].pack(values),
        memory=memory,
        limits=Limits(),
    )
    assert not report.findings, "\n".join(map(str, report.findings))
    return [
        np.frombuffer(memory.read(address, array.nbytes), array.dtype).reshape(array.shape)
        for address, array in zip(addresses, bindings, strict=True)
    ]
