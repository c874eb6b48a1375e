"""Decisions and plans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .choice import Tuning, format_choice
from .dispatch import Dispatch, Operand, Program, View
from .index import Index
from .kernel import ExecutableConstant, Kernel, TargetRule
from .parameter import BoundParameter
from .payload_kind import PayloadFormat

Key = tuple[str, str, str]
"""Executable, variant and export of a dispatch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A checked rule, with its expectation and its finding."""

    name: str
    """Dotted, such as `target.backend`, `structure.loops`, `constraint`, `layout.a`."""
    passed: bool
    expected: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """An axis of the kernel's definition, bound to loops of the dispatch."""

    name: str
    loops: tuple[int, ...]
    """Loops of the core nest (of the store nest, for a kernel with no core), outermost first; empty: size 1."""
    sizes: tuple[Index, ...]

    @property
    def size(self) -> Index:
        """Product of the sizes."""
        from .index import product

        return product(self.sizes)


Dimension = tuple[tuple[Index, Index], ...]
"""(size, stride) of each loop that a dimension runs over, outermost first; none for a dimension of size one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Place of a definition's operand in the dispatch, in the definition's own coordinates."""

    name: str
    view: View
    """View of the dispatch's program."""
    start: Index
    """Elements from the operand's start to the one at the definition's coordinates 0, 0, …"""
    dimensions: tuple[Dimension, ...]
    """One for each dimension of the definition's operand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Match of a kernel's definition with a dispatch."""

    form: str
    """The function of the definition that matched; empty for a match by name."""
    axes: tuple[Axis, ...]
    program: Program | None
    """The dispatch's program, with its core's inputs in the order of the definition."""
    arguments: tuple[View, ...]
    """View of each operand of the definition, in its order, if the kernel takes plain operands (no prologue)."""
    placements: tuple[Placement, ...] = ()
    """Places of the definition's operands, in its order: all of them for a kernel without slots, only the arguments
    before an epilogue, none after a prologue."""
    specificity: int
    """Number of operations of the dispatch that the definition itself names: more specific kernels win."""
    parameters: tuple[BoundParameter, ...] = ()
    """Value of each parameter of the kernel, in the kernel's order."""
    fallback: tuple[str, ...] = ()
    """Constraints over dynamic axes, checked at run time with IREE's own code as the fallback."""
    laws: tuple[str, ...] = ()
    """Names of the laws by which definition and dispatch are one computation; empty if they are spelled alike."""
    inputs: tuple[tuple[str, int], ...] = ()
    """Behind a prologue slot: the node of the only reduction's expression that each argument is, by its name."""

    def input_of(self, name: str) -> int | None:
        """Return the node that is this argument; None if it is no argument of one reduction with a prologue."""
        return dict(self.inputs).get(name)

    def axis(self, name: str) -> Axis:
        """Return the axis of this name. Raises `KeyError`."""
        for axis in self.axes:
            if axis.name == name:
                return axis
        raise KeyError(name)

    def parameter(self, name: str) -> BoundParameter:
        """Return the parameter of this name, with its value. Raises `KeyError`."""
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        raise KeyError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Outcome of matching one kernel with one dispatch."""

    kernel: Kernel
    dispatch: Dispatch
    rules: tuple[Rule, ...]
    """Every rule checked, in order; the last one failed if the kernel was rejected."""
    match: Match | None

    @property
    def accepted(self) -> bool:
        """True if the kernel matches."""
        return self.match is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Substitution:
    """A dispatch and a kernel that replaces it."""

    dispatch: Dispatch
    kernel: Kernel
    match: Match
    rule: TargetRule | None = None
    """`[[target]]` of the kernel that it matches; it may test the device (`device`)."""
    tuning: Tuning = ()
    """Values for parameters of the generator that a plan chose; the generator decides on the others."""

    @property
    def choice(self) -> str:
        """The kernel with its tuning, as a plan names it."""
        return format_choice(self.kernel.name, self.tuning)

    @property
    def conditional(self) -> bool:
        """True if the kernel excludes some devices or sizes, which another kernel or IREE's code handles."""
        return bool(self.match.fallback or (self.rule and self.rule.device))

    @property
    def conditions(self) -> tuple[str, ...]:
        """Conditions under which it is used, for reports: tests of the device, then of the sizes."""
        return (*(str(test) for test in (self.rule.device if self.rule else ())), *self.match.fallback)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All substitutions, and every decision that led to them."""

    substitutions: tuple[Substitution, ...]
    """Substitutions in the order of the dispatches; several for one dispatch in the order in which they are tried."""
    decisions: tuple[Decision, ...]
    """Decisions per dispatch: one for each kernel of its backend."""
    dispatches: tuple[Dispatch, ...]
    verdicts: tuple[tuple[Key, str], ...] = ()
    """Findings of earlier compilations on dispatches with the kernels of the plan, in a few words each."""

    def verdict_on(self, dispatch: Dispatch) -> str:
        """Return the finding on a dispatch; empty if there is none."""
        return dict(self.verdicts).get(dispatch_key(dispatch), "")


def dispatch_key(dispatch: Dispatch) -> Key:
    """Return the key that identifies a dispatch in its module."""
    return dispatch.executable, dispatch.variant, dispatch.name


def substitution_names(substitutions: Sequence[Substitution]) -> list[str]:
    """Return a name for each: its dispatch's; if an earlier one has that name, with variant, kernel and
    architecture.
    """
    names: list[str] = []
    for one in substitutions:
        name = one.dispatch.name
        if one.kernel.payload.kind.rewrites_body:  # the last substitution of the dispatch keeps the plain name
            name += f" ({one.kernel.name})"
        more = (f" on {one.dispatch.variant}", f" ({one.kernel.name})", f" {one.rule.variant if one.rule else ''}")
        for part in more:
            name += part if name in names else ""
        while name in names:
            name += "'"
        names.append(name)
    return names


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One pointer that a canonical kernel receives."""

    name: str
    """`a` for an operand of the definition, `extra0`, … for further inputs of fused work."""
    operand: Operand
    view: View
    """The window it points into; the pointer is already at the window's first element."""
    written: bool
    read: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Input of a payload generator.

    The CPU function to generate is `void entry(ptr parameters…, i64 scalars…, values…, i64 workgroup_id_x, _y, _z)`,
    where the scalars are the values, in order, of `scalars` (sizes, offsets or strides that are only known at launch)
    and the values those of `values`.
    """

    entry: str
    substitution: Substitution
    parameters: tuple[Parameter, ...]
    scalars: tuple[Index, ...]
    scalar_names: tuple[str, ...] = ()
    """Names of the scalars for messages, if they have any (axes, strides, push constants)."""
    values: tuple[BoundParameter, ...] = ()
    """Scalar parameters of the definition that are passed as arguments, each in its `passed_type`: all of them to a
    payload that is not generated; to a generator those that are not constant."""

    @property
    def match(self) -> Match:
        """Match of the definition with the dispatch."""
        return self.substitution.match

    @property
    def program(self) -> Program:
        """Program of the dispatch."""
        assert self.substitution.match.program is not None
        return self.substitution.match.program

    @property
    def types(self) -> dict[str, str]:
        """Type of each variable of the manifest's `[types]`: `{"T": "f16", "A": "f32"}`."""
        return dict(self.substitution.kernel.types)

    @property
    def tuning(self) -> dict[str, int]:
        """Values that a plan chose for parameters of `[tune]`; the generator decides on those that are missing."""
        return dict(self.substitution.tuning)

    def parameter_of(self, view: View) -> int:
        """Position in `parameters` of the pointer to this view. Raises `KeyError`."""
        for at, parameter in enumerate(self.parameters):
            if parameter.view == view:
                return at
        raise KeyError(str(view))


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Code, ready to be verified and embedded."""

    format: PayloadFormat
    data: bytes
    entry: str
    workgroup_count: tuple[Index, Index, Index] | None
    """Over the dispatch's push constants; None: IREE's is kept."""
    workgroup_size: tuple[int, int, int] | None = None
    shared_memory_bytes: int = 0
    path: str = ""
    """Path at which IREE must find the data in a separate file (object files)."""
    summary: str = ""
    """Summary for reports, such as `6×16 tiles of 8-lane f32`."""
    objects: tuple[Path, ...] = ()
    """Files that are linked with the code."""
    constants: tuple[ExecutableConstant, ...] = ()
    """Constants that the device fills in when the module is loaded; values are numbers."""
    compilation_info: str = ""
    """Settings for IREE's own code."""
    frozen: tuple[tuple[int, int | float], ...] = ()
    """SPIR-V dialect: the value of each specialization constant that is known now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """Result of a generator that also decides its own launch geometry."""

    text: str
    """LLVM IR, or GLSL source."""
    workgroup_count: tuple[Index, Index, Index]
    workgroup_size: tuple[int, int, int] | None = None
    finished: bool = False
    """LLVM IR only: loops are already vectorised and unrolled, so LLVM's passes are skipped here; IREE runs its own
    when it links the code."""
    summary: str = ""
