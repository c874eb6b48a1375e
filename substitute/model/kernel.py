"""A kernel as its folder describes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .dispatch import Program

PayloadKind = Literal["llvm-generator", "llvm-ir", "llvm-bitcode", "object", "spirv", "glsl", "glsl-generator", "ptx"]
PAYLOAD_KINDS: tuple[PayloadKind, ...] = (
    "llvm-generator", "llvm-ir", "llvm-bitcode", "object", "spirv", "glsl", "glsl-generator", "ptx",
)  # fmt: skip
Abi = Literal["canonical", "raw"]
Slot = Literal["prologue", "epilogue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRule:
    """Which variants a kernel is for. An empty field accepts everything."""

    backend: str
    format: str = ""
    architectures: tuple[str, ...] = ()
    """Any of these: the first part of the target triple (`x86_64`), a CUDA or Vulkan architecture (`sm_80`)."""
    features: tuple[str, ...] = ()
    """All of these CPU features have to be on."""
    config: tuple[tuple[str, str], ...] = ()
    """Keys of the target's configuration and the value each must have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperandSpec:
    """One argument or result of the definition."""

    name: str
    axes: tuple[str, ...]
    """The axis of each dimension."""
    strided: bool = False
    """True: any strides are fine (a generator or GLSL kernel reads them); False: row-major and contiguous."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A condition over axes, such as `N % 16 == 0`."""

    text: str
    axes: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One function of `definition.mlir`: one computation that the kernel can take."""

    name: str
    program: Program
    """Sizes of `?` axes are symbols with the axis's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Launch geometry; expressions over axes for the count."""

    workgroup_size: tuple[int, int, int] | None = None
    workgroup_count: tuple[str, str, str] | None = None
    """None: the payload's generator says."""
    shared_memory_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadSpec:
    """Where the code is."""

    kind: PayloadKind
    path: Path
    entry: str
    """The payload's own name for its entry point; the toolkit renames it to what the export needs."""
    spec_constants: tuple[tuple[int, str], ...] = ()
    """SPIR-V only: SpecId → what to freeze it to: an axis, or `offset.OPERAND` (in elements)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A kernel that may replace dispatches."""

    name: str
    folder: Path
    summary: str
    abi: Abi
    targets: tuple[TargetRule, ...]
    forms: tuple[Form, ...]
    """Empty for a kernel that is selected by name alone."""
    operands: tuple[OperandSpec, ...]
    """The definition's arguments, then its results."""
    groups: frozenset[str] = frozenset()
    """Axes that may stand for any number of loops, none included."""
    slots: frozenset[Slot] = frozenset()
    """Where element-wise work that IREE fused may be lowered into the kernel."""
    constraints: tuple[Constraint, ...] = ()
    dispatches: tuple[str, ...] = ()
    """Regular expressions over dispatch names; empty: any."""
    kinds: tuple[str, ...] = ()
    """Kinds of dispatch (`elementwise`, `copy`, …), for a generator that takes all that it can; empty: any."""
    payload: PayloadSpec
    launch: Launch
    priority: int = 0
    builtin: bool = False
    """True for those that come with the toolkit: a person's own kernels go first."""
    bindings: int | None = None
    """Raw ABI: how many bindings the payload expects."""
    constants: int | None = None
    """Raw ABI: how many push constants the payload expects."""
