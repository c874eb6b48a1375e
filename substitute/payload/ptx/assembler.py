"""`ptxas`: check that PTX assembles, and the resources that it needs on the device."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..programs import find_program, run_program
from .targets import architecture

_ERROR = re.compile(r"^ptxas \S+, line (\d+); (?:error|fatal)\s*: (.*)$", re.MULTILINE)
_FATAL = re.compile(r"^ptxas (?:fatal|error)\s*: (.*)$", re.MULTILINE)
_USED = re.compile(r"Used (\d+) registers")
_SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_SHARED = re.compile(r"(\d+) bytes smem")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Resources of an entry on a device, as ptxas reports them."""

    gpu: str
    registers: int
    """Number of 32-bit registers of a thread."""
    stack_bytes: int
    spill_bytes: int
    """Bytes stored and loaded by a thread for want of registers."""
    shared_bytes: int
    """Static shared memory."""

    def __str__(self) -> str:
        spills = f"{self.spill_bytes:,} B spilled" if self.spill_bytes else "no spills"
        return f"{self.registers} registers, {spills}, {self.shared_bytes:,} B shared ({self.gpu})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """Outcome of ptxas."""

    resources: Resources | None = None
    left_out: str = ""
    """Reason why it did not run; empty if it did."""
    error: str = ""
    """Its first error message."""
    line: int = 0
    """Line of the error, from 1; 0 if it names none."""
    output: str = ""


def assemble(text: str, *, entry: str, target: str, arch: str = "") -> Assembly:
    """Run ptxas over PTX for `target`, for a device `arch` (empty: the target itself)."""
    program = find_program("ptxas")
    if program is None:
        return Assembly(left_out="ptxas: not installed (pip install 'iree-substitute[cuda]')")
    return _assemble(program, text, entry, _device(target, arch))


def _device(target: str, arch: str) -> str:
    """Return the device to assemble for: the dispatch's, or a target with a suffix itself, which runs on no other."""
    wanted, own = architecture(arch), architecture(target)
    if wanted is None or own is None or own[1]:
        return target
    return arch if wanted[0] >= own[0] else target


@lru_cache(maxsize=64)
def _assemble(program: Path, text: str, entry: str, gpu: str) -> Assembly:
    with tempfile.TemporaryDirectory(prefix="substitute-ptx-") as folder:
        path = Path(folder) / "payload.ptx"
        path.write_text(text, encoding="utf-8")
        arguments = ("--verbose", f"--gpu-name={gpu}", f"--output-file={path}.cubin", str(path))
        result = run_program(program, arguments)
    output = result.output.replace(str(path), "payload.ptx")
    if result.status == 0:
        return Assembly(resources=_resources(output, entry, gpu), output=output)
    if f"Value '{gpu}' is not defined" in output:
        return Assembly(left_out=f"ptxas: this version does not know {gpu}", output=output)
    found = _ERROR.search(output)
    if found:
        return Assembly(error=found[2].strip(), line=int(found[1]), output=output)
    fatal = _FATAL.search(output)
    return Assembly(error=fatal[1].strip() if fatal else f"exit status {result.status}", output=output)


def _resources(output: str, entry: str, gpu: str) -> Resources | None:
    """Return the resources that `--verbose` reports for this entry."""
    part = output.partition(f"Compiling entry function '{entry}'")[2]
    part = part.partition("Compiling entry function")[0]
    used, spills, shared = _USED.search(part), _SPILLS.search(part), _SHARED.search(part)
    if not used:
        return None
    return Resources(
        gpu=gpu,
        registers=int(used[1]),
        stack_bytes=int(spills[1]) if spills else 0,
        spill_bytes=int(spills[2]) + int(spills[3]) if spills else 0,
        shared_bytes=int(shared[1]) if shared else 0,
    )
