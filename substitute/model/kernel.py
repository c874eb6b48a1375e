"""A kernel as its folder describes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .accuracy import Accuracy
from .dispatch import Program
from .laws import Mode
from .numerics import Demand
from .parameter import ScalarParameter
from .payload_kind import PayloadKind, Slot

Abi = Literal["canonical", "raw"]


Relation = Literal["==", "!=", "<", "<=", ">", ">="]
RELATIONS: tuple[Relation, ...] = ("==", "!=", "<=", ">=", "<", ">")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTest:
    """A test of the device when the module is loaded: `cuda.device::compute_capability_major >= 9`.

    On a device that does not know the key it is false, whatever the relation.
    """

    category: str
    key: str
    relation: Relation
    value: int

    def __str__(self) -> str:
        return f"{self.category}::{self.key} {self.relation} {self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigTest:
    """Test of one key of a target's configuration that is not a plain value."""

    path: tuple[str, ...]
    """The key, then the keys inside of its value: `("iree_codegen.target_info", "wgp", "max_thread_count…")`."""
    any_of: tuple[str, ...] = ()
    """Values, one of which must be present; `*` and `?` stand for any characters."""
    regex: str = ""
    """A regular expression that the whole value has to match; empty: none."""
    minimum: int | None = None
    maximum: int | None = None

    def __str__(self) -> str:
        parts = [" or ".join(self.any_of)] if self.any_of else []
        parts += [f"something that matches {self.regex}"] if self.regex else []
        parts += [f"at least {self.minimum}"] if self.minimum is not None else []
        parts += [f"at most {self.maximum}"] if self.maximum is not None else []
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutableConstant:
    """A constant that the device fills in when the module is loaded (SpecId 0, 1, … in order, on Vulkan)."""

    name: str
    value: str = ""
    """A number or an expression over axes; empty if the device is queried."""
    category: str = ""
    key: str = ""
    default: int = 0
    """Value of the constant on a device that does not know the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRule:
    """Rule for the variants that a kernel is for. An empty field accepts everything."""

    backend: str
    format: str = ""
    architectures: tuple[str, ...] = ()
    """Any of these: the first part of the target triple (`x86_64`), a CUDA or Vulkan architecture (`sm_80`)."""
    features: tuple[str, ...] = ()
    """All of these CPU features have to be on."""
    config: tuple[tuple[str, str], ...] = ()
    """Keys of the target's configuration and their required values."""
    config_tests: tuple[ConfigTest, ...] = ()
    """Other tests of keys of the configuration."""
    device: tuple[DeviceTest, ...] = ()
    """Tests of the device when the module is loaded; on a device that fails, the next kernel or IREE's code runs."""
    variant: str = ""
    """Architecture that the payload is for, if it is not the module's (`sm_90a` instead of IREE's `sm_80`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperandSpec:
    """One argument or result of the definition."""

    name: str
    axes: tuple[str, ...]
    """The axis of each dimension."""
    strided: bool = False
    """True: any strides are accepted (a generator or GLSL kernel reads them); False: row-major and contiguous."""
    rows: bool = False
    """True, with `strided`: the elements along the last axis lie side by side."""


def drop_parameters(
    operands: tuple[OperandSpec, ...], parameters: tuple[ScalarParameter, ...]
) -> tuple[OperandSpec, ...]:
    """Return the operands that are tensors: a manifest may also list a scalar argument, as one without axes."""
    names = {parameter.name for parameter in parameters}
    return tuple(operand for operand in operands if operand.axes or operand.name not in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A condition over axes, such as `N % 16 == 0`."""

    text: str
    axes: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition over parameters and axes, such as `scale == 1 / sqrt(D)`."""

    text: str
    names: frozenset[str]
    """Parameters and axes that it mentions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One function of `definition.mlir`: a computation that the kernel can take."""

    name: str
    program: Program
    """Sizes of `?` axes are symbols with the axis's name."""
    parameters: tuple[ScalarParameter, ...] = ()
    """Scalar arguments in the function's order; every form of a kernel has the same names and types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Launch geometry; expressions over axes for the count."""

    workgroup_size: tuple[int, int, int] | None = None
    workgroup_count: tuple[str, str, str] | None = None
    """Workgroup count as expressions; None: the payload's generator decides."""
    shared_memory_bytes: int = 0
    compilation_info: str = ""
    """`kind = "iree"` only: `#iree_codegen.compilation_info<…>` for the body's main operation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadSpec:
    """Source of the code."""

    kind: PayloadKind
    path: Path
    entry: str
    """The payload's own name for its entry point; the toolkit renames it to what the export needs."""
    spec_constants: tuple[tuple[int, str], ...] = ()
    """SPIR-V only: SpecId → value to freeze it to: an axis, or `offset.OPERAND` (in elements)."""
    objects: tuple[Path, ...] = ()
    """Files (`.o`, `.a`, `.bc`) that are linked with the code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A kernel that may replace dispatches."""

    name: str
    folder: Path
    summary: str
    abi: Abi
    targets: tuple[TargetRule, ...]
    forms: tuple[Form, ...]
    """Forms of the definition; empty for a kernel that is selected by name alone."""
    operands: tuple[OperandSpec, ...]
    """The definition's arguments, then its results."""
    groups: frozenset[str] = frozenset()
    """Axes that may stand for any number of loops, none included."""
    slots: frozenset[Slot] = frozenset()
    """Places where element-wise work that IREE fused may be lowered into the kernel."""
    constraints: tuple[Constraint, ...] = ()
    conditions: tuple[Condition, ...] = ()
    """Conditions over parameters (and axes), from `[parameters]`."""
    dispatches: tuple[str, ...] = ()
    """Regular expressions over dispatch names; empty: any."""
    kinds: tuple[str, ...] = ()
    """Kinds of dispatch (`elementwise`, `copy`, …), for a generator that takes all that it can; empty: any."""
    payload: PayloadSpec
    launch: Launch
    priority: int = 0
    builtin: bool = False
    """True for the toolkit's own kernels, which rank after a user's."""
    not_repeatable: str = ""
    """Reason why two launches may give other bits (`atomics add in any order`); empty: they may not."""
    accuracy: Accuracy | None = None
    """The kernel's own bound of its errors; None: the one that follows from its definition."""
    laws: Mode = "all"
    """Laws by which a dispatch may equal the definition."""
    keeps: frozenset[Demand] = frozenset()
    """Demands of the compiler's flags on numerics that this kernel's code meets in any case."""
    alignment: int = 1
    """Bytes of which the address of every operand has to be a multiple, beside its element's own size."""
    bindings: int | None = None
    """Raw ABI: number of bindings that the payload expects."""
    constants: int | None = None
    """Raw ABI: number of push constants that the payload expects."""
    executable_constants: tuple[ExecutableConstant, ...] = ()
    """Constants that the device fills in when the module is loaded."""

    tune: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Parameters of a generator that `tune` may choose, each with the values that it may have."""
    license: str = ""
    """Terms of use, as an SPDX expression; empty if the manifest has none."""
    authors: tuple[str, ...] = ()

    family: str = ""
    """Name in the manifest, if `[types]` defines several kernels; empty: `name`."""
    types: tuple[tuple[str, str], ...] = ()
    """Type of each variable of `[types]`."""

    @property
    def parameters(self) -> tuple[ScalarParameter, ...]:
        """Parameters, in the order in which code gets them: that of the first form."""
        return self.forms[0].parameters if self.forms else ()
