"""Does PTX fit the dispatch it is to stand in? And renaming its entry."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from ...errors import PayloadError
from ..programs import find_program, run_program
from .reader import Entry, PtxModule, place, read_ptx

NEWEST = (9, 0)
"""The newest PTX ISA version that a 580 driver accepts."""
MAX_BINDINGS, MAX_CONSTANTS = 16, 64
MAX_STATIC_SHARED_BYTES = 48 * 1024
"""Static shared memory ends here on every architecture; more has to be dynamic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PtxFacts:
    """What was found in PTX that passed."""

    entry: str
    version: tuple[int, int]
    target: str
    workgroup_size: tuple[int, int, int] | None
    """`.reqntid`, which a launch has to match; None where the entry takes any."""
    shared_bytes: int
    checked_by: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def verify(
    text: str,
    *,
    entry: str,
    bindings: int,
    push_constants: int,
    target_arch: str,
    workgroup_size: tuple[int, int, int] | None = None,
    name: str = "PTX",
) -> PtxFacts:
    """Checks PTX against a dispatch with `bindings` pointers and `push_constants` 32-bit words.

    `target_arch` is the variant's (`sm_80`; empty: any), `workgroup_size` the manifest's. Raises `PayloadError`.
    """
    module = read_ptx(text, name=name)
    found = _find_entry(module, entry, name)
    _check_header(module, target_arch, name)
    _check_parameters(module, found, bindings, push_constants, name)
    _check_workgroup(module, found, workgroup_size, name)
    if not found.returns:
        raise _error(
            module, name, found.name_at[0], f"entry {entry} never returns: is the PTX cut off?",
            "ret or exit", "neither", "check that the file is whole",
        )  # fmt: skip
    shared = module.shared_bytes + found.shared_bytes
    if shared > MAX_STATIC_SHARED_BYTES:
        raise _error(
            module, name, found.name_at[0], f"entry {entry} declares too much shared memory",
            f"at most {MAX_STATIC_SHARED_BYTES} bytes", f"{shared} bytes",
            "declare it `.extern .shared` and set launch.shared_memory_bytes",
        )  # fmt: skip
    left_out = _assemble(text, module, name)
    return PtxFacts(
        entry=entry,
        version=module.version,
        target=module.target,
        workgroup_size=found.reqntid,
        shared_bytes=shared,
        checked_by=("structure",) if left_out else ("structure", "ptxas"),
        left_out=left_out,
    )


def rename(text: str, entry: str, export_name: str, *, name: str = "PTX") -> str:
    """The text with `entry` called `export_name`, wherever the name stands as a word. Raises `PayloadError`."""
    module = read_ptx(text, name=name)
    _find_entry(module, entry, name)
    if export_name != entry and any(t.text == export_name for t in module.tokens):
        taken = next(t for t in module.tokens if t.text == export_name)
        raise _error(
            module, name, taken.start, f"the name {export_name} is taken", "a name that the PTX does not use",
            export_name, "rename this symbol in the PTX",
        )  # fmt: skip
    parts: list[str] = []
    last = 0
    for token in module.tokens:
        if token.kind == "word" and token.text == entry:
            parts += [text[last : token.start], export_name]
            last = token.end
    return "".join((*parts, text[last:]))


def _find_entry(module: PtxModule, entry: str, name: str) -> Entry:
    found = module.entry(entry)
    if found is None:
        raise PayloadError(
            f"the PTX has no entry {entry!r}",
            where=name,
            expected=f".entry {entry}",
            found=", ".join(e.name for e in module.entries) or "no .entry at all",
            next_step="correct `entry` in [payload]" if module.entries else "compile a __global__ function",
        )
    return found


def _check_header(module: PtxModule, target_arch: str, name: str) -> None:
    if module.version > NEWEST:
        raise _error(
            module, name, module.version_at, "the PTX is newer than the driver accepts",
            f"at most PTX ISA {NEWEST[0]}.{NEWEST[1]} (driver 580)", f"{module.version[0]}.{module.version[1]}",
            "compile it with an older toolkit, or lower .version if it uses nothing newer",
        )  # fmt: skip
    if module.address_size != 64:
        raise _error(
            module, name, module.target_at, "the PTX has 32-bit addresses", ".address_size 64",
            f".address_size {module.address_size}", "compile it for 64-bit",
        )  # fmt: skip
    if target_arch and not compatible(module.target, target_arch):
        raise _error(
            module, name, module.target_at, f"the PTX does not run on {target_arch}", _expected_target(target_arch),
            module.target, "compile it for the target's architecture, or restrict `architectures` in kernel.toml",
        )  # fmt: skip


def compatible(ptx_target: str, arch: str) -> bool:
    """True if PTX for `ptx_target` runs on `arch`.

    Targets with suffix `a` run on their own architecture only, `sm_100f` on later members of its family as well (PTX
    ISA 11.1.2).
    """
    have, need = _architecture(arch), _architecture(ptx_target)
    if have is None or need is None:
        return ptx_target == arch
    if need[1] == "a":
        return have[0] == need[0]
    if need[1] == "f":
        return have[0] // 10 == need[0] // 10 and have[0] >= need[0]
    return have[0] >= need[0]


