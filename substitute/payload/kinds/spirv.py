"""SPIR-V binaries."""

from __future__ import annotations

from ...model.kernel import Kernel
from ...model.payload_kind import CodeKind, PayloadFormat
from ...model.plan import Payload, Request


class SpirvBinary(CodeKind):
    """A finished shader; sizes and offsets are frozen into its specialization constants."""

    parameters = "constants"
    name = "spirv"
    backends = ("vulkan-spirv",)
    strides = "none"
    has_spec_constants = True
    has_executable_constants = True
    linked_suffixes = ()

    def describe_call(self, kernel: Kernel) -> str:
        from ..calls import shader_interface

        return shader_interface(kernel)

    def build(self, request: Request, linked: frozenset[str]) -> Payload:
        from ...match.frozen import frozen_values
        from ..file import check_content, read_code
        from ..launch import launch_count
        from ..spirv import adapt

        kernel, dispatch = request.substitution.kernel, request.substitution.dispatch
        data = read_code(kernel)
        check_content(kernel, data, "SPIR-V")
        count = len(dispatch.layout.bindings) if kernel.abi == "raw" else len(request.parameters)
        verify_shader(data, request, kernel.payload.entry, count, kernel.launch.workgroup_size)
        bindings = {i: i for i in range(len(dispatch.layout.bindings))}
        if kernel.abi == "canonical":
            bindings = {i: p.operand.binding for i, p in enumerate(request.parameters)}
        adapted = adapt(
            data,
            entry=kernel.payload.entry,
            export_name=request.entry,
            bindings=bindings,
            spec_constants=frozen_values(kernel, request.match),
        )
        return Payload(
            format=PayloadFormat.SPIRV,
            data=adapted,
            entry=request.entry,
            workgroup_count=launch_count(request),
            workgroup_size=kernel.launch.workgroup_size,
            summary=kernel.payload.path.name,
        )


def verify_shader(
    data: bytes, request: Request, entry: str, bindings: int, workgroup_size: tuple[int, int, int] | None
) -> None:
    """Check a SPIR-V binary against the dispatch and the features of its target. Raises `PayloadError`."""
    from ..spirv import capabilities_of, limits_of, verify

    dispatch = request.substitution.dispatch
    verify(
        data,
        entry=entry,
        bindings=bindings,
        push_constants=dispatch.layout.constants,
        workgroup_size=workgroup_size,
        capabilities=capabilities_of(dispatch.target),
        limits=limits_of(dispatch.target),
        name=str(request.substitution.kernel.payload.path),
    )
