"""The schema of `kernel.toml`, version 1: types and shapes of single values. Checks across values are in `manifest`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from ..model.accuracy import Relative
from ..model.kernel import Abi
from ..model.laws import Mode
from ..model.numerics import Demand
from ..model.payload_kind import Slot
from ..payload.kinds import find_kind, list_kinds

SCHEMA_VERSION = 1

KernelName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.\-]*$", max_length=100)]
AxisName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
ENTRY = r"^[A-Za-z_$.{][A-Za-z0-9_$.{}]*$"
EntryName = Annotated[str, Field(pattern=ENTRY)]
FeatureName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$")]
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]
ThreadCount = Annotated[int, Field(ge=1)]
Triple = Field(min_length=3, max_length=3)

PATTERNS: dict[str, str] = {
    r"^[A-Za-z][A-Za-z0-9_.\-]*$": "a name of letters, digits, `_`, `-` and `.` that starts with a letter",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "a name of letters, digits and `_`",
    ENTRY: "a symbol of letters, digits, `_`, `$` and `.`",
    r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$": "a CPU feature's name without `+`, such as `avx2`",
}
"""Meaning of each pattern above, for messages."""


def _check_kind(name: str) -> str:
    try:
        find_kind(name)
    except KeyError:
        names = ", ".join(f"'{kind}'" for kind in list_kinds())
        raise PydanticCustomError("literal_error", "not a kind of payload", {"expected": names}) from None
    return name


CHECK_KIND = AfterValidator(_check_kind)
KindName = Annotated[str, CHECK_KIND]


def _long_form(value: object) -> object:
    return {"axes": value} if isinstance(value, list) else value


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class OperandTable(_Table):
    """One entry of `[operands]`; a bare list of axes is its short form."""

    axes: list[AxisName]
    """The axis of each dimension, outermost first; the same axis in two operands means the same size."""
    strided: bool = False
    """`true`: the kernel reads the strides (generators and GLSL), or takes one stride per dimension as arguments.
    `false`: row-major without gaps."""
    strides: Literal["any", "rows"] | None = None
    """`"any"` is `strided = true`. `"rows"`: the same, but the elements along the last axis lie side by side, so that
    they can be loaded as vectors; that axis's stride is 1."""


class TargetTable(_Table):
    """One `[[target]]`."""

    backend: Text
    """IREE's name of the backend: `llvm-cpu`, `vulkan-spirv`, `cuda`, …"""
    format: Text | None = None
    """The format of the executable, such as `embedded-elf-x86_64`; without it any."""
    architectures: list[Text] = []
    """Any of these: the first part of the target triple (`x86_64`), or an architecture (`sm_80`)."""
    features: list[FeatureName] = []
    """CPU features that must all be on, such as `avx2`."""
    config: dict[str, Any] = {}
    """Keys of the target's configuration. A plain value (`ukernels = false`), one with wildcards (`"x86_64-*"`), a
    list of which one must hold, a test (`{ min = 16 }`, `{ max = 64 }`, `{ regex = "…" }`, `{ any_of = […] }`), or
    a table of keys inside the value (arrays are indexed by `"0"`, `"1"`, …). A test on an array, or on words joined
    by `|`, holds if it holds for one of them."""
    device: dict[str, str | bool | int] = {}
    """Questions to the device when the module is loaded: `"category::key"` to `true`, `false`, an integer or a
    comparison such as `">= 9"`. All must hold; see
    [Several kernels for one dispatch](kernels.md#several-kernels-for-one-dispatch)."""
    variant: Text | None = None
    """The architecture that the payload needs where it is not the module's (`sm_90a` beside `sm_80`); needs `device`.
    CUDA only."""


def _conditions(value: object) -> object:
    return (
        {"conditions": [value]}
        if isinstance(value, str)
        else {"conditions": value}
        if isinstance(value, list)
        else value
    )


