"""Loads a rule's Python file, and calls what is in it."""

from __future__ import annotations

import hashlib
import importlib.util
import traceback
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ..bindings import take_classes
from ..errors import PayloadError, SubstituteError
from ..model.kernel import Kernel
from ..payload.generator import changed_at

if TYPE_CHECKING:
    from ..read.module import Site

DEFAULT_ENTRY = "rewrite"
"""The function that changes the body, where `payload.entry` does not name another."""


def applies(kernel: Kernel, site: Site) -> str:
    """Empty if the rule can rewrite this dispatch, else why not: what its `applies(site)` says, if it has one."""
    function = getattr(load_rule(kernel), "applies", None)
    if function is None:
        return ""
    try:
        return str(function(site) or "")
    except SubstituteError:
        raise
    except Exception as error:
        path = kernel.payload.path.resolve()
        raise _failed(f"`applies` of the rule failed for {site.dispatch.name}", path, error) from error


def rewrite(kernel: Kernel, site: Site) -> None:
    """Lets the rule change the dispatch. Raises `PayloadError` with the line on which it failed."""
    function = getattr(load_rule(kernel), kernel.payload.entry or DEFAULT_ENTRY)
    try:
        function(site)
    except SubstituteError:
        raise
    except Exception as error:
        path = kernel.payload.path.resolve()
        raise _failed(f"the rule failed for {site.dispatch.name}", path, error) from error


def load_rule(kernel: Kernel) -> ModuleType:
    """The module of a rule. Raises `PayloadError` with the place of what is wrong in it."""
    if not kernel.builtin:
        take_classes()
    path = kernel.payload.path.resolve()
    return _load(path, kernel.payload.entry or DEFAULT_ENTRY, changed_at(path))


@lru_cache(maxsize=1024)
def _load(path: Path, entry: str, _changed_at: int) -> ModuleType:
    name = f"substitute_rule_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PayloadError(
            "the rule is no Python file", where=str(path), expected="a file that ends with .py", found=path.name,
            next_step="correct `file` in [payload]",
        )  # fmt: skip
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _failed("the rule cannot be loaded", path, error) from error
    if not callable(getattr(module, entry, None)):
        raise PayloadError(
            f"the rule has no function `{entry}`", where=str(path), expected=f"def {entry}(site: Site) -> None",
            found=", ".join(n for n in vars(module) if not n.startswith("_")) or "an empty module",
            next_step="define it, or name another function as `entry` in [payload]",
        )  # fmt: skip
    return module


def _failed(what: str, path: Path, error: Exception) -> PayloadError:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    line = f":{frames[-1].lineno}" if frames else ""
    if isinstance(error, SyntaxError) and error.lineno:
        line = f":{error.lineno}"
    return PayloadError(
        what, where=f"{path}{line}", expected="code that runs", found=f"{type(error).__name__}: {error}",
        next_step="mend the rule; its own traceback is shown with --debug",
    )  # fmt: skip