def _architecture(text: str) -> tuple[int, str] | None:
    digits = text.removeprefix("sm_")
    suffix = digits[-1:] if digits[-1:] in ("a", "f") else ""
    digits = digits.removesuffix(suffix) if suffix else digits
    return (int(digits), suffix) if digits.isdigit() and text.startswith("sm_") else None


def _expected_target(arch: str) -> str:
    return f".target {arch}, or an older one without the suffix a"


def _check_parameters(module: PtxModule, entry: Entry, bindings: int, constants: int, name: str) -> None:
    expected = f"{bindings} 64-bit pointers (one per binding), then {constants} 32-bit values (push constants)"
    if bindings > MAX_BINDINGS or constants > MAX_CONSTANTS:
        raise _error(
            module, name, entry.name_at[0], "the dispatch has more parameters than IREE's CUDA driver passes",
            f"at most {MAX_BINDINGS} bindings and {MAX_CONSTANTS} push constants",
            f"{bindings} bindings and {constants} push constants", "leave this dispatch to IREE",
        )  # fmt: skip
    for number, parameter in enumerate(entry.parameters[: bindings + constants]):
        wanted = 64 if number < bindings else 32
        what = f"binding {number}" if number < bindings else f"push constant {number - bindings}"
        if parameter.count != 1 or parameter.bits != wanted or (wanted == 64 and parameter.type == "f64"):
            array = f"[{parameter.count}]" if parameter.count != 1 else ""
            raise _error(
                module, name, parameter.start, f"parameter {number} ({parameter.name}) does not fit {what}",
                f".u64, .b64 or .s64 ({what})" if wanted == 64 else f".u32, .b32, .s32 or .f32 ({what})",
                f".{parameter.type} {parameter.name}{array}", "write the entry for IREE's layout: " + expected,
            )  # fmt: skip
    found = len(entry.parameters)
    if found != bindings + constants:
        at = entry.parameters[bindings + constants].start if found > bindings + constants else entry.name_at[0]
        raise _error(
            module, name, at, f"entry {entry.name} has {found} parameter{'s' if found != 1 else ''}, "
            f"the dispatch passes {bindings + constants}", expected,
            ", ".join(f".{p.type} {p.name}" for p in entry.parameters) or "none",
            "a launch with other parameters reads garbage: make the list exactly this long",
        )  # fmt: skip


def _check_workgroup(module: PtxModule, entry: Entry, size: tuple[int, int, int] | None, name: str) -> None:
    if size is None:
        if entry.reqntid is None:
            raise _error(
                module, name, entry.name_at[0], "nobody says the workgroup size", "launch.workgroup_size, or .reqntid",
                "neither", "add workgroup_size to [launch]: without it IREE launches empty blocks",
            )  # fmt: skip
        return
    if entry.reqntid is not None and entry.reqntid != size:
        raise _error(
            module, name, entry.name_at[0], "the workgroup size is not what the entry requires",
            f".reqntid {', '.join(map(str, entry.reqntid))}", f"launch.workgroup_size {size}", "make the two agree",
        )  # fmt: skip
    threads = size[0] * size[1] * size[2]
    limit = 1024 if entry.maxntid is None else min(1024, entry.maxntid[0] * entry.maxntid[1] * entry.maxntid[2])
    if not 0 < threads <= limit:
        raise _error(
            module, name, entry.name_at[0], "the workgroup has a size that cannot be launched",
            f"1 to {limit} threads" + (" (.maxntid)" if entry.maxntid else ""), f"{size}: {threads} threads",
            "correct launch.workgroup_size",
        )  # fmt: skip


def _assemble(text: str, module: PtxModule, name: str) -> tuple[str, ...]:
    """Runs ptxas; what was left out, if it is not installed."""
    program = find_program("ptxas")
    if program is None:
        return ("ptxas: not installed (pip install nvidia-cuda-nvcc)",)
    with tempfile.TemporaryDirectory(prefix="substitute-ptx-") as folder:
        path = Path(folder) / "payload.ptx"
        path.write_text(text, encoding="utf-8")
        result = run_program(program, (f"--gpu-name={module.target}", "-o", f"{path}.cubin", str(path)))
    if result.status != 0:
        raise PayloadError(
            "ptxas refuses the PTX",
            where=name,
            expected=f"PTX that assembles for {module.target}",
            found=_first_error(result.output) or f"exit status {result.status}",
            next_step="correct the line that ptxas names",
            details=result.output.replace(str(path), name),
        )
    return ()


def _first_error(output: str) -> str:
    line = next((line for line in output.splitlines() if "error" in line.lower() or "fatal" in line.lower()), "")
    return line.partition(";")[2].strip() or line.strip()


def _error(module: PtxModule, name: str, at: int, what: str, expected: str, found: str, next_step: str) -> PayloadError:
    return PayloadError(
        what, where=name, source=place(module.text, at), expected=expected, found=found, next_step=next_step
    )
