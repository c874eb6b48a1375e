"""Steps from a plan to a module with kernels: payloads are made, and embedded in place of the dispatches' bodies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import PlanError
from .model.constraints import Condition, constraint_to_index
from .model.dispatch import Dispatch
from .model.plan import Payload, Plan, Request, Substitution, dispatch_key, substitution_names
from .payload.build import make, prepare
from .progress import Clock
from .rewrite.apply import join, substitute_dispatch
from .rewrite.choice import Choice
from .rewrite.host import HostProgram, has_host

if TYPE_CHECKING:
    from .read.module import Site

T = TypeVar("T")

PAYLOADS = "make payloads"


class AtOnce(Executor):
    """Executor that runs each call immediately in this thread: a filter's process has one core."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Call the function and return its result as a finished future."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A substitution with its payload, made and verified."""

    name: str
    """Name of the substitution; see `substitution_names`."""
    substitution: Substitution
    request: Request
    payload: Payload


def substitute_dispatches(
    plan: Plan,
    sites: Sequence[Site],
    clock: Clock,
    workers: Executor,
    folder: Path,
    choices_of: dict[Dispatch, list[Choice]] | None = None,
) -> dict[str, Payload]:
    """Make all payloads and put them into the module; return them by the name of the dispatch.

    `choices_of` is filled with the choices that each dispatch is given.
    """
    built = make_payloads(plan, clock, workers)
    put_payloads(built, plan, sites, clock, folder, choices_of)
    return {one.name: one.payload for one in built}


def make_payloads(plan: Plan, clock: Clock, workers: Executor) -> list[Built]:
    """Make the payloads of all substitutions, in order, each one once. Raises `PayloadError`."""
    # rules are applied already
    chosen = tuple(s for s in plan.substitutions if not s.kernel.payload.kind.rewrites_body)
    with clock.step(PAYLOADS):
        orders = [prepare(substitution) for substitution in chosen]
        distinct = {order.key or str(number): order for number, order in enumerate(orders)}
        payloads: dict[str, Payload] = {}
        for key, payload in zip(distinct, workers.map(make, distinct.values()), strict=True):
            clock.progress(PAYLOADS, len(payloads) / len(distinct))
            payloads[key] = payload
    return [
        Built(name=name, substitution=s, request=order.request, payload=payloads[order.key or str(number)])
        for number, (s, name, order) in enumerate(zip(chosen, substitution_names(chosen), orders, strict=True))
    ]


def put_payloads(
    built: Sequence[Built],
    plan: Plan,
    sites: Sequence[Site],
    clock: Clock,
    folder: Path,
    choices_of: dict[Dispatch, list[Choice]] | None = None,
) -> None:
    """Embed payloads in the module of the sites, which are invalid afterwards.

    `choices_of` is filled with the choices that each dispatch is given.
    """
    by_name = {(s.dispatch.executable, s.dispatch.variant, s.dispatch.name): s for s in sites}
    with clock.step(PAYLOADS):
        host = _host_of(plan, sites)
        for key, group in groupby(built, key=lambda b: dispatch_key(b.substitution.dispatch)):
            choices = [_choice(b.substitution, b.request, b.payload) for b in group]
            substitute_dispatch(by_name[key], choices, host=host, folder=folder)
            if choices_of is not None:
                choices_of[by_name[key].dispatch] = choices


def _host_of(plan: Plan, sites: Sequence[Site]) -> HostProgram | None:
    """Return the program around the executables, if there is one and a choice has to be written into it."""
    if not any(s.conditional or s.dispatch.siblings for s in plan.substitutions):
        return None
    module = sites[0].executable.parent
    return HostProgram(module) if has_host(module) else None


def _choice(substitution: Substitution, request: Request, payload: Payload) -> Choice:
    rule = substitution.rule
    return Choice(
        request=request,
        payload=payload,
        run_time=run_time_condition(substitution),
        device=rule.device if rule else (),
        variant=rule.variant if rule else "",
    )


def run_time_condition(substitution: Substitution) -> Condition:
    """Return the condition to check when the dispatch is launched. Raises `PlanError` if it can never hold."""
    sizes = {axis.name: axis.size for axis in substitution.match.axes}
    wanted = [c for c in substitution.kernel.constraints if c.text in substitution.match.fallback]
    condition = join([constraint_to_index(c, sizes) for c in wanted])
    if condition is False:
        raise PlanError(
            f"the constraints of {substitution.kernel.name} can never hold",
            where=substitution.dispatch.name,
            expected=" and ".join(c.text for c in wanted),
            found=", ".join(f"{name} = {size}" for name, size in sizes.items()),
            next_step="leave the kernel out of the plan",
        )
    return condition
