"""MLIR text in a final dialect (LLVM, SPIR-V): checked against the dispatch before it becomes the body."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from ..errors import PayloadError
from ..model.payload_kind import PayloadFormat
from ..model.plan import Request

if TYPE_CHECKING:
    from iree.compiler import ir


@cache
def _context() -> ir.Context:
    """Return a context that all payloads share: creating one takes longer than parsing a payload."""
    from iree.compiler import ir

    return ir.Context()


def check_dialect(text: str, request: Request, where: str, format_: PayloadFormat) -> None:
    """Check MLIR text in the LLVM or the SPIR-V dialect against the dispatch. Raises `PayloadError`."""
    from iree.compiler import ir

    with _context(), ir.Location.unknown():
        module = parse_mlir(text, where)
        if format_ is PayloadFormat.LLVM_DIALECT:
            _check_llvm(module.operation, request, where)
        else:
            _check_spirv(spirv_operations(module.operation), request, where)


def parse_mlir(text: str, where: str) -> ir.Module:
    """Return the module, in the current context. Raises `PayloadError` with the line."""
    from iree.compiler import ir

    try:
        return ir.Module.parse(text)
    except ir.MLIRError as error:
        first = error.error_diagnostics[0] if error.error_diagnostics else None
        place = str(first.location).rpartition('"-"')[2].rstrip(")") if first else ""
        raise PayloadError(
            "the payload is not valid MLIR",
            where=f"{where}{place}",
            expected="MLIR of the released compiler",
            found=first.message if first else str(error),
            next_step="check it with iree-opt",
        ) from None


def operations(module: ir.Operation) -> list[ir.Operation]:
    """Return the operations directly inside."""
    return [op.operation for region in module.regions for block in region.blocks for op in block.operations]


def name_of(op: ir.Operation) -> str:
    """Return the symbol that an operation defines, or an empty text."""
    from iree.compiler import ir

    return str(ir.StringAttr(op.attributes["sym_name"]).value) if "sym_name" in op.attributes else ""


def spirv_operations(module: ir.Operation) -> list[ir.Operation]:
    """Return the operations of the text, without a `spirv.module` around them."""
    found = operations(module)
    if len(found) == 1 and found[0].name == "spirv.module":
        return operations(found[0])
    return found


def _check_llvm(module: ir.Operation, request: Request, where: str) -> None:
    from iree.compiler import ir

    kernel = request.substitution.kernel
    entry = kernel.payload.entry
    functions = {name_of(op): op for op in operations(module) if op.name == "llvm.func"}
    foreign = sorted({op.name for op in operations(module) if not op.name.startswith("llvm.")})
    if entry not in functions or foreign:
        raise _wrong_entry(request, where, "llvm.func", [*functions], foreign)
    found = str(ir.TypeAttr(functions[entry].attributes["function_type"]).value)
    wanted = llvm_signature(request)
    if found not in wanted:
        raise PayloadError(
            f"@{entry} does not have the parameters that it will be called with",
            where=where,
            expected=_meaning(request),
            found=found,
            next_step=f"declare it as {wanted[0]}",
        )


def llvm_signature(request: Request) -> tuple[str, ...]:
    """Return the types of the entry point's parameters."""
    kernel, dispatch = request.substitution.kernel, request.substitution.dispatch
    if dispatch.target.backend != "llvm-cpu":
        layout = dispatch.layout
        tail = ["i32"] * layout.constants
        spaces = ("ptr<1>", "ptr")
        return tuple(f"!llvm.func<void ({', '.join([p] * len(layout.bindings) + tail)})>" for p in spaces)
    if kernel.abi == "raw":
        return ("!llvm.func<i32 (ptr, ptr, ptr)>",)
    types = ["ptr"] * len(request.parameters) + ["i64"] * len(request.scalars)
    types += [*(value.passed_type for value in request.values), "i64", "i64", "i64"]
    return (f"!llvm.func<void ({', '.join(types)})>",)


def _meaning(request: Request) -> str:
    kernel, dispatch = request.substitution.kernel, request.substitution.dispatch
    if dispatch.target.backend != "llvm-cpu":
        return "a pointer to global memory for every binding, then every push constant"
    if kernel.abi == "raw":
        return "i32 (environment, dispatch state, workgroup state), as the runtime calls it"
    names = request.scalar_names or tuple(str(s) for s in request.scalars)
    values = (value.name for value in request.values)
    return f"void ({', '.join([*(p.name for p in request.parameters), *names, *values, 'id_x', 'id_y', 'id_z'])})"


