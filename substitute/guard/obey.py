"""Verdicts where nothing is judged: the filter does what an earlier compilation found out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..model.plan import Key, dispatch_key
from .keys import key_of
from .store import look_up, refused_folder
from .verdict import Check, Checked, leaves_out, refuse_own

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..embed import Built
    from ..model.plan import Plan


def anything_refused() -> bool:
    """Return True if there is any kept verdict that leaves something out."""
    folder = refused_folder()
    try:
        return folder is not None and bool(os.listdir(folder))
    except OSError:
        return False


def kept_verdicts(
    plan: Plan, built: Sequence[Built], before: Mapping[Key, ir.Operation | None],
    after: Mapping[Key, ir.Operation | None], *, chosen: bool,
) -> tuple[Checked, ...]:  # fmt: skip
    """Return what is known of a plan's dispatches; `before` and `after` are their functions around its rules.

    Raises `ValidationError` for a person's own kernel that is known to be wrong.
    """
    found = []
    for key in dict.fromkeys(dispatch_key(s.dispatch) for s in plan.substitutions):
        own = [s for s in plan.substitutions if dispatch_key(s.dispatch) == key]
        rules = [s for s in own if s.kernel.payload.kind.rewrites_body]
        code = [b for b in built if dispatch_key(b.substitution.dispatch) == key]
        verdict = look_up(key_of(before.get(key), after.get(key) if rules else before.get(key), rules, code))
        if verdict is not None:
            kernels = tuple(s.kernel for s in own)
            left_out = leaves_out(Check(), kernels, verdict, chosen=chosen)
            found.append(Checked(key=key, kernels=kernels, verdict=verdict, left_out=left_out))
    refuse_own(found)
    return tuple(found)
