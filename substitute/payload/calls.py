"""Descriptions of how a kernel's code is called, in the language of its author: C, LLVM IR, GLSL, PTX, Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..model.kernel import Kernel, OperandSpec
from ..model.parameter import passed_type
from ..model.payload_kind import Slot

C_TYPES = {
    "f64": "double",
    "f32": "float",
    "f16": "_Float16",
    "bf16": "__bf16",
    "i64": "int64_t",
    "i32": "int32_t",
    "i16": "int16_t",
    "i8": "int8_t",
    "i1": "uint8_t",
    "index": "int64_t",
}
"""C's name of each element type; what is missing is passed as bytes (`uint8_t`)."""
CUDA_TYPES = {**C_TYPES, "f16": "__half", "bf16": "__nv_bfloat16"}
PASSED = {"f32": "float", "f64": "double", "i32": "int32_t", "i64": "int64_t"}
"""C's name of each type in which parameters are passed."""
_LLVM = {"f32": "float", "f64": "double", "i32": "i32", "i64": "i64"}
LLVM = {
    "f64": "double",
    "f32": "float",
    "f16": "half",
    "bf16": "i16",
    "i64": "i64",
    "i32": "i32",
    "i16": "i16",
    "i8": "i8",
    "i1": "i1",
    "index": "i64",
    "pointer": "ptr",
}
"""LLVM's name of the type in which a slot's function takes or returns an element."""
_PTX = {"f32": ".f32", "f64": ".f64", "i32": ".u32", "i64": ".u64"}
_WORKGROUP = ("id_x", "id_y", "id_z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument of a kernel's function."""

    name: str
    kind: str
    """`operand`, `result`, `size` (an axis or a stride), `parameter` or `workgroup`."""
    type: str
    """Element type of what a pointer points to, or the type in which a number is passed."""
    meaning: str


def list_arguments(kernel: Kernel, *, workgroup: bool) -> list[Argument]:
    """Return the arguments of a canonical or raw function in order; with `workgroup`, the workgroup's number last."""
    ids = [Argument(name=n, kind="workgroup", type="i64", meaning="number of the workgroup") for n in _WORKGROUP]
    if kernel.abi == "raw":
        return [*_raw_arguments(kernel), *(ids if workgroup else [])]
    found = []
    for spec, (element, is_result) in zip(kernel.operands, describe_operands(kernel), strict=True):
        found.append(
            Argument(
                name=spec.name,
                kind="result" if is_result else "operand",
                type=element,
                meaning=f"[{', '.join(spec.axes)}], {_placement(kernel, spec, is_result)}",
            )
        )
    axes = dict.fromkeys(axis for spec in kernel.operands for axis in spec.axes)
    found += [Argument(name=axis, kind="size", type="i64", meaning="size of the axis") for axis in axes]
    for spec in kernel.operands:
        if spec.strided and kernel.payload.kind.strides == "passed":
            found += [
                Argument(name=f"stride_{spec.name}_{a}", kind="size", type="i64", meaning="in elements")
                for a in spec.axes
            ]
    for parameter in kernel.parameters:
        type_ = passed_type(parameter.type)
        found.append(
            Argument(name=parameter.name, kind="parameter", type=type_, meaning=f"parameter, {parameter.type}")
        )
    return [*found, *(ids if workgroup else [])]


def _placement(kernel: Kernel, spec: OperandSpec, is_result: bool) -> str:
    """Return how the elements of an operand are reached from its pointer."""
    if has_slot(kernel, is_result):
        return f"opaque: for {'store' if is_result else 'load'}_{spec.name}"
    return describe_strides(spec)


def describe_strides(spec: OperandSpec) -> str:
    """Return the layouts of an operand that a kernel takes."""
    if spec.rows:
        return f"any strides, 1 along {spec.axes[-1]}" if spec.axes else "any strides"
    return "any strides" if spec.strided else "row-major without gaps"


def has_slot(kernel: Kernel, is_result: bool) -> bool:
    """Return True if an operand's pointer is only for the function of its slot, in LLVM IR and C."""
    slot: Slot = "epilogue" if is_result else "prologue"
    return slot in kernel.slots and kernel.payload.kind.arguments_for(kernel) == "views"


def _raw_arguments(kernel: Kernel) -> Iterator[Argument]:
    for number in range(kernel.bindings or 0):
        yield Argument(name=f"binding{number}", kind="result", type="", meaning="start of the binding")
    for number in range(kernel.constants or 0):
        yield Argument(name=f"constant{number}", kind="size", type="i64", meaning="push constant")


def describe_operands(kernel: Kernel) -> list[tuple[str, bool]]:
    """Return element type and True for a result, for each operand; an empty type where the definition's forms differ.

    A kernel without a definition says neither.
    """
    found = []
    for number in range(len(kernel.operands)):
        operands = [form.program.operands[number] for form in kernel.forms]
        types = {operand.type.element for operand in operands}
        found.append((types.pop() if len(types) == 1 else "", any(o.kind == "result" for o in operands)))
    return found


def c_prototype(kernel: Kernel, *, types: dict[str, str] = C_TYPES, head: str = "void", workgroup: bool = True) -> str:
    """Return the C function that the code has to define."""
    lines = []
    for one in list_arguments(kernel, workgroup=workgroup):
        if one.kind in ("operand", "result"):
            type_ = types.get(one.type, "uint8_t") if one.type else "void"
            text = f"{'' if one.kind == 'result' else 'const '}{type_} *{one.name}"
        else:
            text = f"{PASSED[one.type]} {one.name}"
        lines.append((text, one.meaning))
    helpers = [f"{result} {name}({', '.join(given)});" for result, name, given in _slot_functions(kernel, types)]
    return "\n".join([*helpers, _layout(f"{head} {kernel.payload.entry}(", lines, ");", comment="//")])


def _slot_functions(kernel: Kernel, types: dict[str, str]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield result type, name and parameters of each function of a slot, in the language of `types`."""
    pointer, index, nothing = types.get("pointer", "const void *"), types["i64"], "void"
    for spec, (element, is_result) in zip(kernel.operands, describe_operands(kernel), strict=True):
        if has_slot(kernel, is_result):
            given, type_ = [pointer, *[index] * len(spec.axes)], types.get(element, "…")
            yield (nothing, f"store_{spec.name}", [*given, type_]) if is_result else (type_, f"load_{spec.name}", given)


def cuda_prototype(kernel: Kernel) -> str:
    """Return the CUDA C++ function that the code has to define."""
    return c_prototype(kernel, types=CUDA_TYPES, head='extern "C" __global__ void', workgroup=False)


def llvm_prototype(kernel: Kernel) -> str:
    """Return the LLVM IR function that the code has to define."""
    lines = [(f"{llvm_type(a)} %{a.name}", a.meaning) for a in list_arguments(kernel, workgroup=True)]
    helpers = [f"declare {result} @{name}({', '.join(given)})" for result, name, given in _slot_functions(kernel, LLVM)]
    return "\n".join([*helpers, _layout(f"define void @{kernel.payload.entry}(", lines, ")", comment=";")])


def llvm_dialect_prototype(kernel: Kernel) -> str:
    """Return the function in MLIR's LLVM dialect that the code has to define."""
    if kernel.abi == "raw":
        if any(target.backend == "llvm-cpu" for target in kernel.targets):
            return f"llvm.func @{kernel.payload.entry}(!llvm.ptr, !llvm.ptr, !llvm.ptr) -> i32"
        pointers = ["!llvm.ptr<1>"] * (kernel.bindings or 0) + ["i32"] * (kernel.constants or 0)
        return f"llvm.func @{kernel.payload.entry}({', '.join(pointers)})"
    names = {"float": "f32", "double": "f64", "ptr": "!llvm.ptr"}
    arguments = list_arguments(kernel, workgroup=True)
    lines = [(f"%{a.name}: {names.get(llvm_type(a), llvm_type(a))}", a.meaning) for a in arguments]
    return _layout(f"llvm.func @{kernel.payload.entry}(", lines, ")", comment="//")


def llvm_type(argument: Argument) -> str:
    """Return the type in which LLVM IR passes an argument."""
    return "ptr" if argument.kind in ("operand", "result") else _LLVM[argument.type]


def ptx_prototype(kernel: Kernel) -> str:
    """Return the PTX entry that the code has to define."""
    lines = []
    for one in list_arguments(kernel, workgroup=False):
        pointer = one.kind in ("operand", "result")
        width = ".u32" if kernel.abi == "raw" else ".u64"
        type_ = ".u64" if pointer else width if one.kind == "size" else _PTX[one.type]
        also = " (.u32 is taken too)" if one.kind == "size" and kernel.abi == "canonical" else ""
        lines.append((f".param {type_} {one.name}", f"{f'pointer: {one.meaning}' if pointer else one.meaning}{also}"))
    return _layout(f".visible .entry {kernel.payload.entry}(", lines, ")", comment="//")


def glsl_helpers(kernel: Kernel) -> str:
    """Return what the toolkit declares before a shader's `void main()`."""
    from ..codegen.glsl.operations import GLSL_TYPE

    lines = []
    for axis in dict.fromkeys(axis for spec in kernel.operands for axis in spec.axes):
        lines.append((f"int {axis};", "size of the axis: a constant where the model fixes it"))
    for parameter in kernel.parameters:
        lines.append((f"{GLSL_TYPE[parameter.type]} {parameter.name};", f"parameter, {parameter.type}"))
    results = [s.name for s, (_, r) in zip(kernel.operands, describe_operands(kernel), strict=True) if r]
    for spec, (element, is_result) in zip(kernel.operands, describe_operands(kernel), strict=True):
        type_ = GLSL_TYPE.get(element, f"/* no GLSL type for {element or 'several types'} */")
        where = ", ".join(f"int {axis.lower()}" for axis in spec.axes)
        if is_result:
            value = f"{where}, {type_} value" if where else f"{type_} value"
            fused = " through the work that IREE fused" if "epilogue" in kernel.slots else ""
            lines.append((f"void store_{spec.name}({value});", f"stores one element of {spec.name}{fused}"))
        else:
            strides = "" if spec.strided else ", row-major without gaps"
            lines.append((f"{type_} load_{spec.name}({where});", f"one element of {spec.name}, {element}{strides}"))
    if len(results) == 1:
        lines.append((f"#define epilogue store_{results[0]}", "another name"))
    if kernel.launch.workgroup_size is not None:
        x, y, z = kernel.launch.workgroup_size
        lines.append((f"layout(local_size_x = {x}, local_size_y = {y}, local_size_z = {z}) in;", "from [launch]"))
    width = max(len(text) for text, _ in lines)
    return "\n".join([*(f"{text:<{width}}  // {meaning}" for text, meaning in lines), "void main();  // yours"])


def shader_interface(kernel: Kernel) -> str:
    """Return the descriptors and specialization constants of a finished shader."""
    lines = [f"entry point {kernel.payload.entry or 'main'}"]
    if kernel.abi == "raw":
        lines += [f"set 0, binding {n}: binding {n} of the dispatch" for n in range(kernel.bindings or 0)]
        lines += [f"push constant {n}: 32 bits" for n in range(kernel.constants or 0)]
    else:
        for number, (spec, (element, is_result)) in enumerate(
            zip(kernel.operands, describe_operands(kernel), strict=True)
        ):
            access = "written" if is_result else "read"
            lines.append(f"set 0, binding {number}: {spec.name}[{', '.join(spec.axes)}] of {element}, {access}")
    lines += [f"specialization constant {n}: {what}" for n, what in kernel.payload.spec_constants]
    lines += [f"specialization constant {n}: {one.name}" for n, one in enumerate(kernel.executable_constants)]
    return "\n".join(lines)


def generator_request(kernel: Kernel, *, returns: str, function: bool) -> str:
    """Return what `generate(request)` of a Python file finds in its request; with `function`, also what it fills."""
    lines = ["can_generate(program: Program) -> str     # empty, or why there is no code; may be left out"]
    lines.append(f"generate(request: Request) -> {returns}")
    for spec, (element, is_result) in zip(kernel.operands, describe_operands(kernel), strict=True):
        strides = "strides are in its view" if spec.strided else "row-major without gaps"
        access = "written" if is_result else "read"
        type_ = f" of {element}" if element else ""
        lines.append(f"  request.parameters: {spec.name}[{', '.join(spec.axes)}]{type_}, {access}, {strides}")
    if not kernel.operands:
        lines.append("  request.parameters: one pointer for each window of the dispatch's program")
    if kernel.slots:
        lines.append("  request.parameters: extra0, …: what fused work reads or writes besides")
    for axis in dict.fromkeys(axis for spec in kernel.operands for axis in spec.axes):
        lines.append(f'  request.match.axis("{axis}").size: int, or an expression over push constants')
    for parameter in kernel.parameters:
        lines.append(f'  request.match.parameter("{parameter.name}").value.constant: {parameter.type}, None at launch')
    lines.append("  request.scalars: sizes, offsets and strides that only a launch gives; request.program: the loops")
    if function:
        lines.append(
            f"fills: void {kernel.payload.entry}(ptr for each of request.parameters, i64 for each of request.scalars, "
            "request.values, i64 id_x, i64 id_y, i64 id_z)"
        )
    return "\n".join(lines)


def mlir_function(kernel: Kernel) -> str:
    """Return the function on tensors that IREE compiles in place of the dispatch's computation."""
    arguments: list[str] = []
    results: list[str] = []
    for spec, (element, is_result) in zip(kernel.operands, describe_operands(kernel), strict=True):
        type_ = f"tensor<{''.join('?x' for _ in spec.axes)}{element or '…'}>"
        (results if is_result else arguments).append(type_ if is_result else f"%{spec.name}: {type_}")
    arguments += [f"%{p.name}: {p.type}" for p in kernel.parameters]
    returned = results[0] if len(results) == 1 else f"({', '.join(results)})"
    return f"func.func @{kernel.payload.entry}({', '.join(arguments)}) -> {returned}"


PYTHON_RULE = """\
applies(site) -> str                  # empty, or why there is nothing to do; may be left out
rewrite(site) or rewrite(site, match)  # changes the body in place, through iree.compiler.ir"""


def generic_call(kernel: Kernel) -> str:
    """Return the arguments of a kind that says no more than its facts, such as one of another package."""
    arguments = list_arguments(kernel, workgroup=False) if kernel.payload.kind.arguments == "operands" else []
    lines = [f"{a.name}: {a.kind}, {a.type or 'bytes'}, {a.meaning}" for a in arguments]
    return "\n".join(lines) or "no arguments of its own"


def _layout(head: str, arguments: Sequence[tuple[str, str]], tail: str, *, comment: str) -> str:
    """Return one argument for each line, with its meaning as a comment."""
    texts = [f"    {text}{',' if number + 1 < len(arguments) else ''}" for number, (text, _) in enumerate(arguments)]
    width = max((len(text) for text in texts), default=0)
    lines = [f"{text:<{width}}  {comment} {meaning}" for text, (_, meaning) in zip(texts, arguments, strict=True)]
    return "\n".join([head, *lines, tail])
