"""Comparison of a model with kernels and the same model in stock IREE, on the same device and inputs."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..errors import CompilerCrash, CompilerError, DeviceError, InputError, UsageError
from ..isolate import Call, Child, Death, isolated
from ..model.plan import Plan
from ..pipeline import CompileResult, compile_model
from ..progress import Clock, Progress, silent
from .baseline import describe_failure
from .bisect import find_culprits
from .build import only_bundle
from .bundle import Bundle
from .judge import STANDARD, Options
from .model_inputs import draw_inputs, input_types
from .reproducer import file_name, write_reproducer
from .results import ResultVerdict, compare, compare_three, missing
from .run import build_and_judge
from .subjects import Wanted
from .targets import flags_for, names_several
from .verdict import DispatchVerdict

if TYPE_CHECKING:
    from ..device import Session


STOCK_LIMIT_S = 3600.0
"""Processor time that a call of stock IREE may take."""
LIMIT_S, LIMIT_SHARE = 30.0, 100.0
"""Limits of a call of the model with kernels: seconds, and a multiple of stock IREE's time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVerdict:
    """The whole comparison."""

    plan: Plan
    device: str
    seed: int
    results: tuple[ResultVerdict, ...]
    note: str
    """Weakness of the comparison, such as constant results; empty if there is none."""
    dispatches: tuple[DispatchVerdict, ...] = ()
    """Every substituted dispatch, launched separately as in the model."""
    culprits: tuple[str, ...] = ()
    """The dispatches whose substitution makes the model wrong, where it is."""
    reproducers: tuple[str, ...] = ()
    """Folders in which the culprits are kept."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall-clock time of each step."""

    @property
    def passed(self) -> bool:
        """True if a kernel was judged, and every result and every dispatch that was passed."""
        judged = [d for d in self.dispatches if not d.skipped]
        return not self.unproven and all(r.passed for r in self.results) and all(d.passed for d in judged)

    @property
    def unproven(self) -> str:
        """Reason why nothing is known of the kernels; empty if something is."""
        if not self.plan.substitutions:
            return "no kernel takes a dispatch of the model: nothing was compared but IREE with itself"
        if any(not d.skipped for d in self.dispatches):
            return ""
        if not self.results:
            return "no dispatch and no result could be judged"
        if self.dispatches and not any(d.entered or not d.cases for d in self.dispatches):
            return "no kernel ran in any launch: IREE's own code was selected in each, also in the whole model"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Options for compiling, calling and judging a model."""

    model: Path
    device: str
    kernels: tuple[Path, ...]
    builtin: bool
    flags: tuple[str, ...]
    function: str | None
    isolate: bool
    options: Options = STANDARD


def validate_model(
    model: Path,
    *,
    device: str = "local-task",
    kernels: Sequence[Path] = (),
    builtin: bool = True,
    flags: Sequence[str] = (),
    plan: Path | None = None,
    require: Sequence[str] = (),
    function: str | None = None,
    seed: int = 0,
    inputs: Sequence[Any] = (),
    expected: Sequence[Any] = (),
    quick: bool = False,
    case: str = "",
    dispatches: bool = True,
    reproducer: Path | None = None,
    emitted: bool = False,
    isolate: bool = False,
    options: Options = STANDARD,
    progress: Progress = silent,
) -> ModelVerdict:
    """Judge every substituted dispatch at its launches in the model, and then the whole model against stock IREE.

    Without `inputs` they are drawn from `seed`; `expected` are the results of the model's own framework for `inputs`.
    `case`: only dispatch cases that contain this text, and not the model. If the model is wrong, the responsible
    substitutions are searched for, and kept in folders below `reproducer`. `emitted`: the verdicts also name the code
    that was embedded. Raises `SubstituteError` for errors of
    compiling or running; a wrong result is a verdict, not an error.
    """
    clock = Clock(progress)
    setting = Setting(
        model=model,
        device=device,
        kernels=tuple(kernels),
        builtin=builtin,
        flags=flags_for(device, flags),
        function=function,
        isolate=isolate,
        options=options,
    )
    with clock.step("stock"):
        stock = compile_model(
            model,
            kernels=kernels,
            substitute=False,
            flags=setting.flags,
            isolate=isolate,
            progress=prefixed(progress, "stock: "),
        )
    with clock.step("substituted"):
        result = _substituted(setting, plan, prefixed(progress, "substituted: "), require)
    with clock.step("run"):
        ran = _apart(
            setting,
            _call_stock,
            {
                "vmfb": stock.vmfb,
                "device": device,
                "function": function,
                "values": list(inputs),
                "seed": seed,
                "signatures": stock.signatures,
                "call": not case,
                "several": names_several(setting.flags),
            },
            limit_s=STOCK_LIMIT_S,
        )
    if isinstance(ran, Death):
        raise DeviceError(
            f"stock IREE ends its process on {device}",
            where=str(model),
            found=ran.found,
            next_step="nothing is known of the kernels: report it to IREE",
            details=ran.stderr,
        )
    values, theirs, broken = ran.values, ran.results, ran.broken
    shapes = [np.shape(value) for value in values]
    open_shapes = ({_entry_name(ran.function): shapes, "": shapes},)
    alone: tuple[DispatchVerdict, ...] = ()
    if dispatches and result.plan.substitutions:
        with clock.step("dispatches"):
            wanted = Wanted(quick=quick, seed=seed, case=case, shapes=open_shapes, emitted=emitted)
            alone = judge_plan(setting, result.plan, wanted, prefixed(progress, "dispatches: "))
    verdicts: tuple[ResultVerdict, ...] = ()
    if not case and not broken:
        judge = _Judge(setting, values, theirs, list(expected), limit_s=LIMIT_S + LIMIT_SHARE * ran.seconds)
        with clock.step("run"):
            verdicts = judge.of_module(result.vmfb)
    verdict = ModelVerdict(
        plan=result.plan,
        device=device,
        seed=seed,
        results=verdicts,
        dispatches=alone,
        seconds=clock.seconds,
        note="; ".join(filter(None, (result.warning, _note_of(theirs, broken)))),
    )
    if verdict.passed:
        return verdict
    failed = [d.name for d in alone if not d.skipped and not d.passed]
    culprits = tuple(failed)
    if any(not r.passed for r in verdicts):
        with clock.step("bisect"):
            culprits = _bisected(judge, result.plan, failed, prefixed(progress, "bisect: ")) or culprits
    folders: list[str] = []
    if reproducer is not None:
        for name in culprits:
            wanted = Wanted(quick=True, seed=seed, shapes=open_shapes)
            folders.append(_reproduced(setting, result.plan, name, wanted, alone, reproducer, progress))
    return replace(verdict, culprits=culprits, reproducers=tuple(folders))


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """A call of a model."""

    function: str
    values: list[Any]
    """The arguments."""
    results: list[Any]
    broken: str
    """Reason why there are no results; empty if there are."""
    seconds: float
    """Processor time."""


def _call_stock(
    *,
    vmfb: bytes,
    device: str,
    function: str | None,
    values: list[Any],
    seed: int,
    signatures: Any,
    call: bool,
    several: bool,
    progress: Progress,
) -> Called:
    """Call stock IREE; a fault of its own code does not count against the kernels. Raises `DeviceError`.

    A module for `several` devices is not called, as only one of them is named; nor is one of several functions.
    """
    from ..device import Session

    progress("run stock IREE", None)
    if several:
        return _not_called(f"it is for several devices, and {device} is one of them", function, values)
    with Session(vmfb, device=device) as session:
        if function is None and not values and len(session.functions) > 1:
            names = ", ".join(f.name for f in session.functions)
            return _not_called(f"it has several functions, and --function names none of them: {names}")
        called = session.function(function)
        values = values or draw_inputs(called.name, input_types(called, signatures), seed)
        start = time.process_time()
        results, broken = try_call(session, function, values) if call else ([], "")
        seconds = time.process_time() - start
    if broken:
        broken = f"stock IREE does not run on {device}: {broken}"
    return Called(function=called.name, values=values, results=results, broken=broken, seconds=seconds)


def _not_called(broken: str, function: str | None = None, values: Sequence[Any] = ()) -> Called:
    return Called(function=function or "", values=list(values), results=[], seconds=0.0, broken=broken)


def _call_model(*, vmfb: bytes, device: str, function: str | None, values: list[Any], progress: Progress) -> list[Any]:
    from ..device import Session

    progress("run the model", None)
    with Session(vmfb, device=device) as session:
        return list(session.call(function, values))


def _apart(setting: Setting, function: Callable[..., Any], arguments: Mapping[str, Any], *, limit_s: float) -> Any:
    """Return the result of a call, in a separate process if the setting asks for it, or its `Death`."""
    call = Call(function, arguments)
    if not setting.isolate:
        return call(silent)
    with Child(call) as child:
        return child.outcome(silent, limit_s=lambda: limit_s)


def try_call(session: Session, function: str | None, values: list[Any]) -> tuple[list[Any], str]:
    """Return the results of a call to stock IREE and an empty text, or no results and the reason of the failure.

    Raises `InputError` for inputs that do not fit.
    """
    try:
        return session.call(function, values), ""
    except InputError:
        raise
    except DeviceError as error:
        return [], "; ".join(filter(None, (describe_failure(error).rstrip("; "), error.next_step)))


def judge_plan(setting: Setting, plan: Plan, wanted: Wanted, progress: Progress) -> tuple[DispatchVerdict, ...]:
    """Judge every dispatch that a plan substitutes, with its launches in the model."""
    call = _bundling(setting, chosen_kernels(plan), wanted)
    return build_and_judge(call, isolate=setting.isolate, options=setting.options, progress=progress)[1]


def bundle_plan(setting: Setting, chosen: Mapping[str, tuple[str, ...]], wanted: Wanted, progress: Progress) -> Bundle:
    """Return the dispatches of a plan (dispatch → kernels) as a bundle."""
    call = _bundling(setting, chosen, wanted)
    return cast(Bundle, isolated(call, progress) if setting.isolate else call(progress))


def _bundling(setting: Setting, chosen: Mapping[str, tuple[str, ...]], wanted: Wanted) -> Call:
    return Call(
        only_bundle,
        {
            "model": setting.model,
            "device": setting.device,
            "kernels": setting.kernels,
            "builtin": setting.builtin,
            "flags": setting.flags,
            "chosen": chosen,
            "wanted": wanted,
        },
    )


def chosen_kernels(plan: Plan, names: Sequence[str] | None = None) -> dict[str, tuple[str, ...]]:
    """Return the choices of a plan (dispatch → kernels), or those for some dispatches."""
    chosen: dict[str, tuple[str, ...]] = {}
    for substitution in plan.substitutions:
        name = substitution.dispatch.name
        if names is None or name in names:
            chosen[name] = (*chosen.get(name, ()), substitution.choice)
    return chosen


def _substituted(setting: Setting, plan: Path | None, progress: Progress, require: Sequence[str] = ()) -> CompileResult:
    return compile_model(
        setting.model,
        kernels=setting.kernels,
        builtin=setting.builtin,
        plan=plan,
        require=require,
        flags=setting.flags,
        check=False,
        isolate=setting.isolate,
        progress=progress,
    )


class _Judge:
    """Runs compiled forms of one model on the same inputs, and compares with stock IREE and what was expected."""

    def __init__(
        self, setting: Setting, values: list[Any], stock: list[Any], expected: list[Any], *, limit_s: float
    ) -> None:
        self.setting, self.values, self.stock, self.expected = setting, values, stock, expected
        self.limit_s = limit_s
        if expected and len(expected) != len(stock):
            raise UsageError(
                "wrong number of expected results",
                where="--expected",
                expected=str(len(stock)),
                found=str(len(expected)),
                next_step="give one for each result of the function, in order",
            )

    def of_module(self, vmfb: bytes) -> tuple[ResultVerdict, ...]:
        """The verdict on each result of a module; a module that does not run gives none that is right."""
        arguments = {
            "vmfb": vmfb,
            "device": self.setting.device,
            "function": self.setting.function,
            "values": self.values,
        }
        try:
            found = _apart(self.setting, _call_model, arguments, limit_s=self.limit_s)
            reason = f"its process died: {found.found}" if isinstance(found, Death) else ""
        except DeviceError as error:
            reason = describe_failure(error)
        if reason:
            reason = f"the model does not run: {reason}"
            return tuple(missing(i, stock, reason) for i, stock in enumerate(self.stock))
        if not self.expected:
            return tuple(compare(i, a, b) for i, (a, b) in enumerate(zip(found, self.stock, strict=True)))
        triples = zip(found, self.stock, self.expected, strict=True)
        return tuple(compare_three(i, a, b, c) for i, (a, b, c) in enumerate(triples))

    def fails(self, chosen: dict[str, tuple[str, ...]], progress: Progress) -> bool:
        """Return whether the model is wrong with only these substitutions; one that does not run is."""
        with tempfile.TemporaryDirectory(prefix="iree-substitute-") as folder:
            file = Path(folder) / "plan.json"
            entries = [{"dispatch": d, "kernel": k} for d, kernels in chosen.items() for k in kernels]
            file.write_text(json.dumps({"substitutions": entries}))
            try:
                vmfb = _substituted(self.setting, file, progress).vmfb
                return any(not r.passed for r in self.of_module(vmfb))
            except (CompilerError, DeviceError):
                return True


def _bisected(judge: _Judge, plan: Plan, failed: Sequence[str], progress: Progress) -> tuple[str, ...]:
    """Return the dispatches whose substitution makes the model wrong; those that failed separately are tried first."""

    def fails(names: Sequence[str]) -> bool:
        return judge.fails(chosen_kernels(plan, names), progress)

    return find_culprits(list(chosen_kernels(plan)), fails, suspects=failed)


def _reproduced(
    setting: Setting,
    plan: Plan,
    name: str,
    wanted: Wanted,
    verdicts: Sequence[DispatchVerdict],
    folder: Path,
    progress: Progress,
) -> str:
    """A folder with one dispatch and the case in which it failed."""
    verdict = next((v for v in verdicts if v.name == name), None)
    if verdict is not None and verdict.failures:
        failure = verdict.failures[0]
        wanted = replace(wanted, case=failure.key, seed=failure.seed, quick=False, seeds=1)
    bundle = bundle_plan(setting, chosen_kernels(plan, [name]), wanted, progress)
    place = folder / file_name(name)
    crashes = verdict is not None and any(c.stage == "launch" for c in verdict.failures)
    arguments = {"bundle": bundle, "folder": place, "model": str(setting.model), "run": not crashes}
    try:
        return str(isolated(Call(write_reproducer, arguments), progress))
    except CompilerCrash:  # a kernel that ends its process now and not before
        return str(isolated(Call(write_reproducer, {**arguments, "run": False}), progress))


def _note_of(results: Sequence[np.ndarray[Any, Any]], broken: str) -> str:
    return f"the whole model was not compared, only its dispatches: {broken}" if broken else _note(results)


def _note(expected: Sequence[np.ndarray[Any, Any]]) -> str:
    flat = [i for i, e in enumerate(expected) if e.size > 1 and np.all(e == e.flat[0])]
    if not flat:
        return ""
    which = ", ".join(str(i) for i in flat)
    return f"result {which} of stock IREE is the same everywhere: these inputs prove little, give better ones"


def _entry_name(name: str) -> str:
    return name.removesuffix("$async")


def prefixed(progress: Progress, prefix: str) -> Progress:
    """Progress whose steps begin with a prefix."""
    return lambda what, share: progress(prefix + what, share)
