"""Objects of a variant: the payload's bytes in the module, or in a file where IREE needs one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..model.payload_kind import BODY_FORMATS, PayloadFormat
from ..model.plan import Payload
from .constants import add_constants

if TYPE_CHECKING:
    from iree.compiler import ir


def add_object(variant: ir.Operation, payload: Payload, folder: Path | None) -> None:
    """Add the payload to the variant's linked objects. Object files go to `folder`."""
    add_constants(variant, payload.constants)
    if payload.format not in BODY_FORMATS:
        _add(variant, _own_object(payload, folder))
    add_files(variant, payload.objects)


def add_files(variant: ir.Operation, files: Sequence[Path]) -> None:
    """Add the user's files; they stay at their paths, except for bitcode, which IREE reads from the module."""
    for file in files:
        fields = f"path = {_quoted(str(file.resolve()))}"
        if file.suffix == ".bc":
            fields += f", data = {_blob(file.read_bytes())}"
        _add(variant, fields)


def _own_object(payload: Payload, folder: Path | None) -> str:
    if payload.format is PayloadFormat.OBJECT:
        # IREE writes an object embedded in the module to a file that it then leaves empty
        assert folder is not None
        file = folder / f"{hashlib.sha256(payload.data).hexdigest()[:16]}.o"
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        temporary.write_bytes(payload.data)
        temporary.replace(file)  # another compilation may be reading the same file
        return f"path = {_quoted(str(file))}"
    suffix = {PayloadFormat.BITCODE: "bc", PayloadFormat.SPIRV: "spv", PayloadFormat.PTX: "ptx"}[payload.format]
    return f"path = {_quoted(f'{payload.entry}.{suffix}')}, data = {_blob(payload.data)}"


def _add(variant: ir.Operation, fields: str) -> None:
    from iree.compiler import ir

    object_ = ir.Attribute.parse(f"#hal.executable.object<{{{fields}}}>")
    known = list(ir.ArrayAttr(variant.attributes["objects"])) if "objects" in variant.attributes else []
    variant.attributes["objects"] = ir.ArrayAttr.get([*known, object_] if object_ not in known else known)


def _quoted(text: str) -> str:
    r"""Return a string as MLIR reads it: `"`, `\\` and unprintable characters as two hexadecimal digits."""
    plain = (chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:02X}" for b in text.encode())
    return f'"{"".join(plain)}"'


def _blob(data: bytes) -> str:
    return f'dense<"0x{data.hex()}"> : vector<{len(data)}xi8>'
