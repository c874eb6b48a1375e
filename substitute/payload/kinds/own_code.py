"""IREE's own code, with settings of the kernel."""

from __future__ import annotations

from ...model.kernel import Kernel
from ...model.payload_kind import CodeKind, PayloadFormat
from ...model.plan import Payload, Request
from ...model.target import BACKENDS


class OwnCode(CodeKind):
    """IREE compiles the body as it is, with objects, a compilation_info or a workgroup count."""

    parameters = "passed"
    name = "iree"
    backends = BACKENDS
    sees_dispatch = True
    arguments = "none"
    strides = "read"
    needs_program = False
    launch = "iree"
    keeps_body = True
    has_file = False
    needs_entry = False
    has_raw_abi = False

    def describe_call(self, kernel: Kernel) -> str:
        return "nothing is called: IREE compiles the body as it is, with what the manifest sets"

    def build(self, request: Request, linked: frozenset[str]) -> Payload:
        from ..launch import launch_count

        kernel = request.substitution.kernel
        changes = [f"{len(kernel.payload.objects)} linked objects"] if kernel.payload.objects else []
        changes += ["compilation_info"] if kernel.launch.compilation_info else []
        changes += ["a workgroup count"] if kernel.launch.workgroup_count else []
        return Payload(
            format=PayloadFormat.OWN_CODE,
            data=b"",
            entry=request.entry,
            workgroup_count=launch_count(request) if kernel.launch.workgroup_count else None,
            compilation_info=kernel.launch.compilation_info,
            summary=f"IREE's own code with {', '.join(changes)}",
        )
