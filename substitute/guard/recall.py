"""Verdicts of earlier compilations, which the filter applies without judging itself."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SubstituteError
from ..model.plan import Key, Substitution, dispatch_key
from ..progress import Clock, silent
from .keys import key_of
from .store import ACCEPTED, REFUSED, look_up, refused_folder, verdict_folder
from .verdict import Check, Checked, Verdict, leaves_out, refuse_own

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..embed import Built
    from ..model.plan import Plan
    from ..read.module import Site


def has_refusals() -> bool:
    """Return True if any stored verdict leaves a dispatch out."""
    folder = refused_folder()
    return folder is not None and _holds(folder)


def has_verdicts() -> bool:
    """Return True if any verdict is stored."""
    folder = verdict_folder()
    return folder is not None and any(_holds(folder / place) for place in (REFUSED, ACCEPTED))


def _holds(folder: Path) -> bool:
    try:
        return bool(os.listdir(folder))
    except OSError:
        return False


def recall_verdicts(
    plan: Plan, pristine: ir.Operation, sites: Sequence[Site], flags: Sequence[str]
) -> tuple[tuple[Key, str], ...]:
    """Return a summary of earlier compilations' verdicts on a plan's dispatches.

    `pristine` is the module before the plan; the `sites` are in the one that the plan was made for. Payloads are made,
    mostly from the cache; dispatches for which one cannot be made are left out.
    """
    from ..embed import AtOnce, make_payloads
    from ..read.module import find_sites

    taken = {dispatch_key(s.dispatch): s.dispatch for s in plan.substitutions}
    before = {dispatch_key(s.dispatch): s.function for s in find_sites(pristine, taken)}
    after = {dispatch_key(s.dispatch): s.function for s in sites}
    found = []
    for key in dict.fromkeys(dispatch_key(s.dispatch) for s in plan.substitutions):
        own = tuple(s for s in plan.substitutions if dispatch_key(s.dispatch) == key)
        try:
            built = make_payloads(replace(plan, substitutions=own), Clock(silent), AtOnce())
        except SubstituteError:
            continue
        verdict = _look_up(key, own, built, before, after, flags)
        if verdict is not None and verdict.outcome != "unjudged":
            left_out = leaves_out(Check(), tuple(s.kernel for s in own), verdict)
            found.append((key, f"{verdict.text}{'; compile leaves it out' if left_out else ''}"))
    return tuple(found)


def look_up_verdicts(
    plan: Plan,
    built: Sequence[Built],
    before: Mapping[Key, ir.Operation | None],
    after: Mapping[Key, ir.Operation | None],
    flags: Sequence[str],
    *,
    chosen: bool,
) -> tuple[Checked, ...]:
    """Return the stored verdicts on a plan's dispatches.

    `before` and `after` are their functions before and after the plan's rules, `flags` the compiler's. Raises
    `ValidationError` for a user's kernel whose verdict is wrong.
    """
    found = []
    for key in dict.fromkeys(dispatch_key(s.dispatch) for s in plan.substitutions):
        own = [s for s in plan.substitutions if dispatch_key(s.dispatch) == key]
        code = [b for b in built if dispatch_key(b.substitution.dispatch) == key]
        verdict = _look_up(key, own, code, before, after, flags)
        if verdict is not None:
            kernels = tuple(s.kernel for s in own)
            left_out = leaves_out(Check(), kernels, verdict, chosen=chosen)
            found.append(Checked(key=key, kernels=kernels, verdict=verdict, left_out=left_out))
    refuse_own(found)
    return tuple(found)


def _look_up(
    key: Key,
    own: Sequence[Substitution],
    built: Sequence[Built],
    before: Mapping[Key, ir.Operation | None],
    after: Mapping[Key, ir.Operation | None],
    flags: Sequence[str],
) -> Verdict | None:
    rules = [s for s in own if s.kernel.payload.kind.rewrites_body]
    return look_up(key_of(before.get(key), after.get(key) if rules else before.get(key), rules, built, flags))
