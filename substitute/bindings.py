"""What differs between the versions of IREE's Python bindings, settled before anything else uses them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

DIALECTS = "substitute.dialects"
"""Where the bindings look for the module of a dialect before they look among IREE's own."""


@lru_cache(maxsize=1)
def settle_bindings() -> None:
    """Lets every dialect be loaded beside every other, and linalg be loaded fast.

    In IREE 3.11 linalg, vector and iree_gpu each register a builder named `IteratorType`; the second of them to be
    loaded, which an attribute that is looked at is enough for, ends the process.
    """
    from iree.compiler import ir
    from iree.compiler._mlir_libs import _mlir
    from iree.compiler.version import VERSION

    places = _mlir.globals.dialect_search_modules
    _mlir.globals.dialect_search_modules = [DIALECTS, *places]
    if not VERSION.startswith("3.11."):
        return
    register = ir.register_attribute_builder

    def replacing(kind: str, replace: bool = False) -> Any:
        return register(kind, replace=True)

    ir.register_attribute_builder = replacing
