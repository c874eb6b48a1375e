"""Settings for IREE's own code generation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import PayloadError
from ..iree_versions import SPELL_PIPELINES_AS_WORDS, is_needed

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..read.module import Site

ATTRIBUTE = "compilation_info"
"""Attribute from which IREE's code generation reads the user's tile sizes and pipeline."""


def set_compilation_info(site: Site, text: str, where: str) -> None:
    """Put `#iree_codegen.compilation_info<…>` on the body's main operation. Raises `PayloadError`."""
    from iree.compiler import ir

    try:
        attribute = parse_settings(text)
    except ir.MLIRError as error:
        found = "; ".join(d.message for d in error.error_diagnostics) or str(error)
        raise _wrong(where, "an attribute of the released compiler", found) from None
    if not text.strip().startswith("#iree_codegen.compilation_info<"):
        raise _wrong(where, "#iree_codegen.compilation_info<lowering_config = …, translation_info = …>", text)
    operation = main_operation(site)
    if operation is None:
        raise _wrong(where, "a linalg operation in the body", ", ".join(site.dispatch.operations) or "none")
    operation.attributes[ATTRIBUTE] = attribute


def parse_settings(text: str) -> ir.Attribute:
    """Parse an attribute that may name a pipeline of code generation (`#iree_cpu.pipeline<…>`). Raises `MLIRError`."""
    from iree.compiler import ir

    return ir.Attribute.parse(_PIPELINE.sub(_spell_as_word, text) if is_needed(SPELL_PIPELINES_AS_WORDS) else text)


_PIPELINE = re.compile(r"#iree_(cpu\.|gpu\.|gpu\.spirv_)pipeline<(\w+)>")


def _spell_as_word(pipeline: re.Match[str]) -> str:
    if pipeline[2].startswith("Mmt4d"):
        return pipeline[2]
    return {"cpu.": "CPU", "gpu.": "LLVMGPU", "gpu.spirv_": "SPIRV"}[pipeline[1]] + pipeline[2]


def main_operation(site: Site) -> ir.Operation | None:
    """Return the last reduction of the body, or its last linalg operation if there is none."""
    found: list[ir.Operation] = []
    if site.function is not None:
        for block in site.function.regions[0].blocks:
            found += [op.operation for op in block.operations if op.operation.name.startswith(_DIALECTS)]
    found = [op for op in found if op.name not in _NOT_MAIN]
    reductions = [op for op in found if _reduces(op)]
    return (reductions or found or [None])[-1]


_DIALECTS = ("linalg.", "iree_linalg_ext.")
_NOT_MAIN = frozenset(("linalg.fill", "linalg.index", "linalg.yield"))


def _reduces(op: ir.Operation) -> bool:
    """Return whether an operation contracts or reduces, as named operations do that are not element-wise."""
    if op.name == "linalg.generic":
        return "reduction" in str(op.attributes["iterator_types"])
    return op.name not in ("linalg.elementwise", "linalg.map", "linalg.transpose", "linalg.broadcast", "linalg.copy")


def _wrong(where: str, expected: str, found: str) -> PayloadError:
    return PayloadError(
        "the compilation_info cannot be used",
        where=f"{where}: launch.compilation_info",
        expected=expected,
        found=found,
        next_step="`iree-compile --compile-to=executable-configurations` shows what IREE chooses itself",
    )
