"""LLVM IR: generated, as text, as bitcode."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

from ...model.dispatch import Dispatch
from ...model.kernel import Kernel
from ...model.payload_kind import CodeKind, PayloadFormat
from ...model.plan import Payload, Request
from .generator import GeneratorKind

BACKENDS = ("llvm-cpu", "cuda", "rocm")


class LlvmGenerator(GeneratorKind):
    """A Python file whose `generate(request)` returns LLVM IR for one dispatch."""

    name = "llvm-generator"
    backends = BACKENDS

    def describe_call(self, kernel: Kernel) -> str:
        from ..calls import generator_request

        return generator_request(kernel, returns="str  (LLVM IR) or Generated", function=True)

    def build(self, request: Request, linked: frozenset[str]) -> Payload:
        from ..generator import generate
        from ..llvm.optimize import to_bitcode

        generated = generate(request)
        target = request.substitution.dispatch.target
        data = to_bitcode(
            generated.text, target=target, entry=request.entry, finished=generated.finished, linked=linked
        )
        return Payload(
            format=PayloadFormat.BITCODE,
            data=with_asked_features(data, request),
            entry=request.entry,
            workgroup_count=generated.workgroup_count,
            summary=generated.summary or "generated LLVM IR",
        )

    def read_llvm(self, request: Request) -> tuple[str, str, bool]:
        from ..generator import generate

        generated = generate(request)
        return request.entry, str(generated.text), generated.finished


class SlottedKind(CodeKind):
    """Code that becomes LLVM IR in which the functions for its slots are only declared."""

    parameters = "passed"
    slots = ("prologue", "epilogue")

    def arguments_for(self, kernel: Kernel) -> Literal["operands", "views", "none"]:
        return "views" if kernel.slots else "operands"

    def refuse(self, kernel: Kernel, dispatch: Dispatch) -> str:
        if not kernel.slots or dispatch.program is None:
            return ""
        from ..llvm.slots import refuse_slots

        return refuse_slots(kernel, dispatch.program)


class _LlvmFile(SlottedKind):
    backends = BACKENDS
    content = ""
    """Name of the file's content in messages."""

    def depends_on_program(self, kernel: Kernel) -> bool:
        return True

    def describe_call(self, kernel: Kernel) -> str:
        from ..calls import llvm_prototype

        return llvm_prototype(kernel)

    @abstractmethod
    def parse(self, data: bytes, where: str) -> Any:
        """Parse the file's content into an LLVM module. Raises `PayloadError`."""

    def build(self, request: Request, linked: frozenset[str]) -> Payload:
        from ..file import check_content, read_code

        kernel = request.substitution.kernel
        data = read_code(kernel)
        check_content(kernel, data, self.content)
        return embed_module(self.parse(data, str(kernel.payload.path)), request, linked)

    def read_llvm(self, request: Request) -> tuple[str, str, bool]:
        from ..file import read_code

        kernel = request.substitution.kernel
        return finish_text(self.text_of(read_code(kernel), str(kernel.payload.path)), request)

    def text_of(self, data: bytes, where: str) -> str:
        """Return the file's content as LLVM IR. Raises `PayloadError`."""
        return str(self.parse(data, where))


class LlvmText(_LlvmFile):
    """LLVM IR as text."""

    name = "llvm-ir"
    content = "LLVM IR"

    def parse(self, data: bytes, where: str) -> Any:
        from ..llvm.optimize import parse_ir

        return parse_ir(data.decode(), where)

    def text_of(self, data: bytes, where: str) -> str:
        return data.decode()


class LlvmBitcode(_LlvmFile):
    """LLVM IR as bitcode."""

    name = "llvm-bitcode"
    content = "LLVM bitcode"

    def parse(self, data: bytes, where: str) -> Any:
        from ..llvm.optimize import parse_bitcode

        return parse_bitcode(data, where)


def finish_text(text: str, request: Request) -> tuple[str, str, bool]:
    """Return the entry and the text of an author's module with its slots filled; both as they are without slots."""
    from ..llvm.slots import fill_slots

    kernel = request.substitution.kernel
    if not kernel.slots:
        return kernel.payload.entry, text, False
    return request.entry, fill_slots(text, request, str(kernel.payload.path)), False


def embed_module(module: Any, request: Request, linked: frozenset[str]) -> Payload:
    """Return the payload of an author's module; its slots are filled. Raises `PayloadError`."""
    from ..launch import launch_count
    from ..llvm.optimize import parse_ir, to_bitcode
    from ..llvm.signature import check_signature

    kernel, where = request.substitution.kernel, str(request.substitution.kernel.payload.path)
    if kernel.slots:
        module = parse_ir(finish_text(str(module), request)[1], where)
    else:
        check_signature(module, request, kernel.payload.entry, where)
        module.get_function(kernel.payload.entry).name = request.entry
    bitcode = to_bitcode(module, target=request.substitution.dispatch.target, entry=request.entry, linked=linked)
    return Payload(
        format=PayloadFormat.BITCODE,
        data=with_asked_features(bitcode, request),
        entry=request.entry,
        workgroup_count=launch_count(request),
        summary=f"{kernel.payload.path.name}, optimised for the target",
    )


def with_asked_features(bitcode: bytes, request: Request) -> bytes:
    """Allow the payload the features that the device is asked for; the rest of the executable may not use them."""
    from ...match.devices import find_tested_features
    from ..llvm.attributes import with_features

    rule = request.substitution.rule
    return with_features(bitcode, find_tested_features(rule), request.entry) if rule else bitcode
