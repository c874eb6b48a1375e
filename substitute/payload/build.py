"""From a substitution to a verified payload."""

from __future__ import annotations

from dataclasses import replace

from ..abi.bind import bind
from ..match.devices import promised
from ..model.dispatch import Dispatch
from ..model.kernel import Kernel
from ..model.plan import Payload, Request, Substitution
from .attached import check_objects, check_spec_ids, resolve_constants


def build(substitution: Substitution) -> tuple[Request, Payload]:
    """Make the payload of a substitution, verified against the dispatch's layout. Raises `PayloadError`."""
    substitution = for_its_device(substitution)
    kernel, dispatch = substitution.kernel, substitution.dispatch
    kind = kernel.payload.kind
    request = bind(substitution, entry=kind.entry_name(kernel, dispatch))
    linked = check_objects(kernel, dispatch.target) if kernel.payload.objects else frozenset()
    payload = kind.build(request, linked)
    if kernel.executable_constants:
        payload = replace(payload, constants=resolve_constants(request))
        check_spec_ids(payload, str(kernel.payload.path))
    return request, replace(payload, objects=kernel.payload.objects)


def for_its_device(substitution: Substitution) -> Substitution:
    """Return it with the target that the code may count on: what the device is asked is known to be there."""
    if substitution.rule is None:
        return substitution
    dispatch = substitution.dispatch
    target = promised(dispatch.target, substitution.rule)
    return replace(substitution, dispatch=replace(dispatch, target=target))


def accepts(kernel: Kernel, dispatch: Dispatch) -> str:
    """Return why the kernel's code cannot be made for this dispatch; empty: it can."""
    return kernel.payload.kind.refuse(kernel, dispatch)
