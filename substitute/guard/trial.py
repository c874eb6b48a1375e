"""A trial: a module with the kernels, one with IREE's own code, and the launches of each dispatch in them."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..cache.checked import digest_parts
from ..embed import Built, put_payloads
from ..match.target import architecture
from ..model.accuracy import Accuracy, find_loosest
from ..model.dispatch import Dispatch, Target
from ..model.plan import Key, dispatch_key
from ..progress import Clock, silent
from ..read.module import children, find_sites
from ..validate.call_sites import CallSite, find_call_sites
from ..validate.case import Launch
from ..validate.harness import isolate_dispatches
from ..validate.operand_names import Names, names_of
from .pace import MARGIN

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..compiler import Compilation
    from ..model.plan import Plan

DRAWN_SIZES = (8, 33)
"""Value of every open dimension of the model's arguments, one for each launch."""
MOST_ARGUMENTS, MOST_RANK = 256, 16
SIMULATED_WORK = 2e7
"""Limit of arithmetic operations in one launch on the simulated device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A dispatch with its kernels, to be judged."""

    key: str
    """Key of the verdict, see `keys`."""
    entry: str
    """Function of both modules that launches it."""
    dispatch: Dispatch
    launches: tuple[Launch, ...]
    repeatable: bool
    """True if two launches give the same bits."""
    names: Names = ()
    """Its operands' names."""
    laws: tuple[str, ...] = ()
    """Laws by which any of its kernels was matched."""
    composed: bool = False
    """True if a rule changes IREE's code, whose functions are composed of others."""
    declared: Accuracy | None = None
    """The bound of errors that its kernels declare."""
    skipped: str = ""
    """Reason why it cannot be judged; empty if it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Input of the process that judges pairs."""

    flags: tuple[str, ...]
    name: str
    ours: bytes
    """MLIR bytecode, at `executable-sources`."""
    stock: bytes
    pairs: tuple[Pair, ...]
    device: str
    timed: bool
    folder: Path
    """Folder of its finished verdicts, so that another process can go on after a crash."""
    margin: float = MARGIN
    """A kernel is slower if its time is more than this multiple of that of IREE's own code."""
    thorough: bool = False
    """True: time until the ratio is clear, not only until it is clear that nothing is slower; see `device.ratio`."""
    with_stock: bool = True
    """False once IREE's own code has crashed a process."""


def refuse_module(module: ir.Operation, dispatches: Sequence[Dispatch]) -> str:
    """Return why nothing of a module can be run here; empty if it can."""
    devices = [
        op for op in children(module) if op.name == "util.global" and "!hal.device" in str(op.attributes["type"])
    ]
    if len(devices) > 1:
        return f"the program is for {len(devices)} devices"
    return next(filter(None, (refuse_target(d.target) for d in dispatches)), "")


def refuse_target(target: Target) -> str:
    """Return why code for a target cannot run on this machine; empty if nothing in the target excludes it."""
    if target.backend == "llvm-cpu":
        return _refuse_cpu(target)
    if target.backend in ("vulkan-spirv", "cuda"):
        return ""
    return f"there is no device for {target.backend} here, nor a substitute for it"


def _refuse_cpu(target: Target) -> str:
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine())
    wanted = architecture(target)
    if not target.format.startswith(("embedded-elf", "system-elf")) or wanted.replace("arm64", "aarch64") != machine:
        return f"it is compiled for {wanted or target.format}, and this machine is {machine}"
    from llvmlite import binding

    here = binding.get_host_cpu_features()
    missing = sorted(name for name in target.features if here.get(name) is False)
    return f"the CPU here lacks {', '.join(missing[:4])}" if missing else ""


def device_for(target: Target) -> str:
    """Return the device that code for a target is judged on."""
    if target.backend == "cuda":
        return f"cuda-sim://{architecture(target) or 'sm_80'}"
    return "vulkan" if target.backend == "vulkan-spirv" else "local-task"


