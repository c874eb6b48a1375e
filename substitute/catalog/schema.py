"""The schema of `kernel.toml`, version 1: types and shapes of single values. What spans several is in `manifest`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ..model.kernel import Abi, PayloadKind, Slot

SCHEMA_VERSION = 1

BACKENDS = ("llvm-cpu", "vulkan-spirv", "cuda", "rocm", "metal-spirv", "webgpu-spirv", "vmvx", "vmvx-inline")
"""IREE's names of its backends."""

_LLVM = ("llvm-cpu", "cuda", "rocm")
_SPIRV = ("vulkan-spirv",)
KIND_BACKENDS: dict[PayloadKind, tuple[str, ...]] = {
    "llvm-generator": _LLVM, "llvm-ir": _LLVM, "llvm-bitcode": _LLVM, "object": ("llvm-cpu",),
    "spirv": _SPIRV, "glsl": _SPIRV, "glsl-generator": _SPIRV, "ptx": ("cuda",),
    "cuda": ("cuda",),
    "llvm-dialect": ("llvm-cpu", "cuda"), "spirv-dialect": _SPIRV, "mlir": BACKENDS, "rule": BACKENDS, "iree": BACKENDS,
}  # fmt: skip
"""The backends that can take each kind of payload."""

GENERATORS: frozenset[PayloadKind] = frozenset(("llvm-generator", "glsl-generator"))
"""Payloads that decide their own launch geometry."""

SLOTS: dict[PayloadKind, tuple[Slot, ...]] = {
    "llvm-generator": ("prologue", "epilogue"), "glsl-generator": ("prologue", "epilogue"), "glsl": ("epilogue",),
    "ptx": ("prologue", "epilogue"),
}  # fmt: skip
"""The slots that each kind of payload can have: a finished file has none, but for PTX, whose text marks them."""

KernelName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.\-]*$", max_length=100)]
AxisName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
EntryName = Annotated[str, Field(pattern=r"^[A-Za-z_$.][A-Za-z0-9_$.]*$")]
FeatureName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$")]
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]
ThreadCount = Annotated[int, Field(ge=1)]
Triple = Field(min_length=3, max_length=3)

PATTERNS: dict[str, str] = {
    r"^[A-Za-z][A-Za-z0-9_.\-]*$": "a name of letters, digits, `_`, `-` and `.` that starts with a letter",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "a name of letters, digits and `_`",
    r"^[A-Za-z_$.][A-Za-z0-9_$.]*$": "a symbol of letters, digits, `_`, `$` and `.`",
    r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$": "a CPU feature's name without `+`, such as `avx2`",
}
"""What each pattern above means, for messages."""


def _long_form(value: object) -> object:
    return {"axes": value} if isinstance(value, list) else value


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class OperandTable(_Table):
    """One entry of `[operands]`; a bare list of axes is its short form."""

    axes: list[AxisName]
    strided: bool = False


class TargetTable(_Table):
    """One `[[target]]`."""

    backend: Text
    format: Text | None = None
    architectures: list[Text] = []
    features: list[FeatureName] = []
    config: dict[str, Any] = {}
    device: dict[str, str | bool | int] = {}
    variant: Text | None = None


class DefinitionTable(_Table):
    """`[definition]`."""

    file: Text = "definition.mlir"


class PayloadTable(_Table):
    """`[payload]`."""

    kind: PayloadKind
    file: Text | None = None
    entry: EntryName | None = None
    spec_constants: dict[Annotated[str, Field(pattern=r"^\d{1,9}$")], Text] = {}
    objects: list[Text] = []


class ExecutableConstantTable(_Table):
    """One `[[executable_constant]]`."""

    name: KernelName
    value: Text | int | None = None
    query: Text | None = None
    default: int | None = None


class LaunchTable(_Table):
    """`[launch]`."""

    workgroup_size: Annotated[list[ThreadCount], Triple] | None = None
    workgroup_count: Annotated[list[Text], Triple] | None = None
    shared_memory_bytes: Count = 0
    compilation_info: Text | None = None


class ManifestTable(_Table):
    """The whole file."""

    version: Annotated[Literal[1], Field(alias="schema")]
    name: KernelName
    summary: str = ""
    abi: Abi = "canonical"
    slots: list[Slot] = []
    constraints: list[Text] = []
    priority: int = 0
    groups: list[AxisName] = []
    dispatches: list[Text] = []
    kinds: list[Text] = []
    bindings: Count | None = None
    constants: Count | None = None
    operands: dict[AxisName, Annotated[OperandTable, BeforeValidator(_long_form)]] = {}
    definition: DefinitionTable = DefinitionTable()
    target: Annotated[list[TargetTable], Field(min_length=1)]
    payload: PayloadTable
    launch: LaunchTable = LaunchTable()
    executable_constant: list[ExecutableConstantTable] = []
    not_repeatable: Text | None = None
