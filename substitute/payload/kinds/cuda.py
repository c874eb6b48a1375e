"""PTX, and CUDA C++ that is compiled to it."""

from __future__ import annotations

from abc import abstractmethod

from ...model.dispatch import Dispatch
from ...model.kernel import Kernel
from ...model.payload_kind import CodeKind, PayloadFormat
from ...model.plan import Payload, Request


class _CudaCode(CodeKind):
    parameters = "passed"
    backends = ("cuda",)
    sized_backends = ("cuda",)
    linked_suffixes = ()

    @abstractmethod
    def read_ptx(self, kernel: Kernel, arch: str) -> tuple[str, str]:
        """Return the PTX text, and its name in messages."""

    def build(self, request: Request, linked: frozenset[str]) -> Payload:
        from ...match.target import architecture
        from ..launch import launch_count
        from ..ptx import bind_ptx

        kernel = request.substitution.kernel
        arch = architecture(request.substitution.dispatch.target)
        text, name = self.read_ptx(kernel, arch)
        bound, facts = bind_ptx(request, text, arch=arch, name=name)
        return Payload(
            format=PayloadFormat.PTX,
            data=bound.encode(),
            entry=request.entry,
            workgroup_count=launch_count(request),
            workgroup_size=kernel.launch.workgroup_size or facts.workgroup_size,
            shared_memory_bytes=kernel.launch.shared_memory_bytes,
            summary=f"{kernel.payload.path.name}: {facts.summary}",
        )


class PtxText(_CudaCode):
    """PTX, whose slots are marked in the text."""

    name = "ptx"
    slots = ("prologue", "epilogue")

    def describe_call(self, kernel: Kernel) -> str:
        from ..calls import ptx_prototype

        return ptx_prototype(kernel)

    def refuse(self, kernel: Kernel, dispatch: Dispatch) -> str:
        if not kernel.slots or dispatch.program is None:
            return ""
        from ..file import read_code
        from ..ptx.slots import refusal

        return refusal(kernel, read_code(kernel).decode(errors="replace"), dispatch.program)

    def read_ptx(self, kernel: Kernel, arch: str) -> tuple[str, str]:
        from ..file import check_content, read_code
        from ..sniff import sniff

        data = read_code(kernel)
        if sniff(data) != "text":  # of a text the parser says more
            check_content(kernel, data, "PTX")
        return data.decode(errors="replace"), str(kernel.payload.path)


class CudaSource(_CudaCode):
    """CUDA C++, compiled to PTX for the dispatch's architecture."""

    name = "cuda"

    def describe_call(self, kernel: Kernel) -> str:
        from ..calls import cuda_prototype

        return cuda_prototype(kernel)

    def read_ptx(self, kernel: Kernel, arch: str) -> tuple[str, str]:
        from ..file import read_code
        from ..ptx import cuda_to_ptx

        name = str(kernel.payload.path)
        return cuda_to_ptx(read_code(kernel).decode(errors="replace"), arch=arch, name=name), f"{name}, compiled"
