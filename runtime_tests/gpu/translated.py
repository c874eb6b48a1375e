"""Code that IREE passes to the CUDA driver: PTX from a finished module, launch geometry from the module before it."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime_tests.gpu.package import Triple
from substitute.errors import CompilerError
from substitute.payload.symbols import sanitize
from substitute.read.module import children, symbol_name
from substitute.validate.call_sites import Evaluator

if TYPE_CHECKING:
    from iree.compiler import ir

_VERSION = re.compile(rb"(?m)^\s*\.version\s+\d")
_TARGET = re.compile(r"(?m)^\s*\.target\s+(\w+)")
_HEAD_BYTES = 1 << 16
"""The most comment that PTX may begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """One export of one variant, all of whose sizes are known."""

    export: str
    """The export's symbol."""
    target: str
    """The architecture that the variant is compiled for."""
    grid: Triple
    block: Triple
    shared_bytes: int
    ptx: str = ""
    """PTX that is in the variant already; empty if IREE generates it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """PTX in a module."""

    target: str
    ptx: str


def ptx_texts(vmfb: bytes) -> list[Text]:
    """Return all PTX in a module, in the form of FlatBuffers' text: a length, the bytes, and a zero."""
    found = []
    for match in _VERSION.finditer(vmfb):
        end = vmfb.index(b"\0", match.start())
        for start in range(match.start() & ~3, max(3, match.start() - _HEAD_BYTES), -4):
            if struct.unpack_from("<I", vmfb, start - 4)[0] == end - start:
                ptx = vmfb[start:end].decode()
                target = _TARGET.search(ptx)
                found.append(Text(target=target[1] if target else "", ptx=ptx))
                break
    return found


def geometries(module: ir.Operation) -> list[Geometry]:
    """Every export of a module at `executable-targets`, in the order in which IREE asks the device about variants.

    Raises `Unknown` for a dispatch whose grid depends on sizes that are only known at launch.
    """
    from iree.compiler import ir

    variants = (
        variant
        for executable in children(module)
        if executable.name == "hal.executable"
        for variant in children(executable)
        if variant.name == "hal.executable.variant"
    )
    found = []
    for variant in variants:
        arch = re.search(r'arch = "(\w+)"', str(variant.attributes["target"]))
        ptx = _embedded(variant)
        for export in children(variant):
            if export.name != "hal.executable.export":
                continue
            attributes = export.attributes
            shared = attributes.get("workgroup_local_memory", None)
            found.append(
                Geometry(
                    export=symbol_name(export),
                    target=arch[1] if arch else "",
                    grid=workgroup_count(export),
                    block=_triple([ir.IntegerAttr(a).value for a in ir.ArrayAttr(attributes["workgroup_size"])]),
                    shared_bytes=0 if shared is None else int(ir.IntegerAttr(shared).value),
                    ptx=ptx,
                )
            )
    return found


def _embedded(variant: ir.Operation) -> str:
    """The text of a variant's object; empty if it has none."""
    objects = variant.attributes.get("objects", None)
    found = re.search(r'data = dense<"0x([0-9A-Fa-f]+)">', str(objects)) if objects is not None else None
    return bytes.fromhex(found[1]).decode() if found else ""


def workgroup_count(export: ir.Operation) -> Triple:
    """Return the result of an export's `count` region. Raises `Unknown` if it depends on its arguments."""
    end = list(export.regions[0].blocks[0].operations)[-1].operation
    values = Evaluator()
    return _triple([values.value(operand) for operand in end.operands])


def matched(vmfb: bytes, found: Sequence[Geometry]) -> list[tuple[Geometry, Text]]:
    """Return each geometry with its PTX in the finished module.

    Raises `CompilerError` if a variant's own PTX is not in the module, or IREE's is not found.
    """
    texts = ptx_texts(vmfb)
    pairs = []
    for geometry in found:
        entry = re.compile(rf"\.entry\s+{sanitize(geometry.export)}\s*\(")
        fitting = {
            t.ptx: t
            for t in texts
            if (t.ptx == geometry.ptx if geometry.ptx else t.target == geometry.target) and entry.search(t.ptx)
        }
        if len(fitting) != 1:
            raise CompilerError(
                "the PTX of a dispatch cannot be told",
                where=geometry.export,
                expected=f"one PTX for {geometry.target} in the module",
                found=f"{len(fitting)} of {len(texts)}",
            )
        (text,) = fitting.values()
        pairs.append((geometry, text))
    return pairs


def _triple(values: Sequence[int]) -> Triple:
    x, y, z = values
    return int(x), int(y), int(z)
