"""Bodies that are neither a call-out nor an external object: code in its final dialect, or IREE's own with settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import PayloadError
from ..model.payload_kind import PayloadFormat
from ..model.plan import Payload, Request
from ..payload.dialect import local_size, name_of, operations, parse_mlir, spec_id, spirv_binding, spirv_operations
from .callout import call_with_pointers
from .geometry import counts_by_code_generation
from .tuning import parse_settings, set_compilation_info

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..read.module import Site


def put_final_body(site: Site, request: Request, payload: Payload) -> bool:
    """Give the export's body its final form; return False for a payload of another format."""
    write = _WRITERS.get(payload.format)
    if write is not None:
        write(site, request, payload)
    return write is not None


def _keep_body(site: Site, request: Request, payload: Payload) -> None:
    kernel = request.substitution.kernel
    if payload.workgroup_count is not None and counts_by_code_generation(site.export):
        raise PayloadError(
            f"{kernel.name} cannot say how many workgroups {site.dispatch.name} has",
            where=str(kernel.folder / "kernel.toml"),
            expected="a body that is distributed over workgroups already",
            found="a body that IREE's code generation tiles, counting the tiles itself; any other count would leave "
            "tiles out",
            next_step="say launch.compilation_info, whose tile sizes decide the count, or replace the body",
        )
    if payload.compilation_info:
        set_compilation_info(site, payload.compilation_info, str(kernel.folder / "kernel.toml"))


def _put_llvm(site: Site, request: Request, payload: Payload) -> None:
    """Embed a function of the LLVM dialect: raw, as the export itself; canonical, called with decoded operands."""
    kernel, function = request.substitution.kernel, site.function
    assert function is not None
    module = parse_mlir(payload.data.decode(), str(kernel.payload.path)).operation
    called = kernel.abi == "canonical"
    name = payload.entry if called else site.dispatch.name
    if called:
        call_with_pointers(site, request, name)
    inserted = _insert(operations(module), module, kernel.payload.entry, name, function)
    if not called:
        if payload.workgroup_size is not None:
            # code generation takes the workgroup size from here; without it, it is one thread
            size = ", ".join(map(str, payload.workgroup_size))
            inserted.attributes["translation_info"] = parse_settings(
                f"#iree_codegen.translation_info<pipeline = #iree_gpu.pipeline<BaseLowering> workgroup_size = [{size}]>"
            )
        function.erase()


def _put_spirv(site: Site, request: Request, payload: Payload) -> None:
    """Embed SPIR-V: the inner module gets the operations, from which code generation makes a `spirv.module`.

    It also makes the entry point, from an attribute of the function.
    """
    from iree.compiler import ir

    kernel, function = request.substitution.kernel, site.function
    assert function is not None
    module = parse_mlir(payload.data.decode(), str(kernel.payload.path)).operation
    found = spirv_operations(module)
    size = local_size(found) or kernel.launch.workgroup_size
    assert size is not None
    kept = [op for op in found if op.name not in ("spirv.EntryPoint", "spirv.ExecutionMode")]
    for op in kept:
        _bind(op, request, dict(payload.frozen))
    holder = kept[0].parent
    assert holder is not None
    entry = _insert(kept, holder.operation, kernel.payload.entry, site.dispatch.name, function)
    entry.attributes["spirv.entry_point_abi"] = ir.Attribute.parse(
        f"#spirv.entry_point_abi<workgroup_size = [{', '.join(map(str, size))}]>"
    )
    function.erase()
    if payload.constants and "objects" not in site.variant.attributes:
        # an executable with a list of objects, even an empty one, is not linked with others, whose constants would
        # count too
        site.variant.attributes["objects"] = ir.ArrayAttr.get([])


def _bind(op: ir.Operation, request: Request, frozen: dict[int, int | float]) -> None:
    from iree.compiler import ir

    place = spirv_binding(op)
    if place and request.substitution.kernel.abi == "canonical":
        old = ir.IntegerAttr(op.attributes["binding"])
        op.attributes["binding"] = ir.IntegerAttr.get(old.type, request.parameters[place[1]].operand.binding)
    number = spec_id(op)
    if number in frozen:
        old_value = op.attributes["default_value"]
        if isinstance(old_value, ir.FloatAttr):
            op.attributes["default_value"] = ir.FloatAttr.get(old_value.type, float(frozen[number]))
        else:
            integer = ir.IntegerAttr(old_value).type
            op.attributes["default_value"] = ir.IntegerAttr.get(integer, int(frozen[number]))
        del op.attributes["spec_id"]


def _insert(
    found: list[ir.Operation], holder: ir.Operation, entry: str, name: str, before: ir.Operation
) -> ir.Operation:
    """Copy the operations before `before`, the entry point as `name`; the others get names derived from it."""
    from iree.compiler import ir

    unique = "".join(c if c.isalnum() or c == "_" else "_" for c in name)
    result: ir.Operation | None = None
    for op in found:
        old = name_of(op)
        if not old or (op.name == "llvm.func" and not any(len(r.blocks) for r in op.regions)):
            continue  # a declaration keeps its name, which the linker needs
        new = name if old == entry else f"{unique}_{old}"
        ir.SymbolTable.replace_all_symbol_uses(old, new, holder)
        op.attributes["sym_name"] = ir.StringAttr.get(new)
    for op in found:
        copy = op.clone(ip=ir.InsertionPoint(before)).operation
        if name_of(copy) == name:
            result = copy
    assert result is not None
    return result


_WRITERS: dict[PayloadFormat, Callable[[Site, Request, Payload], None]] = {
    PayloadFormat.OWN_CODE: _keep_body,
    PayloadFormat.LLVM_DIALECT: _put_llvm,
    PayloadFormat.SPIRV_DIALECT: _put_spirv,
}
