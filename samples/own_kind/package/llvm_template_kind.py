"""A kind of payload: LLVM IR as a Jinja template, which is filled in with the sizes of each dispatch."""

from __future__ import annotations

import jinja2

from substitute.errors import PayloadError
from substitute.model.plan import Payload, Request
from substitute.payload.file import read_code
from substitute.payload.kinds.llvm import LlvmText, embed_module


class LlvmTemplate(LlvmText):
    """`kind = "llvm-template"`: the name of an axis is its size, or the argument for one only known at launch."""

    name = "llvm-template"
    backends = ("llvm-cpu",)

    def build(self, request: Request, linked: frozenset[str]) -> Payload:
        kernel = request.substitution.kernel
        sizes = {axis.name: axis.size if isinstance(axis.size, int) else f"%{axis.name}" for axis in request.match.axes}
        try:
            template = jinja2.Template(read_code(kernel).decode(), undefined=jinja2.StrictUndefined)
            text = template.render(sizes)
        except jinja2.TemplateError as error:
            raise PayloadError(
                f"the template of {kernel.name} cannot be filled in",
                where=str(kernel.payload.path),
                expected="a Jinja template over " + ", ".join(sizes),
                found=str(error),
                next_step="correct the template",
            ) from None
        return embed_module(self.parse(text.encode(), str(kernel.payload.path)), request, linked)


KIND = LlvmTemplate()
