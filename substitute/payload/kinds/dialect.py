"""MLIR text in a final dialect, which becomes the variant's body."""

from __future__ import annotations

from typing import ClassVar

from ...model.kernel import Kernel
from ...model.payload_kind import CodeKind, PayloadFormat
from ...model.plan import Payload, Request


class _DialectText(CodeKind):
    keeps_body = True
    format: ClassVar[PayloadFormat]

    def build(self, request: Request, linked: frozenset[str]) -> Payload:
        from ...match.frozen import frozen_values
        from ..dialect import check_dialect
        from ..file import read_code
        from ..launch import launch_count

        kernel = request.substitution.kernel
        data = read_code(kernel)
        check_dialect(data.decode(errors="replace"), request, str(kernel.payload.path), self.format)
        frozen = frozen_values(kernel, request.match) if self.has_spec_constants else {}
        return Payload(
            format=self.format,
            data=data,
            entry=request.entry,
            workgroup_count=launch_count(request),
            workgroup_size=kernel.launch.workgroup_size,
            shared_memory_bytes=kernel.launch.shared_memory_bytes,
            summary=kernel.payload.path.name,
            frozen=tuple(sorted(frozen.items())),
        )


class LlvmDialect(_DialectText):
    """The LLVM dialect, with NVVM operations for CUDA."""

    name = "llvm-dialect"
    parameters = "passed"
    backends = ("llvm-cpu", "cuda")
    sized_backends = ("cuda",)
    canonical_backends = ("llvm-cpu",)
    format = PayloadFormat.LLVM_DIALECT

    def describe_call(self, kernel: Kernel) -> str:
        from ..calls import llvm_dialect_prototype

        return llvm_dialect_prototype(kernel)


class SpirvDialect(_DialectText):
    """A `spirv.module`, which IREE serializes."""

    name = "spirv-dialect"
    parameters = "constants"
    backends = ("vulkan-spirv",)
    strides = "none"
    has_spec_constants = True
    has_executable_constants = True
    linked_suffixes = ()
    format = PayloadFormat.SPIRV_DIALECT

    def describe_call(self, kernel: Kernel) -> str:
        from ..calls import shader_interface

        return shader_interface(kernel)
