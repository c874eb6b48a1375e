"""Object files, one of which serves all dispatches of its kernel."""

from __future__ import annotations

from ...model.dispatch import Dispatch
from ...model.kernel import Kernel
from ...model.payload_kind import CodeKind, PayloadFormat
from ...model.plan import Payload, Request


class ObjectFile(CodeKind):
    """An ELF object for the CPU."""

    parameters = "passed"
    name = "object"
    backends = ("llvm-cpu",)
    linked_suffixes = (".o", ".a")  # IREE links bitcode first, and then only what is still undefined
    needs_object_file = True

    def entry_name(self, kernel: Kernel, dispatch: Dispatch) -> str:
        from ..symbols import object_symbol

        return object_symbol(kernel, kernel.payload.entry)

    def describe_call(self, kernel: Kernel) -> str:
        from ..calls import c_prototype

        return c_prototype(kernel)

    def build(self, request: Request, linked: frozenset[str]) -> Payload:
        from ...match.target import architecture
        from ..file import check_content, read_code
        from ..launch import launch_count
        from ..rename import rename_symbols
        from ..sniff import RESOLVED, verify_object
        from ..symbols import object_symbol

        kernel = request.substitution.kernel
        data = read_code(kernel)
        check_content(kernel, data, "ELF object")
        machine = architecture(request.substitution.dispatch.target)
        name, resolved = str(kernel.payload.path), RESOLVED | linked
        verify_object(data, entry=kernel.payload.entry, machine=machine, name=name, resolved=resolved)
        return Payload(
            format=PayloadFormat.OBJECT,
            data=rename_symbols(data, lambda symbol: object_symbol(kernel, symbol)),
            entry=request.entry,
            workgroup_count=launch_count(request),
            summary=kernel.payload.path.name,
        )
