"""From a substitution to a verified payload."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..abi.bind import bind
from ..errors import PayloadError
from ..match.devices import derive_target
from ..model.dispatch import Dispatch
from ..model.kernel import Kernel
from ..model.payload_kind import CodeKind
from ..model.plan import Payload, Request, Substitution
from . import store
from .attached import check_objects, check_spec_ids, resolve_constants
from .sharing import shared_entry, shared_key, without_place

if TYPE_CHECKING:
    from .llvm.counters import Counters


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A request for a payload."""

    request: Request
    key: str
    """Orders with the same key share a payload; empty: not shared."""


def build(substitution: Substitution) -> tuple[Request, Payload]:
    """Make the payload of a substitution, verified against the dispatch's layout. Raises `PayloadError`."""
    order = prepare(substitution)
    return order.request, make(order)


def prepare(substitution: Substitution) -> Order:
    """Bind a substitution to its kernel's arguments and find out which share its code. Raises `PayloadError`."""
    substitution = specialize_for_device(substitution)
    kernel, dispatch = substitution.kernel, substitution.dispatch
    key = shared_key(substitution)
    entry = shared_entry(substitution) if key else kernel.payload.kind.entry_name(kernel, dispatch)
    return Order(request=bind(substitution, entry=entry), key=key)


def make(order: Order) -> Payload:
    """Make the payload of an order, or take it from the cache. Raises `PayloadError`."""
    request = order.request
    return _make_shared(request, order.key) if order.key else _make(request)


def make_counted(request: Request, payload: Payload, counters: Counters) -> tuple[Payload, str] | None:
    """Make a payload once more with counters in it, and return their key; None: it cannot be counted.

    Raises `PayloadError`.
    """
    from .kinds.llvm import with_asked_features
    from .llvm.optimize import parse_ir, to_bitcode

    kernel, target = request.substitution.kernel, request.substitution.dispatch.target
    kind = kernel.payload.kind
    if target.backend != "llvm-cpu" or not isinstance(kind, CodeKind):
        return None
    source = kind.read_llvm(request)
    if source is None:
        return None
    entry, text, finished = source
    title = request.substitution.dispatch.name if kind.sees_dispatch else kernel.name
    counted, key = counters.put_into(text, title)
    module = parse_ir(counted, str(kernel.payload.path))
    module.get_function(entry).name = request.entry
    linked = check_objects(kernel, target) if payload.objects else frozenset()
    data = to_bitcode(module, target=target, entry=request.entry, finished=finished, linked=linked)
    return replace(payload, data=with_asked_features(data, request)), key


def _make_shared(request: Request, key: str) -> Payload:
    payload = store.look_up(key)
    if payload is not None:
        return payload
    reduced = bind(without_place(request.substitution), entry=request.entry)
    try:
        payload = _make(reduced)
    except PayloadError:
        return _make(request)  # whose error names the dispatch
    store.keep(key, payload, store.kernel_state(request.substitution.kernel))
    return payload


def _make(request: Request) -> Payload:
    kernel = request.substitution.kernel
    linked = check_objects(kernel, request.substitution.dispatch.target) if kernel.payload.objects else frozenset()
    kind = kernel.payload.kind
    assert isinstance(kind, CodeKind), kind
    payload = kind.build(request, linked)
    if kernel.executable_constants:
        payload = replace(payload, constants=resolve_constants(request))
        check_spec_ids(payload, str(kernel.payload.path))
    return replace(payload, objects=kernel.payload.objects)


def specialize_for_device(substitution: Substitution) -> Substitution:
    """Return the substitution with the features of its device: those that the device is asked for are present."""
    if substitution.rule is None:
        return substitution
    dispatch = substitution.dispatch
    target = derive_target(dispatch.target, substitution.rule)
    return replace(substitution, dispatch=replace(dispatch, target=target))


def accepts(kernel: Kernel, dispatch: Dispatch) -> str:
    """Return why the kernel's code cannot be made for this dispatch; empty: it can."""
    return kernel.payload.kind.refuse(kernel, dispatch)
