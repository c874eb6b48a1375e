"""Types of a model's functions, as its frontend wrote them; a compiled module may lack them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .module import children, symbol_name

if TYPE_CHECKING:
    from iree.compiler import ir

_TENSOR = re.compile(r"^tensor<((?:[\d?]+x)*)(\w+)(?:,.*)?>$")
_TORCH = re.compile(r"^!torch\.vtensor<\[([\d?,]*)\],([a-z]+\d+)>$")


def read_signatures(module: ir.Operation) -> dict[str, tuple[str, ...]]:
    """Return the argument types of each public function, as `4x?xf32`; functions with other arguments are left out."""
    from iree.compiler import ir

    found: dict[str, tuple[str, ...]] = {}
    for op in children(module):
        if op.name not in ("func.func", "util.func") or "function_type" not in op.attributes:
            continue
        if "sym_visibility" in op.attributes and ir.StringAttr(op.attributes["sym_visibility"]).value == "private":
            continue
        types = ir.FunctionType(ir.TypeAttr(op.attributes["function_type"]).value).inputs
        inputs = [argument_type(str(t)) for t in types]
        if all(i is not None for i in inputs):
            found[symbol_name(op)] = tuple(i for i in inputs if i is not None)
    return found


def argument_type(text: str) -> str | None:
    """Return `tensor<4x?xf32>` or `!torch.vtensor<[4,?],si64>` as `4x?xf32`; None for anything else."""
    tensor = _TENSOR.match(text)
    if tensor:
        return tensor[1] + tensor[2]
    torch = _TORCH.match(text)
    if not torch:
        return None
    element = torch[2].removeprefix("s").removeprefix("u")
    return "x".join([*(s for s in torch[1].split(",") if s), element])