class ParameterTable(_Table):
    """One entry of `[parameters]`; a condition, or a list of them, is its short form."""

    conditions: list[Text] = []
    """Conditions over parameters and axes: numbers, `+ - * / // % **`, `sqrt abs min max exp log`, comparisons,
    `and or not`. A floating-point parameter equals what it differs from by one unit in its last place."""


class DefinitionTable(_Table):
    """`[definition]`."""

    file: Text = "definition.mlir"
    """The MLIR file with the definition; it may be that of the kernel in a neighbouring folder."""


class PayloadTable(_Table):
    """`[payload]`."""

    kind: KindName
    """Kind of code; see [What the code is called with](kernels.md#what-the-code-is-called-with)."""
    file: Text | None = None
    """The file with the code; without it the usual name for the kind."""
    entry: EntryName | None = None
    """The name of the function in the file; the toolkit renames it to what the export needs."""
    spec_constants: dict[Annotated[str, Field(pattern=r"^\d{1,9}$")], Text] = {}
    """SPIR-V only: SpecId to an axis or to `offset.OPERAND` (in elements), `{ 0 = "N", 1 = "offset.a" }`."""
    objects: list[Text] = []
    """Files linked beside the code: `.o`, `.a`, `.bc` for llvm-cpu, `.bc` for cuda. They are checked for machine,
    undefined symbols and position independence."""


class ExecutableConstantTable(_Table):
    """One `[[executable_constant]]`."""

    name: KernelName
    """A name for messages."""
    value: Text | int | None = None
    """A number, or an expression over static axes."""
    query: Text | None = None
    """`"category::key"`: the device is asked when the module is loaded."""
    default: int | None = None
    """The value on a device that does not know the key."""


class AccuracyTable(_Table):
    """`[accuracy]`: for algorithms that round otherwise than the definition says, such as Winograd's and Strassen's."""

    max_error: Text
    """How far results may be from the exact ones: `"4·γ_K"` is four times what the roundings of a sum over the axis
    `K` may cost, `"4·γ"` four times what all roundings of the definition may cost. Also spelled `"4*gamma_K"`."""
    relative_to: Relative = "element"
    """The numbers whose roundings count. `"element"`: the terms of the element itself. `"operands"`: the largest
    elements of all operands, for algorithms that add up neighbours before they multiply; such kernels are not tried
    with infinities and NaN, which spread to neighbours."""
    reason: Text
    """Why the kernel needs it. Stands in each verdict."""


class LaunchTable(_Table):
    """`[launch]`."""

    workgroup_size: Annotated[list[ThreadCount], Triple] | None = None
    """Threads of a workgroup: x, y, z."""
    workgroup_count: Annotated[list[Text], Triple] | None = None
    """Workgroups in x, y, z: expressions over axes. Generators may return it instead."""
    shared_memory_bytes: Count = 0
    """Dynamic shared memory of a workgroup, in bytes."""
    compilation_info: Text | None = None
    """`kind = "iree"` only: `#iree_codegen.compilation_info<…>` for the body's main operation, so IREE's own code with
    other tiles. Pipelines are spelled as in IREE 3.12 and later, also for 3.11."""


