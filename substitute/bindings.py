"""Workarounds for differences between versions of IREE's Python bindings, applied before they are used."""

from __future__ import annotations

import importlib
import sys
from functools import lru_cache
from types import ModuleType
from typing import Any

from . import iree_versions

DIALECTS = "substitute.dialects"
"""Package in which the bindings look up a dialect's module before their own."""


@lru_cache(maxsize=1)
def settle_bindings() -> None:
    """Make all dialects loadable together, and speed up the import of the bindings and of linalg.

    Called before anything imports the bindings.
    """
    _load_without_numpy()
    from iree.compiler import ir
    from iree.compiler._mlir_libs import _mlir

    places = _mlir.globals.dialect_search_modules
    _mlir.globals.dialect_search_modules = [DIALECTS, *places]
    _places.extend(_mlir.globals.dialect_search_modules)
    if not iree_versions.is_needed(iree_versions.REPLACE_BUILDERS):
        return
    register = ir.register_attribute_builder

    def replacing(kind: str, replace: bool = False) -> Any:
        return register(kind, replace=True)

    ir.register_attribute_builder = replacing


_places: list[str] = []


def leave_classes() -> None:
    """Keep the bindings from loading classes of operations, in a process that runs no user code.

    This package reads and makes operations without them, and to load those of an ordinary dispatch takes 40 ms.
    """
    from iree.compiler._mlir_libs import _mlir

    _mlir.globals.dialect_search_modules = []


def take_classes() -> None:
    """Let the bindings load classes of operations again: a user's code may use `op.lhs`."""
    if _places:
        from iree.compiler._mlir_libs import _mlir

        _mlir.globals.dialect_search_modules = _places


class _Later(ModuleType):
    """Placeholder of a module, which is imported when an attribute of it is used."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def _load_without_numpy() -> None:
    """Load the bindings without numpy, which only builders of a few attributes need, and which takes longer to load."""
    if "numpy" in sys.modules or "iree.compiler.ir" in sys.modules:
        return
    later = sys.modules["numpy"] = _Later("numpy")
    try:
        importlib.import_module("iree.compiler.ir")
    finally:
        if sys.modules.get("numpy") is later:
            del sys.modules["numpy"]
