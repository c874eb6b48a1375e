"""The common part of generator kinds, for any language."""

from __future__ import annotations

from ...model.dispatch import Dispatch
from ...model.kernel import Kernel
from ...model.payload_kind import CodeKind


class GeneratorKind(CodeKind):
    """A Python file that makes the code for one dispatch, fused work included."""

    parameters = "passed"
    slots = ("prologue", "epilogue")
    sees_dispatch = True
    arguments = "views"
    strides = "read"
    launch = "code"

    def depends_on_program(self, kernel: Kernel) -> bool:
        return kernel.builtin

    def refuse(self, kernel: Kernel, dispatch: Dispatch) -> str:
        from ..generator import refuse_dispatch

        return refuse_dispatch(kernel, dispatch)

    def load(self, kernel: Kernel) -> None:
        from ..generator import load_generator

        load_generator(kernel)
