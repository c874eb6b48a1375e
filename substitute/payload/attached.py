"""Parts that a payload needs besides its code: linked object files, and constants that the device fills in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import PayloadError
from ..match.frozen import constant_values
from ..model.dispatch import Target
from ..model.kernel import ExecutableConstant, Kernel
from ..model.payload_kind import PayloadFormat
from ..model.plan import Payload, Request


def check_objects(kernel: Kernel, target: Target) -> frozenset[str]:
    """Return the functions that the kernel's linked objects define. Raises `PayloadError` for a file that cannot be
    linked.
    """
    from ..match.target import architecture
    from .sniff import RESOLVED, read_object, verify_object

    machine = architecture(target)
    defined: set[str] = set()
    objects: list[tuple[str, bytes]] = []
    for path in kernel.payload.objects:
        data = read_file(path, kernel)
        expected = {".o": "ELF object", ".a": "archive", ".bc": "LLVM bitcode"}[path.suffix]
        _check_kind(data, expected, path)
        if path.suffix == ".bc":
            defined |= _defined_in_bitcode(data, path)
        else:
            members = [(path.name, data)] if path.suffix == ".o" else archive_members(data, path)
            objects += [(f"{path}" if name == path.name else f"{path}({name})", member) for name, member in members]
    for name, data in objects:
        defined.update(read_object(data, name=name).functions)
    for name, data in objects:
        functions = read_object(data, name=name).functions
        if functions:
            verify_object(data, entry=functions[0], machine=machine, name=name, resolved=RESOLVED | defined)
    return frozenset(defined)


def read_file(path: Path, kernel: Kernel) -> bytes:
    """Return the contents of a file of the kernel. Raises `PayloadError`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise PayloadError(
            f"a file of {kernel.name} cannot be read",
            where=str(path),
            expected="a file",
            found=error.strerror or str(error),
            next_step="check the names in kernel.toml",
        ) from None


def _check_kind(data: bytes, expected: str, path: Path) -> None:
    from .sniff import sniff

    found = sniff(data)
    if not found.startswith(expected):
        raise PayloadError(
            "this cannot be linked",
            where=str(path),
            expected=f"{expected} (a name that ends with {path.suffix})",
            found=found,
            next_step="correct `objects` in [payload], or the file",
        )


def _defined_in_bitcode(data: bytes, path: Path) -> set[str]:
    from .llvm.optimize import parse_bitcode

    module = parse_bitcode(data, str(path))
    return {function.name for function in module.functions if not function.is_declaration}


def archive_members(data: bytes, path: Path) -> list[tuple[str, bytes]]:
    """Return the objects of a Unix archive, without its symbol table. Raises `PayloadError` for a damaged or thin
    one.
    """
    if data[:8] != b"!<arch>\n":
        raise _damaged(path, "a thin archive, whose members are other files")
    members: list[tuple[str, bytes]] = []
    at = 8
    while at < len(data):
        header = data[at : at + 60]
        size = header[48:58].strip()
        if len(header) < 60 or header[58:] != b"`\n" or not size.isdigit():
            raise _damaged(path, f"no member at byte {at}")
        name, body = header[:16].decode("latin-1").strip(), data[at + 60 : at + 60 + int(size)]
        if name not in ("/", "//", "/SYM64/") and body[:4] == b"\x7fELF":
            members.append((name.rstrip("/"), body))
        at += 60 + int(size) + int(size) % 2  # members are aligned to even positions
    return members


def _damaged(path: Path, found: str) -> PayloadError:
    return PayloadError(
        "the archive cannot be read",
        where=str(path),
        expected="an archive made with `ar rcs`",
        found=found,
        next_step="make it again",
    )


def resolve_constants(request: Request) -> tuple[ExecutableConstant, ...]:
    """Return the kernel's constants, with expressions as numbers; the match has made sure that they are known."""
    resolved = []
    for constant, value in constant_values(request.substitution.kernel, request.match):
        assert isinstance(value, int | None), constant.name
        resolved.append(constant if value is None else replace(constant, value=str(value)))
    return tuple(resolved)


def check_spec_ids(payload: Payload, where: str) -> None:
    """Check that every constant has a specialization constant that reads it. Raises `PayloadError`."""
    from .spirv.module import read_module

    if payload.format is not PayloadFormat.SPIRV:
        return  # those of the dialect are checked with its text
    found = {constant.spec_id for constant in read_module(payload.data).spec_constants}
    missing = [(at, c.name) for at, c in enumerate(payload.constants) if at not in found]
    if missing:
        raise PayloadError(
            "nothing reads an executable constant",
            where=where,
            expected=", ".join(f"SpecId {at} for {name}" for at, name in missing),
            found=", ".join(f"SpecId {i}" for i in sorted(found)) or "no specialization constant",
            next_step="declare it: layout(constant_id = 0) const uint NAME = 1; in the order of kernel.toml",
        )
