"""Calls of kernels through a table of addresses, so that one module runs every mutant.

Instead of a kernel for the CPU, IREE embeds a function that jumps to an address from a table. The table is at a fixed
address in the process that judges, which compiles each mutant and stores its address there.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...device.fixed_memory import map_at, refuse_fixed_memory
from ...errors import DeviceError
from .code import Code

TABLE = 0x3E5500000000
"""Address of the table: far from where Linux maps programs, heaps, libraries and stacks."""
SLOT_BYTES = 8
MOST_SLOTS = mmap.PAGESIZE // SLOT_BYTES


def trampoline(entry: str, slot: int, *, pointers: int, integers: int) -> str:
    """Return LLVM IR of a function with the canonical signature that calls the function whose address is in a slot."""
    types = [*["ptr"] * pointers, *["i64"] * integers]
    parameters = ", ".join(f"{type_} %a{i}" for i, type_ in enumerate(types))
    return (
        f"define void @{entry}({parameters}) {{\n"
        f"  %code = load volatile ptr, ptr inttoptr (i64 {TABLE + slot * SLOT_BYTES} to ptr)\n"
        f"  call void %code({parameters})\n  ret void\n}}\n"
    )


class Table:
    """The table of addresses in this process."""

    def __init__(self) -> None:
        if not map_at(TABLE, mmap.PAGESIZE):
            raise DeviceError(
                "the table of mutants cannot be placed",
                expected=f"free memory at {TABLE:#x}",
                found=refuse_fixed_memory() or "other memory there",
            )
        self._slots = (ctypes.c_uint64 * MOST_SLOTS).from_address(TABLE)

    def enter(self, slot: int, address: int) -> None:
        self._slots[slot] = address


class Linker:
    """Compiler of code for the CPU into this process."""

    def __init__(self) -> None:
        self._engines: list[Any] = []

    def compile(self, code: Code, text: str) -> bytes:
        """Return the optimised bitcode that IREE would link. Raises `PayloadError` if the IR does not verify."""
        from ...payload.llvm.optimize import to_bitcode

        assert code.target is not None
        return to_bitcode(
            text, target=code.target, entry=code.entry, finished=code.finished, linked=frozenset(code.linked)
        )

    def address(self, code: Code, data: bytes) -> int:
        """Return the address of the entry of bitcode."""
        import llvmlite.binding as llvm

        machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
            cpu=llvm.get_host_cpu_name(), opt=2, codemodel="jitdefault", jit=True
        )
        module = llvm.parse_bitcode(data)
        module.triple, module.data_layout = machine.triple, str(machine.target_data)
        engine = llvm.create_mcjit_compiler(module, machine)
        add_objects(engine, code.objects)
        engine.finalize_object()
        self._engines.append(engine)
        return int(engine.get_function_address(code.entry))

    def release(self, *, keep: int) -> None:
        """Free all code except the first that was loaded."""
        for engine in self._engines[keep:]:
            engine.close()
        del self._engines[keep:]


def add_objects(engine: Any, objects: Sequence[str]) -> None:
    """Load the objects that a kernel links."""
    import llvmlite.binding as llvm

    for path in objects:
        if path.endswith(".o"):
            engine.add_object_file(path)
        elif path.endswith(".a"):
            engine.add_archive(path)
        elif path.endswith(".bc"):
            engine.add_module(llvm.parse_bitcode(Path(path).read_bytes()))
