"""C and C++ for the CPU, compiled for each dispatch's target."""

from __future__ import annotations

from typing import Any

from ...errors import PayloadError
from ...model.dispatch import Dispatch
from ...model.kernel import Kernel
from ...model.payload_kind import PayloadFormat
from ...model.plan import Payload, Request
from .llvm import SlottedKind, embed_module, finish_text


class CSource(SlottedKind):
    """A function in C: as LLVM IR, inlined and checked like `llvm-ir`, or as an object file where gcc compiles it."""

    name = "c"
    backends = ("llvm-cpu",)
    linked_suffixes = (".o", ".a")
    needs_object_file = True

    def depends_on_program(self, kernel: Kernel) -> bool:
        return True

    def describe_call(self, kernel: Kernel) -> str:
        from ..calls import c_prototype

        text = c_prototype(kernel)
        return f'extern "C" {text}' if self.name == "c++" else text

    def entry_name(self, kernel: Kernel, dispatch: Dispatch) -> str:
        from ..symbols import sanitize

        return sanitize(f"{dispatch.name}_{kernel.name}")

    def build(self, request: Request, linked: frozenset[str]) -> Payload:
        from dataclasses import replace

        from ..c_source import compile_source

        kernel, target = request.substitution.kernel, request.substitution.dispatch.target
        compiler, data = compile_source(self.name, kernel.payload.path, target)
        if compiler.makes == "object":
            return self._embed_object(request, data, linked, compiler.name)
        payload = embed_module(self._parse(data, kernel, compiler.name), request, linked)
        return replace(payload, summary=f"{kernel.payload.path.name}, compiled by {compiler.name}, inlined")

    def _parse(self, data: bytes, kernel: Kernel, compiler: str) -> Any:
        from ..llvm.optimize import parse_ir

        try:
            return parse_ir(data.decode(), str(kernel.payload.path))
        except PayloadError as error:
            raise PayloadError(
                f"{compiler} makes LLVM IR that is not understood here",
                where=str(kernel.payload.path),
                expected="LLVM IR of the version of llvmlite's LLVM",
                found=error.found,
                next_step="name another compiler with IREE_SUBSTITUTE_CC, such as gcc",
                details=error.details,
            ) from None

    def _embed_object(self, request: Request, data: bytes, linked: frozenset[str], compiler: str) -> Payload:
        from ...match.target import architecture
        from ..launch import launch_count
        from ..rename import rename_symbols
        from ..sniff import RESOLVED, verify_object

        kernel = request.substitution.kernel
        entry, name = kernel.payload.entry, str(kernel.payload.path)
        if kernel.slots:
            raise PayloadError(
                f"{compiler} makes an object file, into which the slots' functions cannot be compiled",
                where=name,
                expected="a compiler that makes LLVM IR",
                found=compiler,
                next_step="install clang, or the package ziglang (pip install 'iree-substitute[c]'); or remove `slots`",
            )
        machine = architecture(request.substitution.dispatch.target)
        hint = (
            f"{compiler} makes an object file, which can call no library; clang, or the package ziglang "
            "(pip install 'iree-substitute[c]'), makes LLVM IR, which may call libm"
        )
        verify_object(data, entry=entry, machine=machine, name=name, resolved=RESOLVED | linked, library_hint=hint)
        return Payload(
            format=PayloadFormat.OBJECT,
            data=rename_symbols(data, lambda s: request.entry if s == entry else f"{request.entry}.{s}"),
            entry=request.entry,
            workgroup_count=launch_count(request),
            summary=f"{kernel.payload.path.name}, compiled by {compiler}",
        )

    def read_llvm(self, request: Request) -> tuple[str, str, bool] | None:
        from ..c_source import compile_source, find_compilers

        compilers = find_compilers(self.name)
        if not compilers or compilers[0].makes != "llvm-ir":
            return None
        kernel, target = request.substitution.kernel, request.substitution.dispatch.target
        _, data = compile_source(self.name, kernel.payload.path, target)
        return finish_text(data.decode(), request)


class CppSource(CSource):
    """The same in C++, as a function with C linkage (`extern "C"`)."""

    name = "c++"
