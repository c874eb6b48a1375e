"""One kernel for one dispatch of a model, judged anew at each save: the model itself is compiled to dispatches once.

What is the same for every save is kept in a folder: the model as dispatches, and IREE's own code for the one. The rest
happens in child processes, so that a kernel that crashes LLVM or its process ends no more than its own turn.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from .cache.stamps import FileState, list_tree, read_state
from .catalog.files import ATTESTATION_SUFFIXES
from .errors import SubstituteError
from .isolate import Call, isolated
from .progress import Clock, Progress

if TYPE_CHECKING:
    from .embed import Built
    from .guard.verdict import Verdict
    from .model.plan import Plan

_MODULE, _OURS = "model.mlirbc", "ours.vmfb"
POLL_S = 0.25
"""Interval at which files are looked at."""
MOST_FILES = 500
"""Number of files below the folder beyond which the others are not watched."""
PATIENCE_S = 120.0
"""Processor time that one step of the judgement may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Outcome of one save."""

    kernel: str = ""
    """The kernel that takes the dispatch; empty if none does."""
    summary: str = ""
    """What its payload is."""
    verdict: Verdict | None = None
    error: str = ""
    """The message where there is no verdict: a mistake in the files, or why no kernel takes the dispatch."""
    loop: tuple[str, ...] = ()
    """Assembly of the largest innermost loop; empty where there is none, or no assembly."""
    seconds: float = 0.0

    @property
    def right(self) -> bool:
        """True if it was judged and is right, however fast."""
        return self.verdict is not None and self.verdict.outcome in ("right", "slower")


class Workbench:
    """A dispatch of a model, and the folder of kernels that are tried in it. Its files go with the `with` block."""

    def __init__(self, model: Path, dispatch: str, folder: Path, flags: Sequence[str]) -> None:
        self.model, self.folder, self.flags = model, folder, tuple(flags)
        self.wanted = dispatch
        self.dispatch = ""
        self._scratch = tempfile.TemporaryDirectory(prefix="iree-substitute-dev-")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._scratch.cleanup()

    def begin(self, progress: Progress) -> None:
        """Compile the model to dispatches and find the one. Raises `SubstituteError`."""
        place = Path(self._scratch.name)
        arguments = {
            "model": self.model,
            "dispatch": self.wanted,
            "folder": self.folder,
            "flags": self.flags,
            "target": place / _MODULE,
        }
        self.dispatch = cast(str, isolated(Call(form_once, arguments), progress))

    def judge(self, progress: Progress) -> Turn:
        """Judge the kernels as they are in the folder now; no error of theirs is raised."""
        start, place = time.perf_counter(), Path(self._scratch.name)
        arguments = {
            "model": str(self.model),
            "dispatch": self.dispatch,
            "folder": self.folder,
            "flags": self.flags,
            "place": place,
        }
        try:
            turn = cast(Turn, isolated(Call(judge_once, arguments), progress))
        except SubstituteError as error:
            turn = Turn(error=str(error))
        except RuntimeError as error:  # a bug of this program in the child; the next save may avoid it
            turn = Turn(error=f"this program failed: {str(error).partition(chr(10))[0]}")
        return replace(turn, seconds=time.perf_counter() - start)


def form_once(
    *, model: Path, dispatch: str, folder: Path, flags: Sequence[str], target: Path, progress: Progress
) -> str:
    """Write the module as dispatches; return the name of the one that is meant. Raises `SubstituteError`."""
    from .compiler import Compilation, bytecode_of
    from .flags import with_default_target
    from .frontend import parse_model, run_to_dispatches
    from .model.plan import Plan
    from .read.module import read_module
    from .report.rows import find_dispatch

    clock = Clock(progress)
    with Compilation(with_default_target(flags), name=str(model)) as compilation:
        parse_model(compilation, model, [folder], clock)
        with clock.step("compile to dispatches"):
            run_to_dispatches(compilation, [folder])
        dispatches = tuple(site.dispatch for site in read_module(compilation.module))
        found = find_dispatch(Plan(substitutions=(), decisions=(), dispatches=dispatches), dispatch)
        target.write_bytes(bytecode_of(compilation.module))
    return found.name


def judge_once(
    *, model: str, dispatch: str, folder: Path, flags: Sequence[str], place: Path, progress: Progress
) -> Turn:
    """Build the kernel that takes the dispatch, judge it and time it. Raises `SubstituteError`."""
    from .compiler import Compilation
    from .embed import AtOnce, make_payloads
    from .flags import with_default_target
    from .frontend import plan_module, scratch_folder
    from .guard.guard import collect_verdicts, start_trial
    from .guard.results import RESULTS
    from .guard.trial import prepare_trial, refuse_module

    clock = Clock(progress)
    for name in (_OURS, RESULTS):  # IREE's own code stays
        (place / name).unlink(missing_ok=True)
    with Compilation(with_default_target(flags), name=model) as compilation, scratch_folder() as scratch:
        compilation.parse((place / _MODULE).read_bytes())
        assert compilation.module is not None
        pristine = compilation.module.clone().operation
        made, sites = plan_module(compilation, clock, [folder], builtin=False, chosen=None, require=())
        del sites
        own = [s for s in made.substitutions if s.dispatch.name == dispatch]
        if not own:
            return Turn(error=_explain_refusal(made, dispatch))
        made = replace(made, substitutions=tuple(own))
        built = make_payloads(made, clock, AtOnce())
        kernels = ", ".join(dict.fromkeys(s.kernel.name for s in own))
        summary = "; ".join(dict.fromkeys(one.payload.summary for one in built))
        reason = refuse_module(pristine, (own[0].dispatch,))
        if reason:
            return Turn(kernel=kernels, summary=summary, error=f"it cannot be run here: {reason}")
        trial = prepare_trial(
            pristine, compilation.module, made, built, {dispatch: own[0].dispatch}, compilation, scratch
        )
        trial = replace(trial, folder=place, thorough=True)
        verdict = collect_verdicts(trial, start_trial(trial), PATIENCE_S, progress)[dispatch]
        return Turn(kernel=kernels, summary=summary, verdict=verdict, loop=_assemble(built))


def _explain_refusal(plan: Plan, dispatch: str) -> str:
    """Return why no kernel takes the dispatch: of the nearest one."""
    from .report.rows import failed_rule, sort_by_nearness

    nearest = sort_by_nearness([d for d in plan.decisions if d.dispatch.name == dispatch])
    rule = failed_rule(nearest[0]) if nearest else None
    if rule is None:
        return f"no kernel here is for the backend of {dispatch}"
    return (
        f"{nearest[0].kernel.name} does not take {dispatch}: {rule.name}\n"
        f"  expected:  {rule.expected}\n  found:     {rule.found}"
    )


def _assemble(built: Sequence[Built]) -> tuple[str, ...]:
    from .model.payload_kind import PayloadFormat
    from .payload.llvm.assembly import assemble
    from .payload.llvm.optimize import parse_bitcode

    for one in built:
        if one.payload.format is PayloadFormat.BITCODE:
            with suppress(SubstituteError):
                text = str(parse_bitcode(one.payload.data, one.name))
                lines = assemble(text, one.substitution.dispatch.target, one.name)
                return find_inner_loop([line.text for line in lines])
    return ()


_LABEL = re.compile(r"^([.\w$]+):")
_JUMP = re.compile(r"^\s+(?:j\w+|b(?:\.\w+)?|cbn?z|tbn?z)\s.*?([.\w$]+)\s*(?:[#;@].*|//.*)?$")


def find_inner_loop(lines: Sequence[str]) -> tuple[str, ...]:
    """Return the lines of the longest loop of an assembly that holds no other loop."""
    labels = {match[1]: at for at, line in enumerate(lines) if (match := _LABEL.match(line))}
    spans = []
    for at, line in enumerate(lines):
        match = _JUMP.match(line)
        if match and labels.get(match[1], at + 1) <= at:
            spans.append((labels[match[1]], at))
    inner = [s for s in spans if not any(s != o and s[0] <= o[0] and o[1] <= s[1] for o in spans)]
    first, last = max(inner, key=lambda span: span[1] - span[0], default=(0, -1))
    return tuple(lines[first : last + 1])


def watch(folder: Path, pause_s: float = POLL_S) -> Iterator[None]:
    """Yield at once, and again whenever files below a folder have changed and stay as they are for a moment."""
    seen = _look(folder)
    yield
    while True:
        time.sleep(pause_s)
        now = _look(folder)
        if now == seen:
            continue
        while True:  # an editor writes several files, or one in parts
            time.sleep(pause_s / 2)
            again = _look(folder)
            if again == now:
                break
            now = again
        seen = now
        yield


def _look(folder: Path) -> tuple[FileState, ...]:
    found = list_tree(folder, most=MOST_FILES)
    return tuple(read_state(p) for p in found if not p.endswith(ATTESTATION_SUFFIXES) and not Path(p).is_dir())
