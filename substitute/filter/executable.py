"""Substitution in one executable given as text: parsing, planning, checking, rewriting, printing."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..bindings import leave_classes, settle_bindings
from ..catalog.catalog import Library, builtin_folders, open_library, pack_folders
from ..embed import AtOnce, Built, make_payloads, put_payloads
from ..errors import ModelError, SubstituteError
from ..frontend import list_choices, plan_executables, without_dispatches
from ..match.planner import Chosen
from ..match.splits import with_parts
from ..model.kernel import Kernel
from ..model.plan import Payload, Plan, dispatch_key
from ..plan_file import load_plan
from ..progress import Clock, silent
from .client import file_name
from .options import Options
from .store import Prefilter, Stamp, make_stamp

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..guard.verdict import Checked
    from ..read.module import Site

DEBUG_VARIABLE = "IREE_SUBSTITUTE_DEBUG"
INLINE_FLAG = "--iree-flow-inline-constants-max-byte-length=0"
NOT_SEEN = (
    "the program that launches the dispatches: how often, in which order, with which sizes and on which devices",
    "other executables: whether a plan names dispatches that do not exist, whether a kernel is used anywhere",
    "the launches themselves: a variant of another name cannot be added, since no launch would refer to it",
    "the data of `dense_resource` constants, which IREE leaves out of the text",
)
"""Facts that a filter cannot know; `iree-substitute compile` knows all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Result for one executable."""

    name: str
    text: str | None
    """Changed executable; None if it is unchanged."""
    report: bytes
    """Report as JSON."""
    objects: tuple[Path, ...] = ()
    """Files that the text refers to."""

    @property
    def report_name(self) -> bytes:
        """Name of the report's file."""
        return f"{file_name(self.name)}.json".encode()


@dataclass(slots=True)
class Knowledge:
    """Kernels and plan of one set of options, read once."""

    options: Options
    library: Library | None = None
    chosen: Chosen | None = None
    stamp: Stamp | None = None
    _kernels: dict[frozenset[str], Sequence[Kernel]] = field(default_factory=dict)

    def read(self) -> None:
        """Read manifests and plan. Raises `SubstituteError`."""
        options = self.options
        self.chosen = load_plan(options.plan).chosen if options.plan else None
        self.library = open_library(options.kernels, builtin=options.builtin, kept=options.cache)
        folders = [*options.kernels, *((*builtin_folders(), *pack_folders()) if options.builtin else ())]
        self.stamp = make_stamp(self.library.manifests, [folder.resolve() for folder in folders], options)

    def kernels(self, backends: frozenset[str]) -> Sequence[Kernel]:
        """Return the kernels for these backends, with their definitions read."""
        assert self.library is not None
        if backends not in self._kernels:
            self._kernels[backends] = self.library.catalog(backends).kernels
        return self._kernels[backends]

    def prefilter(self) -> Prefilter | None:
        """Return the texts that an executable must contain for each kernel; None if a plan decides."""
        from .prefilter import build_prefilter

        if self.options.plan or self.library is None:
            return None
        try:
            return build_prefilter(
                self.kernels(frozenset(t.backend for m in self.library.manifests for t in m.kernel.targets))
            )
        except SubstituteError:
            return None  # a kernel for another backend is broken: compiling for that backend reports it

    @property
    def digest(self) -> bytes:
        """Digest of everything a result depends on; empty if it is unknown, so that no result may be cached."""
        return self.stamp.digest if self.stamp else b""


def new_context() -> ir.Context:
    """Return a context without threads, which a forked process would wait for.

    It is the only user of the bindings here.
    """
    settle_bindings()
    leave_classes()
    from iree.compiler import ir

    context = ir.Context()
    context.enable_multithreading(False)
    return context


def rewrite_executable(
    data: bytes, knowledge: Knowledge, context: ir.Context, objects: Callable[[], Path], *, chosen: Chosen | None = None
) -> Outcome:
    """Plan and rewrite one executable. `objects` returns the folder for object files.

    `chosen` is a plan instead of that of `knowledge`. Raises `SubstituteError` for input that is no executable and for
    everything that a user can correct.
    """
    from iree.compiler import ir

    sys.dont_write_bytecode = True  # bytecode files beside a generator would change its folder, which is watched
    text = _text(data)
    with context, ir.Location.unknown():
        module = parse(text, where="standard input").operation
        executable = _only_executable(module)
        clock = Clock(silent)
        plan, sites = plan_executables(
            module,
            clock,
            knowledge.kernels,
            chosen=knowledge.chosen if chosen is None else chosen,
            whole=False,
            demands=knowledge.options.demands,
        )
        name = str(ir.StringAttr(executable.attributes["sym_name"]).value)
        if not plan.substitutions:
            return Outcome(name=name, text=None, report=_report(name, plan, {}))
        folder = objects() if any(s.kernel.payload.kind.needs_object_file for s in plan.substitutions) else Path()
        built = make_payloads(plan, clock, AtOnce())
        checked = _checked(text, plan, sites, built, knowledge.options.flags, chosen=knowledge.chosen is not None)
        refused = frozenset(c.key for c in checked if c.left_out)
        if refused and chosen is None:
            left = without_dispatches(plan, refused)
            if any(s.kernel.payload.kind.rewrites_body for s in plan.substitutions):  # rules have changed the module
                return rewrite_executable(data, knowledge, context, objects, chosen=list_choices(left))
            plan, built = left, [b for b in built if dispatch_key(b.substitution.dispatch) not in refused]
            if not built:
                return Outcome(name=name, text=None, report=_report(name, plan, {}, checked))
        put_payloads(built, plan, sites, clock, folder)
        payloads = {one.name: one.payload for one in built}
        del sites
        if not module.verify():
            raise AssertionError(f"the rewritten executable {name} does not verify")
        changed = executable.get_asm(enable_debug_info=True, use_local_scope=True) + "\n"
        parse(changed, where=f"the rewritten {name}")
        files = tuple(folder / n for n in os.listdir(folder) if n in changed) if folder != Path() else ()
        return Outcome(name=name, text=changed, report=_report(name, plan, payloads, checked), objects=files)