class ManifestTable(_Table):
    """The whole file."""

    version: Annotated[Literal[1], Field(alias="schema")]
    """The version of this schema: `1`."""
    name: KernelName
    """A unique name."""
    summary: str = ""
    """One-line description."""
    license: Text | None = None
    """Terms under which the kernel may be used, as an SPDX expression: `"Apache-2.0 WITH LLVM-exception"`."""
    authors: list[Text] = []
    """Authors: names, or `"Name <address>"`."""
    abi: Abi = "canonical"
    """`"canonical"`: one pointer per operand, then sizes. `"raw"`: IREE's own layout, the start of each binding, then
    each push constant."""
    slots: list[Slot] = []
    """Places where fused element-wise work may be lowered into the kernel: `"epilogue"`, `"prologue"`. Generators,
    GLSL, LLVM IR and C have functions for it ([how](kernels.md#slots-of-code-that-is-no-generator)); PTX
    [marks the places](../substitute/payload/ptx/README.md).
    """
    constraints: list[Text] = []
    """Conditions over axes: integers, `+ - * // %`, `min max ceildiv`, comparisons, `and or not`."""
    priority: int = 0
    """Decides between kernels that fit equally; a person's own kernels come before built-in ones anyway, and more
    specific ones before general ones. A tie is an error."""
    groups: list[AxisName] = []
    """Axes that stand for any number of loops, none included (`M` for the positions of a 2-D convolution)."""
    dispatches: list[Text] = []
    """Regular expressions over dispatch names; without them any name."""
    kinds: list[Text] = []
    """Kinds of dispatch (`elementwise`, `copy`, …), for generators that take all that they can."""
    bindings: Count | None = None
    """Raw ABI only: the number of bindings that the payload expects."""
    constants: Count | None = None
    """Raw ABI only: the number of push constants that the payload expects."""
    operands: dict[AxisName, Annotated[OperandTable, BeforeValidator(_long_form)]] = {}
    """The definition's arguments, then its results. A bare list is the short form of `axes`: `a = ["M", "K"]`."""
    types: dict[AxisName, Annotated[list[Text], Field(min_length=1)]] = {}
    """Element types as variables, each with the types that it may be, which may be earlier variables:
    `T = ["f32", "f16"]`, `A = ["T", "f32"]`. The definition has `!T = f32` in a line of its own and `!T` in place of
    the type. See [Element types](kernels.md#element-types)."""
    parameters: dict[AxisName, Annotated[ParameterTable, BeforeValidator(_conditions)]] = {}
    """The definition's scalar arguments, by the names that they have there, as far as there is something to say of
    them: `eps = "eps > 0"`. See [Parameters](kernels.md#parameters)."""
    definition: DefinitionTable = DefinitionTable()
    """Place of the definition."""
    target: Annotated[list[TargetTable], Field(min_length=1)]
    """The targets that the kernel is for; at least one."""
    payload: PayloadTable
    """The code."""
    launch: LaunchTable = LaunchTable()
    """The launch geometry."""
    executable_constant: list[ExecutableConstantTable] = []
    """A constant that is filled in when the module is loaded; number *i* is SpecId *i*. vulkan-spirv only (kinds
    `glsl`, `glsl-generator`, `spirv`, `spirv-dialect`)."""
    tune: dict[AxisName, Annotated[list[int], Field(min_length=1)]] = {}
    """Generators only: parameters of the code that `iree-substitute tune` may choose, each with its values:
    `rows = [4, 6, 8]`. The generator finds the chosen ones in `request.tuning`; it decides on the others itself, and
    raises `PayloadError` for values that do not go together. See
    [Parameters to tune](kernels.md#parameters-to-tune)."""
    laws: Mode = "all"
    """Spellings that count as the definition: `"all"` that the laws of arithmetic make equal (sums and products in any
    order, `x / sqrt(v)` for `x * rsqrt(v)`, …), whose results may differ in the last places; or those that are
    `"exact"`, with the same bits. See [How a definition matches](kernels.md#how-a-definition-matches)."""
    keeps: list[Demand] = []
    """Demands of the compiler's flags on numbers that the code meets in any case, so that the kernel is taken under
    these flags: `"order"` (float sums and products in the order of the loops), `"roundings"` (each step of a sum
    rounded to its type), `"flushed-denormals"`, `"ieee-division"`, `"ieee-sqrt"`, `"separate-multiply-add"`.
    """
    not_repeatable: Text | None = None
    """Reason why two launches may give different bits (`"atomics in any order"`); the validation then does not ask for
    equal ones.
    """
    accuracy: AccuracyTable | None = None
    """The kernel's own bound of its errors, which the validation takes in place of the one that follows from the
    definition; results for small integers need not be exact then. Each verdict says so."""
    alignment: Literal[1, 2, 4, 8, 16, 32, 64] = 1
    """Bytes of which the address of every operand has to be a multiple. A dispatch in which an operand begins elsewhere
    (in a slice, or behind an offset that is not known) is refused. The validation puts operands at no larger multiples
    than this and their elements' sizes."""