def _wrong_entry(request: Request, where: str, kind: str, found: list[str], foreign: list[str]) -> PayloadError:
    entry = request.substitution.kernel.payload.entry
    dialect = kind.partition(".")[0]
    return PayloadError(
        f"the payload has operations outside of the {dialect} dialect"
        if foreign
        else f"the payload does not define @{entry}",
        where=where,
        expected=f"{kind} @{entry}, and nothing but the {dialect} dialect",
        found=", ".join(foreign or [f"@{name}" for name in found]) or "nothing",
        next_step="lower it completely" if foreign else "correct `entry` in [payload], or the function's name",
    )


def _check_spirv(found: list[ir.Operation], request: Request, where: str) -> None:
    kernel, dispatch = request.substitution.kernel, request.substitution.dispatch
    functions = [name_of(op) for op in found if op.name == "spirv.func"]
    foreign = sorted({op.name for op in found if not op.name.startswith("spirv.")})
    if kernel.payload.entry not in functions or foreign:
        raise _wrong_entry(request, where, "spirv.func", functions, foreign)
    bindings = len(dispatch.layout.bindings) if kernel.abi == "raw" else len(request.parameters)
    for variable in found:
        place = spirv_binding(variable)
        if place and (place[0] != 0 or place[1] >= bindings):
            raise PayloadError(
                f"@{name_of(variable)} is bound to nothing",
                where=where,
                expected=f"bind(0, 0) to bind(0, {bindings - 1})",
                found=f"bind({place[0]}, {place[1]})",
                next_step="correct the descriptor set and the binding",
            )
    size = local_size(found)
    wanted = kernel.launch.workgroup_size
    if (size or wanted) is None or (size and wanted and size != wanted):
        raise PayloadError(
            "nobody says the workgroup size" if size is None else "two workgroup sizes",
            where=where,
            expected=f"LocalSize {', '.join(map(str, wanted))}, as kernel.toml says"
            if wanted
            else 'spirv.ExecutionMode @… "LocalSize", or [launch] workgroup_size',
            found=f"LocalSize {', '.join(map(str, size))}" if size else "neither",
            next_step="correct one of them",
        )
    declared = {i for i in map(spec_id, found) if i is not None}
    count = len(kernel.executable_constants)
    missing = sorted((set(range(count)) | {i for i, _ in kernel.payload.spec_constants}) - declared)
    if missing:
        raise PayloadError(
            "the payload lacks a specialization constant",
            where=where,
            expected=", ".join(f"spec_id({i})" for i in missing),
            found=", ".join(f"spec_id({i})" for i in sorted(declared)) or "none",
            next_step="declare it with spirv.SpecConstant, or correct kernel.toml",
        )


def spirv_binding(op: ir.Operation) -> tuple[int, int] | None:
    """Return descriptor set and binding of a `spirv.GlobalVariable`."""
    from iree.compiler import ir

    if op.name != "spirv.GlobalVariable" or "binding" not in op.attributes:
        return None
    set_ = ir.IntegerAttr(op.attributes["descriptor_set"]).value if "descriptor_set" in op.attributes else 0
    return int(set_), int(ir.IntegerAttr(op.attributes["binding"]).value)


def spec_id(op: ir.Operation) -> int | None:
    """Return the SpecId of a `spirv.SpecConstant`."""
    from iree.compiler import ir

    if op.name != "spirv.SpecConstant" or "spec_id" not in op.attributes:
        return None
    return int(ir.IntegerAttr(op.attributes["spec_id"]).value)


def local_size(found: list[ir.Operation]) -> tuple[int, int, int] | None:
    """Return the workgroup size of a `spirv.ExecutionMode`."""
    from iree.compiler import ir

    for op in found:
        if op.name == "spirv.ExecutionMode" and "LocalSize" in str(op.attributes["execution_mode"]):
            x, y, z = (int(ir.IntegerAttr(v).value) for v in ir.ArrayAttr(op.attributes["values"]))
            return x, y, z
    return None