def _checked(
    text: str, plan: Plan, sites: Sequence[Site], built: Sequence[Built], flags: Sequence[str], *, chosen: bool
) -> tuple[Checked, ...]:
    """Return the verdicts of earlier compilations of models on these kernels in these dispatches."""
    from ..guard.recall import has_refusals, look_up_verdicts

    if not has_refusals():
        return ()
    from ..read.module import find_sites

    after = {dispatch_key(site.dispatch): site.function for site in sites}
    before = after
    if any(s.kernel.payload.kind.rewrites_body for s in plan.substitutions):
        again = parse(text, where="standard input").operation
        taken = {dispatch_key(s.dispatch): s.dispatch for s in plan.substitutions}
        before = {dispatch_key(site.dispatch): site.function for site in find_sites(again, taken)}
    return look_up_verdicts(plan, built, before, after, flags, chosen=chosen)


def parse(text: str, *, where: str) -> ir.Module:
    """Parse MLIR in the current context. Raises `ModelError` with the parser's message."""
    from iree.compiler import ir

    try:
        return ir.Module.parse(text)
    except ir.MLIRError as error:
        diagnostics = error.error_diagnostics
        words = [f"{d.location}: {d.message}" for d in diagnostics] or [str(error)]
        raise ModelError(
            "this is not valid MLIR",
            where=where,
            expected="one hal.executable as IREE prints it",
            found=_printable(words[0]),
            next_step="see what the command before this one wrote, or what was cut off",
            details="\n".join(_printable(word) for word in words[1:6]),
        ) from None


def _printable(words: str) -> str:
    return "".join(c if c.isprintable() else "." for c in words[:300].replace("\n", " "))


def _text(data: bytes) -> str:
    """Decode the input. Raises `ModelError` for input that cannot be an executable."""
    expected, next_step = "one hal.executable as IREE prints it", "see what the command before this one wrote"
    if not data.strip():
        raise ModelError(
            "there is no input",
            where="standard input",
            expected=expected,
            found="nothing",
            next_step="this command is a filter: give it to --iree-hal-preprocess-executables-with=",
        )
    found = ""
    if data.startswith(b"ML\xefR"):
        found = "MLIR bytecode"
    elif (zero := data.find(b"\0")) >= 0:
        found = f"binary data (a zero byte at offset {zero})"
    if not found:
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            found = f"no UTF-8 (byte 0x{data[error.start]:02x} at offset {error.start})"
    if found:
        raise ModelError(
            "the input is not text", where="standard input", expected=expected, found=found, next_step=next_step
        )
    at = text.find("dense_resource<")
    if at >= 0:
        raise ModelError(
            "the executable holds constants whose data IREE does not give to a filter",
            where="standard input",
            expected="constants in the text itself",
            found=_printable(text[at : at + 60].partition(">")[0] + ">"),
            next_step=f"add {INLINE_FLAG} to the flags of iree-compile, or use `iree-substitute compile`",
        )
    return text


def _only_executable(module: ir.Operation) -> ir.Operation:
    operations = [op.operation for op in module.regions[0].blocks[0].operations]
    if len(operations) == 1 and operations[0].name == "hal.executable":
        return operations[0]
    kinds = ", ".join(sorted({op.name for op in operations})) or "nothing"
    raise ModelError(
        "the input is not one executable",
        where="standard input",
        expected="one hal.executable",
        found=f"{len(operations)} operations ({_printable(kinds)})",
        next_step="this command is a filter: give it to --iree-hal-preprocess-executables-with=",
    )


def _report(name: str, plan: Plan, payloads: dict[str, Payload], checked: Sequence[Checked] = ()) -> bytes:
    from ..report.as_json import plan_to_json

    content = {
        "executable": name,
        "changed": bool(plan.substitutions),
        **plan_to_json(with_parts(plan), payloads, checked),
        "not_seen": NOT_SEEN,
    }
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def describe_error(error: Exception) -> tuple[int, str]:
    """Return the exit status and the message for an error."""
    if isinstance(error, SubstituteError):
        return error.exit_status, str(error)
    if os.environ.get(DEBUG_VARIABLE, "") not in ("", "0"):
        import traceback

        return 70, "".join(traceback.format_exception(error))
    return 70, (
        f"this is a bug in iree-substitute: {type(error).__name__}: {_printable(str(error))}\n"
        f"  next:      run it again with {DEBUG_VARIABLE}=1 and report what it says with the executable"
    )
