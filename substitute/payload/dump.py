"""Writes everything that was generated for a plan into a folder, by the name of the dispatch, for people to read."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..cache.atomic import write_whole
from ..errors import UsageError
from ..model.payload_kind import CodeKind, PayloadFormat
from ..model.plan import Payload, Plan, Substitution, substitution_names
from .build import prepare
from .programs import find_program, run_program

INDEX = "index.json"
_SUFFIX = {
    PayloadFormat.BITCODE: ".bc",
    PayloadFormat.OBJECT: ".o",
    PayloadFormat.SPIRV: ".spv",
    PayloadFormat.PTX: ".ptx",
    PayloadFormat.LLVM_DIALECT: ".mlir",
    PayloadFormat.SPIRV_DIALECT: ".mlir",
}
_TEXT = frozenset((PayloadFormat.PTX, PayloadFormat.LLVM_DIALECT, PayloadFormat.SPIRV_DIALECT))
"""Formats that are text."""


def check_folder(folder: Path) -> None:
    """Check before the work that a folder can take the files. Raises `UsageError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_a_folder(folder, error.strerror or str(error)) from None


def dump_payloads(plan: Plan, payloads: Mapping[str, Payload], folder: Path) -> list[Path]:
    """Write the code of each substitution and what it was compiled from; return the files, `index.json` last.

    A file is called `DISPATCH.KERNEL` with a suffix: the bytes that are embedded (`.bc`, `.spv`, `.ptx`, `.o`), the
    same as text (`.ll`, `.spvasm`), and the generated source (`.source.ll`, `.comp`). Raises `UsageError` for a folder
    that cannot be written.
    """
    written: list[Path] = []
    index: list[dict[str, Any]] = []
    chosen = [s for s in plan.substitutions if not s.kernel.payload.kind.rewrites_body]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, one in zip(substitution_names(chosen), chosen, strict=True):
            payload = payloads.get(name)
            if payload is None:
                continue
            stem = re.sub(r"[^A-Za-z0-9_.$-]+", "_", f"{one.dispatch.name}.{one.kernel.name}")
            while any(entry["stem"] == stem for entry in index):
                stem += "_"
            files = {f"{stem}{suffix}": data for suffix, data in _contents(one, payload)}
            for file, data in files.items():
                write_whole(folder / file, data)
                written.append(folder / file)
            index.append({"stem": stem, **_facts(one, payload, list(files))})
        text = json.dumps({"payloads": index}, indent=2, ensure_ascii=False)
        write_whole(folder / INDEX, f"{text}\n".encode())
    except OSError as error:
        raise _not_a_folder(folder, error.strerror or str(error)) from None
    return [*written, folder / INDEX]


def _contents(substitution: Substitution, payload: Payload) -> Iterator[tuple[str, bytes]]:
    if payload.data and payload.format in _SUFFIX:
        yield _SUFFIX[payload.format], payload.data
    yield from _as_text(substitution, payload)


def payload_texts(substitution: Substitution, payload: Payload) -> dict[str, str]:
    """Return the code of a substitution that people can read, by its suffix: `.ll`, `.ptx`, `.source.ll`, …"""
    texts = {suffix: data.decode(errors="replace") for suffix, data in _as_text(substitution, payload)}
    if payload.data and payload.format in _TEXT:
        return {_SUFFIX[payload.format]: payload.data.rstrip(b"\0").decode(errors="replace"), **texts}
    return texts


def _as_text(substitution: Substitution, payload: Payload) -> Iterator[tuple[str, bytes]]:
    if payload.format is PayloadFormat.BITCODE:
        from .llvm.optimize import parse_bitcode

        yield ".ll", str(parse_bitcode(payload.data, substitution.dispatch.name)).encode()
    if payload.format is PayloadFormat.SPIRV:
        yield from _disassemble(payload.data)
    kind = substitution.kernel.payload.kind
    source = kind.read_source(prepare(substitution).request) if isinstance(kind, CodeKind) else None
    if source is not None:
        yield source[0], source[1].encode()


def _disassemble(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the lines of spirv-dis for a binary; none if it is not installed."""
    program = find_program("spirv-dis")
    if program is None:
        return
    with tempfile.TemporaryDirectory(prefix="substitute-dump-") as folder:
        file = Path(folder) / "payload.spv"
        file.write_bytes(data)
        done = run_program(program, ("--no-color", str(file)))
    if done.status == 0:
        yield ".spvasm", done.output.encode()


def _facts(substitution: Substitution, payload: Payload, files: list[str]) -> dict[str, Any]:
    count = payload.workgroup_count
    return {
        "dispatch": substitution.dispatch.name,
        "kernel": substitution.kernel.name,
        "kind": substitution.kernel.payload.kind.name,
        "entry": payload.entry,
        "summary": payload.summary,
        "workgroup_count": [str(size) for size in count] if count is not None else None,
        "workgroup_size": list(payload.workgroup_size) if payload.workgroup_size is not None else None,
        "sha256": hashlib.sha256(payload.data).hexdigest(),
        "files": files,
    }


def _not_a_folder(folder: Path, found: str) -> UsageError:
    return UsageError(
        "the payloads cannot be written",
        where=f"--dump-payloads {folder}",
        expected="a folder that can be written to, or a place for a new one",
        found=found,
        next_step="choose another folder",
    )