def prepare_trial(
    pristine: ir.Operation,
    planned: ir.Operation,
    plan: Plan,
    built: Sequence[Built],
    unknown: Mapping[str, Dispatch],
    compilation: Compilation,
    folder: Path,
) -> Trial:
    """Make the modules and find the launches of dispatches, by the keys of their verdicts.

    `pristine` is the module as IREE has it, `planned` the same after rules changed bodies; both are copied.
    """
    from ..compiler import bytecode_of

    taken = {dispatch_key(d): d for d in unknown.values()}
    stock, ours = pristine.clone().operation, planned.clone().operation
    launches = _launches(stock, taken)
    # names that do not depend on what else is judged, so that a module of IREE's own code serves several trials
    entries = {f"run_{digest_parts([repr(key).encode()]).hex()[:16]}": dispatch for key, dispatch in taken.items()}
    by_dispatch = {dispatch_key(d): entry for entry, d in entries.items()}
    isolate_dispatches(ours, entries, in_flight=False)
    isolate_dispatches(stock, entries, in_flight=False)
    there = {d.executable for d in taken.values()}
    own = [b for b in built if dispatch_key(b.substitution.dispatch) in taken]
    kept = replace(plan, substitutions=tuple(s for s in plan.substitutions if s.dispatch.executable in there))
    put_payloads(own, kept, list(find_sites(ours, taken)), Clock(silent), folder)
    device = device_for(next(iter(taken.values())).target)
    pairs = []
    for key, dispatch in unknown.items():
        own_here = [s for s in plan.substitutions if dispatch_key(s.dispatch) == dispatch_key(dispatch)]
        kernels = [s.kernel for s in own_here]
        known, reasons = launches[dispatch_key(dispatch)]
        pairs.append(
            Pair(
                key=key,
                entry=by_dispatch[dispatch_key(dispatch)],
                dispatch=dispatch,
                launches=known,
                repeatable=not any(k.not_repeatable for k in kernels),
                names=names_of(own_here[0]) if own_here else (),
                composed=any(k.payload.kind.rewrites_body for k in kernels),
                declared=find_loosest(k.accuracy for k in kernels),
                laws=tuple(sorted({law for s in own_here for law in s.match.laws})),
                skipped=_reason_against(dispatch, device) or ("" if known else reasons),
            )
        )
    return Trial(
        flags=compilation.flags,
        name=compilation.name,
        ours=bytecode_of(ours),
        stock=bytecode_of(stock),
        pairs=tuple(pairs),
        device=device,
        timed=not device.startswith("cuda-sim"),
        folder=folder,
    )


def _reason_against(dispatch: Dispatch, device: str) -> str:
    from ..report.cost import cost_of

    if not device.startswith("cuda-sim") or dispatch.program is None:
        return ""
    flops = cost_of(dispatch.program).flops
    if isinstance(flops, int) and flops > SIMULATED_WORK:
        return f"{flops:.2g} operations are too many for the simulated device"
    return ""


def _launches(stock: ir.Operation, taken: Mapping[Key, Dispatch]) -> dict[Key, tuple[tuple[Launch, ...], str]]:
    """Return a few different launches of each dispatch, or why there are none."""
    bindings = {key: d.layout.bindings for key, d in taken.items()}
    found: dict[Key, list[CallSite]] = {key: [] for key in taken}
    for size in DRAWN_SIZES:
        shapes = {"": ((size,) * MOST_RANK,) * MOST_ARGUMENTS}
        for site in find_call_sites(stock, bindings, shapes, drawn=True):
            found[site.dispatch].append(site)
    return {key: _few(sites) for key, sites in found.items()}


def _few(sites: Sequence[CallSite]) -> tuple[tuple[Launch, ...], str]:
    known = list(dict.fromkeys(site.launch for site in sites if site.launch is not None))
    if not known:
        reasons = dict.fromkeys(site.reason for site in sites if site.reason)
        return (), f"its launch is not known: {next(iter(reasons))}" if reasons else "the program never launches it"
    known.sort(key=_size)
    if len({(launch.workload, launch.constants, _lengths(launch)) for launch in known}) == 1:
        return (known[0],), ""  # the others differ in the bytes before the operands, as the arrangements of a case do
    return (known[0], known[-1]), ""


def _size(launch: Launch) -> int:
    return sum({b.resource: b.offset + b.length for b in launch.bindings}.values())


def _lengths(launch: Launch) -> tuple[int, ...]:
    return tuple(b.length for b in launch.bindings)


def functions_of(module: ir.Operation, pairs: Sequence[Pair]) -> Iterator[tuple[Pair, ir.Operation | None]]:
    """Yield each pair with its function in a module of single dispatches."""
    sites = {
        dispatch_key(s.dispatch): s for s in find_sites(module, {dispatch_key(p.dispatch): p.dispatch for p in pairs})
    }
    for pair in pairs:
        site = sites.get(dispatch_key(pair.dispatch))
        yield pair, site.function if site else None
