"""Extraction of a kernel's code from the payloads that validation embeds, to be replaced by mutants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ...model.payload_kind import CodeKind, PayloadFormat
from .code import Code
from .trampoline import MOST_SLOTS, trampoline

if TYPE_CHECKING:
    from ...embed import Built

ENTRY = "kernel_under_test"
"""Entry point of generated code, whose name differs from dispatch to dispatch."""


class Extraction:
    """The codes of all payloads. Those for the CPU are replaced by calls through the table of addresses."""

    def __init__(self) -> None:
        self.codes: list[Code] = []
        self._dispatches: dict[str, list[int]] = {}

    def __call__(self, built: Sequence[Built]) -> list[Built]:
        """Extract the code of these payloads; return the payloads to embed."""
        return [self._take(one) for one in built]

    def codes_of(self, dispatch: str) -> list[int]:
        """Return the numbers of the codes that a dispatch may run."""
        return self._dispatches.get(dispatch, [])

    def _take(self, built: Built) -> Built:
        made, request = built.payload, built.request
        code = self._code(built)
        if code is None:
            return built
        number = next((c.number for c in self.codes if replace(c, number=0, title="") == replace(code, title="")), None)
        if number is None:
            number = len(self.codes)
            if code.format == "llvm" and number >= MOST_SLOTS:
                return built  # the table is full: these are not mutated
            self.codes.append(replace(code, number=number))
        self._dispatches.setdefault(built.substitution.dispatch.name, []).append(number)
        if code.format != "llvm":
            return built
        text = trampoline(request.entry, number, pointers=len(request.parameters), integers=len(request.scalars) + 3)
        data = _bitcode(text)
        return replace(built, payload=replace(made, format=PayloadFormat.BITCODE, data=data))

    def _code(self, built: Built) -> Code | None:
        request, payload = built.request, built.payload
        kernel, dispatch = built.substitution.kernel, built.substitution.dispatch
        title = dispatch.name if kernel.payload.kind.sees_dispatch else ""
        objects = tuple(map(str, kernel.payload.objects))
        kind = kernel.payload.kind
        match payload.format:
            case PayloadFormat.BITCODE if dispatch.target.backend == "llvm-cpu" and isinstance(kind, CodeKind):
                source = kind.read_llvm(request)
                if source is None:
                    return None
                entry, text, finished = source
                for name in (f"@{entry}(", f'@"{entry}"('):
                    text = text.replace(name, f"@{ENTRY}(")
                from ...payload.attached import check_objects

                linked = check_objects(kernel, dispatch.target) if objects else frozenset()
                return Code(
                    number=0,
                    format="llvm",
                    text=text,
                    entry=ENTRY,
                    target=dispatch.target,
                    finished=finished,
                    linked=tuple(sorted(linked)),
                    objects=objects,
                    title=title,
                )
            case PayloadFormat.PTX:
                return Code(
                    number=0,
                    format="ptx",
                    text=payload.data.decode(),
                    entry=payload.entry,
                    data=payload.data,
                    title=title,
                )
            case _:
                return None


def _bitcode(text: str) -> bytes:
    from ...payload.llvm.optimize import parse_ir

    return bytes(parse_ir(text, "the call of a mutant").as_bitcode())
