"""Loading of a rule's Python file, and calls of its functions."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from types import ModuleType
from typing import TYPE_CHECKING

from ..bindings import take_classes
from ..errors import PayloadError
from ..model.kernel import Kernel
from ..model.plan import Match
from ..payload.author import call_author
from ..payload.module import load_module

if TYPE_CHECKING:
    from ..read.module import Site

_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
RULE = "the rule"
DEFAULT_ENTRY = "rewrite"
"""Name of the function that rewrites the body, if `payload.entry` does not name another."""


def applies(kernel: Kernel, site: Site) -> str:
    """Return why the rule cannot rewrite this dispatch, from its optional `applies(site)`; empty if it can."""
    function = getattr(load_rule(kernel), "applies", None)
    if function is None:
        return ""
    what, path = f"`applies` of the rule failed for {site.dispatch.name}", kernel.payload.path.resolve()
    return call_author(what, path, lambda: str(function(site) or ""), owner=RULE)


def rewrite(kernel: Kernel, site: Site, match: Match) -> None:
    """Let the rule rewrite the dispatch. Raises `PayloadError` with the line on which it failed.

    A function of two arguments also gets the match: axes, operands and parameters.
    """
    function = getattr(load_rule(kernel), kernel.payload.entry or DEFAULT_ENTRY)
    what, path = f"the rule failed for {site.dispatch.name}", kernel.payload.path.resolve()
    call_author(what, path, lambda: function(site, match) if _takes_match(function) else function(site), owner=RULE)


def _takes_match(function: Callable[..., object]) -> bool:
    required = [p for p in signature(function).parameters.values() if p.default is p.empty and p.kind in _POSITIONAL]
    return len(required) == 2


def load_rule(kernel: Kernel) -> ModuleType:
    """Return the module of a rule. Raises `PayloadError` with the place of the error."""
    if not kernel.builtin:
        take_classes()
    path, entry = kernel.payload.path.resolve(), kernel.payload.entry or DEFAULT_ENTRY
    module = load_module(path, what="the rule cannot be loaded", owner=RULE)
    if not callable(getattr(module, entry, None)):
        raise PayloadError(
            f"the rule has no function `{entry}`",
            where=str(path),
            expected=f"def {entry}(site: Site) -> None",
            found=", ".join(n for n in vars(module) if not n.startswith("_")) or "an empty module",
            next_step="define it, or name another function as `entry` in [payload]",
        )
    return module
