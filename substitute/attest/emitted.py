"""Digests of payloads as they are embedded."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from ..embed import Built
from ..errors import PayloadError
from ..model.emitted import Emitted
from ..model.payload_kind import PayloadFormat
from ..model.plan import Payload

NEUTRAL = "entry"
"""Name that every entry point has in the digest without names."""


def describe_emitted(built: Sequence[Built]) -> tuple[Emitted, ...]:
    """Return what was made for each dispatch; nothing for substitutions that embed no code."""
    several = Counter(one.substitution.dispatch.name for one in built)
    found = []
    for one in built:
        emitted = describe_code(one)
        if emitted is not None:
            shared = several[emitted.dispatch] > 1
            unsure = "several kernels or variants share this dispatch's name" if shared else ""
            found.append(replace(emitted, unsure=unsure))
    return tuple(found)


def describe_code(built: Built) -> Emitted | None:
    """Return what a payload is; None for one without code."""
    content = emitted_bytes(built.payload)
    if not content:
        return None
    return Emitted(
        dispatch=built.substitution.dispatch.name,
        kernel=built.substitution.kernel.name,
        sha256=hashlib.sha256(content).hexdigest(),
        unnamed_sha256=hashlib.sha256(_without_name(built.payload, content)).hexdigest(),
        format=str(built.payload.format),
        target=built.substitution.dispatch.target,
    )


def emitted_bytes(payload: Payload) -> bytes:
    """Return the code that is embedded; settings for IREE's own code where there is no other."""
    return payload.data or payload.compilation_info.encode()


def _without_name(payload: Payload, content: bytes) -> bytes:
    """Return the code with a neutral name of its entry point; unchanged where the name cannot be replaced."""
    try:
        if payload.format is PayloadFormat.BITCODE:
            return _rename_in_bitcode(content, payload.entry)
        if payload.format is PayloadFormat.SPIRV:
            return _rename_in_spirv(content, payload.entry)
    except PayloadError:
        return content
    if payload.format in (PayloadFormat.PTX, PayloadFormat.LLVM_DIALECT, PayloadFormat.SPIRV_DIALECT):
        return content.replace(payload.entry.encode(), NEUTRAL.encode()) if payload.entry else content
    return content


def _rename_in_bitcode(content: bytes, entry: str) -> bytes:
    from ..payload.llvm.optimize import parse_bitcode

    module = parse_bitcode(content, entry)
    try:
        module.get_function(entry).name = NEUTRAL
    except NameError:
        return content
    module.name = NEUTRAL
    return str(module).encode()


def _rename_in_spirv(content: bytes, entry: str) -> bytes:
    from ..payload.spirv.module import OP_ENTRY_POINT, read_module, read_string, string_words, write_module

    module = read_module(content)
    changed = []
    for instruction in module.instructions:
        if instruction.op == OP_ENTRY_POINT:
            first, rest = instruction.words[:2], instruction.words[2:]
            name, count = read_string(rest)
            if name == entry:
                instruction = replace(instruction, words=(*first, *string_words(NEUTRAL), *rest[count:]))
        changed.append(instruction)
    return write_module(replace(module, instructions=tuple(changed)))
