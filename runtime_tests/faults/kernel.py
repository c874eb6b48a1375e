"""A kernel of the suite: a folder's files, kept in memory until it is compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime_tests.faults.definitions import DEFINITIONS

BACKENDS = {"glsl": "vulkan-spirv", "glsl-generator": "vulkan-spirv", "spirv": "vulkan-spirv", "ptx": "cuda"}
"""By payload kind; the others are for llvm-cpu."""
DEVICES = {"llvm-cpu": "local-task", "vulkan-spirv": "vulkan", "cuda": "cuda-sim"}
FILES = {
    "llvm-generator": "generator.py",
    "llvm-ir": "kernel.ll",
    "llvm-bitcode": "kernel.bc",
    "object": "kernel.o",
    "glsl": "kernel.comp",
    "glsl-generator": "generator.py",
    "spirv": "kernel.spv",
    "ptx": "kernel.ptx",
    "llvm-dialect": "kernel.mlir",
}
"""File name of a payload of each kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A right kernel, or one with a fault: what it computes, how it is launched, and its source."""

    name: str
    definition: str
    kind: str
    """Kind of the payload; bitcode, objects and SPIR-V are made from their source when the folder is written."""
    source: str
    workgroup_count: tuple[str, str, str]
    workgroup_size: tuple[int, int, int] | None = None
    spec_constants: tuple[tuple[int, str], ...] = ()
    entry: str = "kernel"
    of: str = ""
    """The right kernel that it was made from; empty for a right one."""
    fault: str = ""
    """The class of the fault; empty for a right kernel."""
    change: str = ""
    """File, line, what stood there and what stands there now."""
    equivalent: str = ""
    """Reason why this change cannot change a result; empty if it can."""

    @property
    def backend(self) -> str:
        return BACKENDS.get(self.kind, "llvm-cpu")

    @property
    def device(self) -> str:
        return DEVICES[self.backend]

    @property
    def digest(self) -> str:
        """Digest of everything that determines the run."""
        parts = (self.name, self.kind, self.manifest(), self.source, DEFINITIONS[self.definition].text)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def manifest(self) -> str:
        """The text of kernel.toml; every variant has the same name, so that plans are alike."""
        definition = DEFINITIONS[self.definition]
        quoted = ", ".join(f'"{c}"' for c in self.workgroup_count)
        size = f"workgroup_size = {list(self.workgroup_size)}\n" if self.workgroup_size else ""
        constraints = f"constraints = {_list(definition.constraints)}\n" if definition.constraints else ""
        spec = ", ".join(f'{number} = "{what}"' for number, what in self.spec_constants)
        frozen = f"spec_constants = {{ {spec} }}\n" if spec else ""
        entry = "main" if self.backend == "vulkan-spirv" else self.entry
        return (
            f'schema = 1\nname = "candidate"\nsummary = "{self.of or self.name}"\n{constraints}\n'
            f'{definition.operands_toml}\n\n[[target]]\nbackend = "{self.backend}"\n\n[payload]\nkind = "{self.kind}"\n'
            f'file = "{FILES[self.kind]}"\nentry = "{entry}"\n{frozen}\n[launch]\n{size}workgroup_count = [{quoted}]\n'
        )

    def write(self, folder: Path) -> None:
        """The kernel's folder. Raises `Refused` where the source cannot be assembled."""
        folder.mkdir(parents=True)
        (folder / "kernel.toml").write_text(self.manifest())
        (folder / "definition.mlir").write_text(DEFINITIONS[self.definition].text)
        (folder / FILES[self.kind]).write_bytes(_assembled(self.kind, self.source))


class Refused(Exception):
    """The source is invalid: an assembler refuses it before the toolkit sees it."""


def _list(words: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{w}"' for w in words) + "]"


def _assembled(kind: str, source: str) -> bytes:
    if kind in ("llvm-bitcode", "object"):
        return _llvm(kind, source)
    if kind == "spirv":
        return _spirv(source)
    return source.encode()


def _llvm(kind: str, source: str) -> bytes:
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        module = llvm.parse_assembly(source)
        module.verify()
    except RuntimeError as error:
        raise Refused(str(error).strip().partition("\n")[0]) from None
    if kind == "llvm-bitcode":
        return bytes(module.as_bitcode())
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), opt=2, reloc="pic", codemodel="default"
    )
    return bytes(machine.emit_object(module))


def _spirv(source: str) -> bytes:
    from substitute.payload.glsl.compile import compile_glsl

    return compile_glsl(source, name="kernel.comp")
