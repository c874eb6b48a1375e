"""Applies a plan to a module: the only place that changes IR."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..model.constraints import Condition, Logic
from ..model.plan import Payload, Request
from .choice import Choice
from .host import HostProgram
from .inside import FALLBACK_SUFFIX, put_inside
from .variants import put_outside

if TYPE_CHECKING:
    from ..read.module import Site

__all__ = ["CALL_OUT_BACKENDS", "FALLBACK_SUFFIX", "join", "substitute_dispatch", "substitute_export"]

CALL_OUT_BACKENDS = frozenset({"llvm-cpu"})
"""Backends on which a payload is linked to a shim; on others the payload is the whole variant."""


def substitute_export(
    site: Site, request: Request, payload: Payload, condition: Condition = True, *, folder: Path | None = None
) -> None:
    """Replace one export's body by one verified payload. See `substitute_dispatch`."""
    substitute_dispatch(site, [Choice(request=request, payload=payload, run_time=condition)], folder=folder)


def substitute_dispatch(
    site: Site, choices: Sequence[Choice], *, host: HostProgram | None = None, folder: Path | None = None
) -> None:
    """Replace one export's body by verified payloads; the first one that fits device and sizes runs.

    IREE's own code stays as the last choice unless one is total. `host` is needed if the choice is not made inside of
    the variant. Object files are put into `folder`, which has to exist until the module is compiled.
    """
    from iree.compiler import ir

    if host is not None:
        site = host.where_now(site)
    with ir.Location.unknown():
        if site.dispatch.target.backend in CALL_OUT_BACKENDS:
            put_inside(site, choices, folder)
        else:
            put_outside(site, choices, host, folder)


def join(conditions: list[Condition]) -> Condition:
    """Return the conjunction of the conditions."""
    unknown = [c for c in conditions if c is not True]
    if any(c is False for c in unknown):
        return False
    if not unknown:
        return True
    return unknown[0] if len(unknown) == 1 else Logic(op="and", args=tuple(unknown))
