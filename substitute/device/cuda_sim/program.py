"""PTX text to decoded kernels: version and target checks, module variables, a cache."""

from __future__ import annotations

import gc
import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import numpy as np

from ...errors import PayloadError
from ...payload.ptx.parse import parse
from ...payload.ptx.syntax import Function, Instruction, Module
from . import faults
from .builders import BUILDERS, OPERANDS, refusal
from .code import Code, analyse
from .control import switch
from .decode import Decoder, Run, Step
from .faults import LoadError, Place, Refused
from .flatten import MOVE, SYSTEM, Flat, Item, Lines, flatten
from .layout import lay_out, parameter_offsets
from .memory import Memory
from .movement import move_between
from .system_calls import system_call
from .variables import place_variables
from .wgmma import guard_accumulators

NEWEST_ISA = (9, 0)
_CACHED = 64
_ARCHITECTURE = re.compile(r"sm_(\d+)([af]?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryParameter:
    """A parameter's place in the parameter space."""

    name: str
    size_bytes: int
    offset_bytes: int
    alignment: int


@dataclass(slots=True)
class Entry:
    """A kernel that can be launched."""

    name: str
    function: Function
    parameters: tuple[EntryParameter, ...]
    parameter_bytes: int
    required_block: tuple[int, int, int] | None
    maximum_threads: int | None
    code: Code
    static_shared_bytes: int
    local_bytes: int
    registers: int
    """Largest number of live 32-bit registers; a real assembler's number differs."""

    def pack(self, arguments: Sequence[bytes]) -> bytes:
        """Return one value per parameter, laid out as the parameter space. Raises `LaunchError`."""
        if [len(one) for one in arguments] != [parameter.size_bytes for parameter in self.parameters]:
            raise faults.LaunchError(
                "the arguments do not fit the kernel's parameters",
                where=self.name,
                expected=", ".join(f"{p.name}: {p.size_bytes} bytes" for p in self.parameters) or "none",
                found=", ".join(f"{len(one)} bytes" for one in arguments) or "none",
            )
        space = bytearray(self.parameter_bytes)
        for parameter, data in zip(self.parameters, arguments, strict=True):
            space[parameter.offset_bytes : parameter.offset_bytes + parameter.size_bytes] = data
        return bytes(space)


class Entries(Mapping[str, Entry]):
    """A module's kernels by name, each decoded on first use.

    So a kernel that cannot be executed here does not affect the others. Looking one up raises `LoadError`.
    """

    def __init__(self, module: Module, lines: Lines) -> None:
        self._module, self._lines = module, lines
        self._functions = {function.name: function for function in module.entries if function.body is not None}
        self._decoded: dict[str, Entry] = {}
        self._lock = Lock()

    def __getitem__(self, name: str) -> Entry:
        with self._lock:
            found = self._decoded.get(name)
            if found is None:
                with collection_paused():
                    found = self._decoded[name] = _entry(self._module, self._functions[name], self._lines)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._functions

    def __iter__(self) -> Iterator[str]:
        return iter(self._functions)

    def __len__(self) -> int:
        return len(self._functions)


@contextmanager
def collection_paused() -> Iterator[None]:
    """Disable Python's cyclic garbage collector, which takes most of the time where many small objects are created."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@dataclass(slots=True)
class Program:
    """A loaded module."""

    module: Module
    architecture: str
    lines: Lines
    entries: Entries
    key: str = ""

    def globals(self, memory: Memory) -> dict[str, tuple[int, int]]:
        """Return module variables in device memory: name → (address, bytes). They are allocated on first use."""
        found: dict[str, tuple[int, int]] | None = memory.modules.get(id(self))
        if found is None:
            found = place_variables(self.module, memory)
            memory.modules[id(self)] = found
            memory.modules[id(self), "program"] = self
        return found

    def unload(self, memory: Memory) -> None:
        """Free the module's variables."""
        for address, _ in (memory.modules.pop(id(self), None) or {}).values():
            memory.free(address)
        memory.modules.pop((id(self), "program"), None)


_cache: OrderedDict[tuple[str, str], Program] = OrderedDict()
_lock = Lock()


def load(ptx: str | bytes, architecture: str, *, newest_isa: tuple[int, int] = NEWEST_ISA) -> Program:
    """Parse a module for a device such as `sm_80`. Raises `LoadError` with the driver's code.

    Its kernels are decoded on first use (`Entries`).
    """
    if isinstance(ptx, bytes):
        try:
            ptx = ptx.rstrip(b"\0").decode()
        except UnicodeDecodeError as error:
            raise LoadError("this is no PTX: not text", code=faults.INVALID_PTX, found=str(error)) from None
    key = (hashlib.sha256(ptx.encode()).hexdigest(), f"{architecture} {newest_isa}")
    with _lock:
        found = _cache.get(key)
        if found is not None:
            _cache.move_to_end(key)
            return found
    program = _load(ptx, architecture, newest_isa)
    with _lock:
        _cache[key] = program
        while len(_cache) > _CACHED:
            _cache.popitem(last=False)
    return program


def _load(ptx: str, architecture: str, newest_isa: tuple[int, int]) -> Program:
    try:
        with collection_paused():
            module = parse(ptx)
    except PayloadError as error:
        fields = {
            name: getattr(error, name) for name in ("where", "expected", "found", "next_step", "source", "details")
        }
        raise LoadError(error.what, code=faults.INVALID_PTX, **fields) from None
    _check_version(module, newest_isa)
    _check_target(module, architecture)
    lines = Lines(ptx)
    return Program(module=module, architecture=architecture, lines=lines, entries=Entries(module, lines))


def _check_version(module: Module, newest: tuple[int, int]) -> None:
    if module.version > newest:
        raise LoadError(
            "the PTX is of a newer ISA than the driver takes",
            code=faults.UNSUPPORTED_PTX_VERSION,
            expected=f".version {newest[0]}.{newest[1]} or less",
            found=f".version {module.version[0]}.{module.version[1]}",
            next_step="compile for an older ISA version",
            source=module.place(module.version_span.start),
        )


def _check_target(module: Module, architecture: str) -> None:
    """Check the target. PTX ISA 11.1.2: newer devices run older targets, except those with a suffix, which need that
    device.
    """
    device, target = _ARCHITECTURE.fullmatch(architecture), _ARCHITECTURE.fullmatch(module.target)
    fits = False
    if device and target:
        if target[2] == "a":
            fits = target[0] == device[0]
        elif target[2] == "f":
            fits = int(target[1]) // 10 == int(device[1]) // 10 and int(target[1]) <= int(device[1])
        else:
            fits = int(target[1]) <= int(device[1])
    if not fits:
        raise LoadError(
            "the PTX is for another device",
            code=faults.NO_BINARY_FOR_GPU,
            expected=f".target that runs on {architecture}",
            found=f".target {module.target}",
            source=module.place(module.target_span.start),
        )


def _entry(module: Module, function: Function, lines: Lines) -> Entry:
    code = decode(module, function, lines)
    offsets, size = parameter_offsets(function.parameters)
    parameters = tuple(
        EntryParameter(name=p.name, size_bytes=p.size_bytes, offset_bytes=offset, alignment=p.alignment)
        for p, offset in zip(function.parameters, offsets, strict=True)
    )
    required, most = function.directive("reqntid"), function.directive("maxntid")
    sizes = [*required.values, 1, 1] if required else []
    block = (sizes[0], sizes[1], sizes[2]) if required else None
    threads = int(np.prod(most.values)) if most else None
    return Entry(
        name=function.name,
        function=function,
        parameters=parameters,
        parameter_bytes=size,
        required_block=block,
        maximum_threads=threads,
        code=code,
        static_shared_bytes=code.layout.static_shared_bytes,
        local_bytes=code.layout.local_bytes,
        registers=_pressure(code),
    )


def _pressure(code: Code) -> int:
    words = {slot: max(1, code.slots.dtypes[slot].itemsize // 4) for slot in code.slots.registers.values()}
    registers = 0
    for slot in words:
        registers |= 1 << slot
    wide = 0
    for slot, size in words.items():
        wide |= (1 << slot) if size == 2 else 0
    return max(((live & registers).bit_count() + (live & wide).bit_count() for live in code.live), default=0)


def decode(module: Module, function: Function, lines: Lines) -> Code:
    """Return a kernel's steps. Raises `LoadError` with the place of an instruction that is not supported here."""
    place = lines.place(function.name_span.start, function.name_span.end)
    try:
        flat = flatten(module, function, lines)
        layout = lay_out(module, flat.frames)
        decoder = Decoder(layout, lambda frame, name: flat.labels.get((frame, name)))
        steps = []
        for item in flat.items:
            place = item.place
            steps.append(_step(decoder, flat, item))
    except Refused as error:
        raise _refused(error, function, place) from None
    except (IndexError, ValueError, KeyError, TypeError, AttributeError, AssertionError, OverflowError) as error:
        raise LoadError(
            "an instruction has operands that it cannot have",
            code=faults.INVALID_PTX,
            where=function.name,
            found=place.text,
            source=place.caret(),
            details=f"{type(error).__name__}: {error}",
        ) from None
    guard_accumulators(steps, decoder.slots.names)
    leaders = set(flat.labels.values())
    code = Code(
        name=function.name,
        steps=steps,
        slots=decoder.slots,
        layout=layout,
        grain=decoder.smallest_shared_access,
        smallest_global_access=decoder.smallest_global_access,
        leaders=frozenset(leaders),
        reads_asynchronously=any(_reads_asynchronously(item) for item in flat.items),
    )
    analyse(code)
    return code


def _reads_asynchronously(item: Item) -> bool:
    opcode = item.instruction.opcode
    return opcode[0] == "wgmma" or (opcode[0] == "cp" and "bulk_group" in opcode)


def _refused(error: Refused, function: Function, place: Place) -> LoadError:
    return LoadError(
        f"the simulated device does not execute {error}",
        code=faults.NOT_SUPPORTED,
        where=f"{function.name}:{place.line}",
        found=place.text,
        source=place.caret(),
        next_step="run this kernel on a GPU, or choose a variant for an older architecture",
    )


def _step(decoder: Decoder, flat: Flat, item: Item) -> Step:
    opcode = item.instruction.opcode
    if opcode[0] == MOVE:
        to, origin, type_, size = int(opcode[1]), int(opcode[2]), opcode[3], int(opcode[4])

        def move(d: Decoder, i: Instruction) -> Run:
            return move_between(d, to, origin, type_, size, i)

        return decoder.decode(item.instruction, item.frame, item.place, move)
    if opcode[0] == SYSTEM:
        return decoder.decode(item.instruction, item.frame, item.place, system_call)
    if opcode[0] == "brx":
        function = flat.frames[item.frame].function
        name = getattr(item.instruction.operands[1], "name", "")
        table = next((t for t in function.tables if t.name == name), None)
        if table is None:
            raise Refused("brx.idx without its .branchtargets")
        chosen = table

        def branch(d: Decoder, i: Instruction) -> None:
            switch(d, i, chosen)

        return decoder.decode(item.instruction, item.frame, item.place, branch)
    builder = BUILDERS.get(opcode[0])
    if builder is None:
        raise Refused(refusal(opcode))
    counts = OPERANDS.get(opcode[0])
    if counts is not None and len(item.instruction.operands) not in counts:
        raise ValueError(f"{len(item.instruction.operands)} operands, where {opcode[0]} has {counts[0]}")
    return decoder.decode(item.instruction, item.frame, item.place, builder)
