"""One module of many random functions: compiled once by IREE alone and once with kernels, run, and judged.

Every substituted dispatch is launched alone, as the host program launches it, and compared with its golden; IREE's own
code for it is judged in the same way. Then every function is called in both modules, and the results are compared.
"""

from __future__ import annotations

import re
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from runtime_tests.fuzz.function import SETS, Function
from substitute.compiler import Compilation
from substitute.crash import NO_THREADS
from substitute.device import Session
from substitute.device.raw import RawModule
from substitute.embed import substitute_dispatches
from substitute.errors import CompilerError, DeviceError, SubstituteError
from substitute.flags import with_default_target
from substitute.frontend import plan_module, scratch_folder, worker_threads
from substitute.golden import evaluate_function
from substitute.progress import Clock, silent
from substitute.read.module import read_module
from substitute.validate.allowance import SLACK
from substitute.validate.baseline import run_baseline
from substitute.validate.build import isolate_kernels
from substitute.validate.case import Area, Case
from substitute.validate.criteria import check_values
from substitute.validate.harness import add_launches
from substitute.validate.inputs import classes_for, draw
from substitute.validate.judge import Options, judge_alone
from substitute.validate.prepare import describe_launch, make_case
from substitute.validate.results import compare
from substitute.validate.sites import find_call_sites
from substitute.validate.targets import flags_for

FLAGS = (NO_THREADS, "--iree-input-demote-f64-to-f32=false", "--iree-opt-const-eval=false")
"""Many small dispatches are compiled faster by one thread; f64 stays f64; constants are not computed by a compiler in
the compiler, which takes a quarter of the time.
"""
TOGETHER = 10
"""Programs in one function, where they need not be called whole: what the compiler does for a function is done once."""
CLASS = "normal"
"""The class of inputs that whole functions are called with."""
PLACE = re.compile(r"fuzz\.mlir\"?:(\d+):")
"""A line of the module, in an error of the compiler."""
OURS = ("wrong", "not compiled", "crashed", "differs")
"""Kinds of findings that are this project's faults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that should not be."""

    kind: str
    """One of `OURS`; or `stock wrong` (IREE's own code alone), `both wrong` (or the golden is)."""
    number: int
    """Of the function in the module."""
    kernel: str = ""
    dispatch: str = ""
    message: str = ""


@dataclass(slots=True, kw_only=True)
class Report:
    """What became of a module."""

    functions: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    kernels: Counter[str] = field(default_factory=Counter)
    """Substituted dispatches by kernel."""
    unread: Counter[str] = field(default_factory=Counter)
    """Dispatches that were not read, by reason."""
    left: Counter[str] = field(default_factory=Counter)
    """Dispatches that no kernel took, by what they compute."""
    unjudged: Counter[str] = field(default_factory=Counter)
    """Substituted dispatches that were not judged, by reason."""
    findings: list[Finding] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    """Functions that IREE does not compile, with its words."""
    seconds: Counter[str] = field(default_factory=Counter)

    def add(self, other: Report, numbers: Sequence[int]) -> None:
        """Adds the report of some of the functions, whose numbers are given."""
        self.functions += other.functions
        for name in ("counts", "kernels", "unread", "left", "unjudged", "seconds"):
            getattr(self, name).update(getattr(other, name))
        self.findings += [
            Finding(
                kind=f.kind, number=numbers[f.number], kernel=f.kernel, dispatch=f.dispatch, message=f.message
            )
            for f in other.findings
        ]  # fmt: skip
        self.refused |= {numbers[n]: words for n, words in other.refused.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What programs are compiled with and run on."""

    device: str = "local-task"
    kernels: tuple[Path, ...] = ()
    builtin: bool = True
    flags: tuple[str, ...] = ()
    whole: bool = True
    """Compile IREE's own code and the host program as well; else only the kernels, launched alone."""
    substitute: bool = True
    """False: IREE alone, to see whether it dies by itself."""


def judge_functions(functions: Sequence[Function], setting: Setting) -> Report:
    """All of them in one module; those that IREE refuses are left out, and one at which anything dies is looked for."""
    report = Report()
    _judge_some(dict(enumerate(functions)), setting, report)
    report.functions = len(functions)
    return report


def _judge_some(functions: Mapping[int, Function], setting: Setting, report: Report) -> None:
    left = dict(functions)
    while left:
        part = Report()
        try:
            _judge(left, setting, part)
        except _Refused as refused:
            for number in refused.numbers:
                report.refused[number] = refused.words
                left.pop(number)
            continue
        except Exception as error:
            report.counts["halvings"] += 1
            if len(left) == 1:
                (number,) = left
                report.findings.append(Finding(kind="crashed", number=number, message=_words(error)))
                return
            numbers = list(left)
            middle = len(numbers) // 2
            for half in (numbers[:middle], numbers[middle:]):
                _judge_some({n: left[n] for n in half}, setting, report)
            return
        report.add(part, range(10**6))
        return


def _words(error: Exception) -> str:
    """What is said of an error that nobody expected."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames[-3:]]
    return f"{type(error).__name__}: {error} ({' < '.join(reversed(places))})"[:600]


class _Refused(Exception):
    """IREE by itself does not compile some of the functions."""

    def __init__(self, numbers: Sequence[int], words: str) -> None:
        super().__init__(words)
        self.numbers, self.words = numbers, words


def _judge(functions: Mapping[int, Function], setting: Setting, report: Report) -> None:
    flags = (*with_default_target(flags_for(setting.device, setting.flags)), *FLAGS)
    layout = Layout(functions, together=1 if setting.whole or _imported(functions) else TOGETHER)
    clock = Clock(silent)
    with Compilation(flags, name="fuzz.mlir") as compilation, worker_threads() as workers, scratch_folder() as folder:
        with _timed(report, "front"):
            _to_dispatches(compilation, layout)
        stock = compilation.module
        assert stock is not None
        ours = stock.clone().operation
        taken: dict[str, Any] = {}
        if setting.substitute:
            with _timed(report, "plan"):
                compilation.module = ours
                plan, sites = plan_module(
                    compilation, clock, setting.kernels, builtin=setting.builtin, chosen=None, require=()
                )
                chosen = {s.dispatch: s.kernel.name for s in plan.substitutions}
                taken = {f"run_{i}": dispatch for i, dispatch in enumerate(chosen)}
        with _timed(report, "golden"):
            cases = _cases(stock, taken, chosen, layout, setting, report) if taken else {}
            owners = {entry: layout.number_of(_body_of(sites, dispatch)) for entry, dispatch in taken.items()}
        theirs: bytes | None = None
        if setting.whole:
            with _timed(report, "compile stock"):
                add_launches(stock, taken, in_flight=False)
                theirs = _finish_stock(compilation, stock, layout)
        if not setting.substitute:
            return
        with _timed(report, "payloads"):
            if setting.whole:
                add_launches(ours, taken, in_flight=False)
                substitute_dispatches(plan, sites, clock, workers, folder)
            elif taken:
                isolate_kernels(ours, plan, sites, taken, clock, workers, folder, in_flight=False)
            _count(plan, report)
            del sites, plan
        candidate: bytes | None = None
        if taken or setting.whole:
            with _timed(report, "compile ours"):
                candidate = _finish_ours(compilation, ours, functions, report)
        del stock, ours
        compilation.module = None
    if candidate is None:
        return
    with _timed(report, "run"):
        wrong = _run_cases(candidate, theirs, taken, chosen, cases, owners, setting, report)
    if theirs is not None:
        with _timed(report, "call"):
            _call_functions(candidate, theirs, functions, wrong, setting, report)


def _imported(functions: Mapping[int, Function]) -> bool:
    return any(f.imported for f in functions.values())


@contextmanager
def _timed(report: Report, what: str) -> Iterator[None]:
    start = process_time()
    yield
    report.seconds[what] += process_time() - start


def _to_dispatches(compilation: Compilation, layout: Layout) -> None:
    """Parses and compiles a module up to its dispatches. Raises `_Refused`."""
    try:
        compilation.parse(layout.text)
        compilation.run("start", "executable-sources")
    except SubstituteError as error:
        raise _refusal(error, layout) from None


def _finish_stock(compilation: Compilation, stock: Any, layout: Layout) -> bytes:
    try:
        compilation.module = stock
        compilation.run("executable-sources", "end")
        return compilation.bytecode()
    except CompilerError as error:
        raise _refusal(error, layout) from None


def _finish_ours(
    compilation: Compilation, ours: Any, functions: Mapping[int, Function], report: Report
) -> bytes | None:
    try:
        compilation.module = ours
        compilation.run("executable-sources", "end")
        return compilation.bytecode()
    except CompilerError as error:
        if len(functions) > 1:
            raise
        (number,) = functions
        report.findings.append(
            Finding(kind="not compiled", number=number, message=f"{error.found} {error.details}"[:500])
        )
        return None


def _refusal(error: SubstituteError, layout: Layout) -> Exception:
    """Whose fault an error of the compiler is, by the line that it names; else the module has to be halved."""
    words = f"{error.found}\n{error.details}"
    line = PLACE.search(words)
    number = layout.number_at(int(line[1])) if line else None
    if number is None and len(layout.functions) == 1:
        (number,) = layout.functions
    return error if number is None else _Refused([number], _first_error(words))


def _first_error(words: str) -> str:
    line = next((line for line in words.splitlines() if "error:" in line), words.strip().partition("\n")[0])
    return line.rpartition("error:")[2].strip()[:160]


class Layout:
    """A module of programs, several in one function, and which line of it is whose."""

    def __init__(self, functions: Mapping[int, Function], *, together: int) -> None:
        self.functions = functions
        numbers = list(functions)
        self._groups = {f"f{n}": numbers[at : at + together] for at in range(0, len(numbers), together)
                        for n in numbers[at : at + 1]}  # fmt: skip
        self._starts: list[tuple[int, int]] = []
        lines = ["module {"]
        for name, group in self._groups.items():
            if len(group) == 1:
                self._starts.append((len(lines) + 1, group[0]))
                lines += functions[group[0]].text(name).split("\n")
                continue
            lines.append("")
            at = len(lines) - 1
            signatures, results, types = [], [], []
            for number in group:
                self._starts.append((len(lines) + 1, number))
                head, *body = _renamed("\n".join(functions[number].parts), number).split("\n")
                arguments, _, given = head.removesuffix(" {").partition(" -> ")
                returned, _, _ = body[-2].strip().removeprefix("return ").partition(" : ")
                signatures.append(arguments[1:-1])
                types.append(given[1:-1])
                results.append(returned)
                lines += body[:-2]
            given = ", ".join(types)
            lines[at] = f"func.func @{name}({', '.join(filter(None, signatures))}) -> ({given}) {{"
            lines += [f"  return {', '.join(results)} : {given}", "}"]
        self.text = "\n".join([*lines, "}", ""]).encode()

    def number_at(self, line: int) -> int | None:
        """The program whose line it is."""
        return next((number for start, number in reversed(self._starts) if start <= line), None)

    def number_of(self, function: Any) -> int:
        """The program that a dispatch comes from, by the places that its operations name; -1 if none does."""
        for block in function.regions[0].blocks:
            for op in block.operations:
                if op.operation.name.startswith(("linalg.", "tensor.", "iree_linalg_ext.")):
                    found = PLACE.search(str(op.location))
                    number = self.number_at(int(found[1])) if found else None
                    if number is not None:
                        return number
        return -1

    def shapes(self, at: int) -> dict[str, tuple[tuple[int, ...], ...]]:
        """The shapes of all arguments of all functions in one set of sizes."""
        return {
            name: tuple(shape for number in group for shape in self.functions[number].shapes(at))
            for name, group in self._groups.items()
        }


def _renamed(text: str, number: int) -> str:
    return re.sub(r"%([A-Za-z])", rf"%p{number}_\1", text)


def _count(plan: Any, report: Report) -> None:
    taken = {s.dispatch for s in plan.substitutions}
    report.kernels.update(s.kernel.name for s in plan.substitutions)
    for dispatch in plan.dispatches:
        if dispatch.program is None:
            report.unread[dispatch.reason] += 1
        elif dispatch not in taken:
            report.left[dispatch.kind] += 1
    report.counts["dispatches"] += len(plan.dispatches)
    report.counts["substituted"] += len(taken)


def _cases(
    stock: Any,
    taken: Mapping[str, Any],
    chosen: Mapping[Any, str],
    layout: Layout,
    setting: Setting,
    report: Report,
) -> dict[str, list[Case]]:
    """The cases of each substituted dispatch, by the function that launches it."""
    sites = {_key(s.dispatch): s for s in read_module(stock)}
    flags = {key: site.dispatch.layout.bindings for key, site in sites.items()}
    launches: dict[Any, dict[Any, None]] = {}
    reasons: dict[Any, str] = {}
    for at in range(SETS):
        for site in find_call_sites(stock, flags, layout.shapes(at)):
            if site.launch is None:
                reasons[site.dispatch] = f"its launch is not known: {site.reason}"
            else:
                launches.setdefault(site.dispatch, {})[site.launch] = None
    found: dict[str, list[Case]] = {}
    for entry, dispatch in taken.items():
        key = _key(dispatch)
        function = sites[key].function
        if key not in launches or function is None:
            report.unjudged[reasons.get(key, "it is never launched")] += 1
            continue
        number = layout.number_of(function)
        seed = abs(hash(layout.functions[number].choices)) % 2**31 if number in layout.functions else 0
        quick, thorough = classes_for(dispatch.kind, quick=True), classes_for(dispatch.kind, quick=False)
        classes = [quick[seed % 2], thorough[seed % len(thorough)]]
        for at, launch in enumerate(list(launches[key])[:3]):
            for inputs in dict.fromkeys(classes if at == 0 else classes[:1]):
                try:
                    case = make_case(
                        function, dispatch, launch, entry=entry, label=dispatch.name, inputs=inputs, seed=seed,
                        local=setting.device.startswith("local"), described=describe_launch(function, launch),
                    )  # fmt: skip
                except SubstituteError as error:
                    report.unjudged[str(error).partition("\n")[0]] += 1
                    continue
                except Exception as error:
                    message = f"[{inputs}] the golden: {_words(error)}"
                    report.findings.append(
                        Finding(
                            kind="crashed", number=number, kernel=chosen[dispatch], dispatch=dispatch.name,
                            message=message,
                        )
                    )  # fmt: skip
                    continue
                found.setdefault(entry, []).append(case)
    return found


def _body_of(sites: Sequence[Any], dispatch: Any) -> Any:
    return next(site.function for site in sites if _key(site.dispatch) == _key(dispatch))


def _key(dispatch: Any) -> tuple[str, str, str]:
    return dispatch.executable, dispatch.variant, dispatch.name


def _run_cases(
    candidate: bytes,
    stock: bytes | None,
    taken: Mapping[str, Any],
    chosen: Mapping[Any, str],
    cases: Mapping[str, list[Case]],
    owners: Mapping[str, int],
    setting: Setting,
    report: Report,
) -> set[int]:
    """The functions of which a dispatch was wrong, by either code."""
    wrong: set[int] = set()
    with ExitStack() as stack:
        ours = stack.enter_context(RawModule(candidate, device=setting.device))
        theirs = None if stock is None else stack.enter_context(RawModule(stock, device=setting.device))
        for entry, group in cases.items():
            name, kernel = taken[entry].name, chosen[taken[entry]]
            for case in group:
                verdict = judge_alone(ours, case, options=Options(in_flight=False)).verdict
                report.counts["cases"] += 1
                fault = _fault_of(theirs, case) if theirs is not None else ""
                if verdict.passed and not fault:
                    continue
                kind = "stock wrong" if verdict.passed else "both wrong" if fault else "wrong"
                number = owners[entry]
                wrong.add(number)
                message = f"[{case.inputs}] " + (f"{verdict.stage}: {verdict.message}" if verdict.stage else fault)
                if verdict.place is not None:
                    p = verdict.place
                    message += f" at {p.coordinates} of {p.operand}: {p.candidate} for {p.golden} ± {p.allowed:.3g}"
                report.findings.append(Finding(kind=kind, number=number, kernel=kernel, dispatch=name, message=message))
    return wrong


def _fault_of(module: RawModule, case: Case) -> str:
    """What the golden has against IREE's own code; empty if nothing."""
    theirs = run_baseline(module, case)
    if theirs.error:
        return theirs.error
    for values, expected in zip(theirs.values, case.expected, strict=True):
        finding = check_values(values, expected.values, expected.allowed, expected.area.element)
        if finding is not None:
            return f"IREE's own code: {finding.message}"
    return ""


def draw_arguments(function: Function, at: int, seed: int) -> list[Any]:
    """Arguments of a whole function in one set of its sizes."""
    found: list[Any] = []
    for number, argument in enumerate(function.arguments):
        random = np.random.default_rng([seed, at, number])
        if argument.shape is None:
            whole = argument.element == "index" or argument.element.startswith("i")
            found.append(int(random.integers(1, 4)) if whole else np.float32(random.standard_normal()))
            continue
        area = Area(
            binding=0, offset=0, shape=tuple(s.values[at] for s in argument.shape), element=argument.element,
            access="readonly", index_limit=argument.limit,
        )  # fmt: skip
        values = draw(area, CLASS, random)
        found.append(values.astype(bool) if argument.element == "i1" else values)
    return found


def _call_functions(
    candidate: bytes, stock: bytes, functions: Mapping[int, Function], wrong: set[int], setting: Setting, report: Report
) -> None:
    with Session(candidate, device=setting.device) as ours, Session(stock, device=setting.device) as theirs:
        for number, function in functions.items():
            for at in range(SETS if function.open else 1):
                arguments = draw_arguments(function, at, number)
                try:
                    expected = theirs.call(f"f{number}", arguments)
                except DeviceError as error:
                    report.counts[f"stock does not run: {error.found or error.details[:80]}"] += 1
                    continue
                report.counts["calls"] += 1
                try:
                    found = ours.call(f"f{number}", arguments)
                except DeviceError as error:
                    report.findings.append(Finding(kind="differs", number=number, message=f"it does not run: {error}"))
                    continue
                pairs = enumerate(zip(found, expected, strict=True))
                reasons = [v.reason for i, (a, b) in pairs if not (v := compare(i, a, b)).passed]
                if reasons and number not in wrong and not _excused(function, arguments, found, report):
                    report.findings.append(
                        Finding(kind="differs", number=number, message=f"sizes {at}: {'; '.join(reasons)}")
                    )


def _excused(function: Function, arguments: Sequence[Any], found: Sequence[Any], report: Report) -> bool:
    """True if the results lie within the bounds of the golden of the whole function: it is ill-conditioned."""
    if function.imported:
        return False
    from iree.compiler import ir

    from substitute.validate.elements import storage_type

    with ir.Context(), ir.Location.unknown():
        module = ir.Module.parse("module {\n" + function.text("f") + "\n}")
        (op,) = module.body.operations
        given = [
            np.asarray(a).astype(storage_type(d.element)) for a, d in zip(arguments, function.arguments, strict=True)
        ]
        try:
            goldens = evaluate_function(op.operation, given)
        except SubstituteError as error:
            report.counts[f"a difference that the golden cannot judge: {error.what}"] += 1
            return False
    fine = all(
        check_values(np.asarray(f), g.value, 2 * SLACK * g.error, g.element) is None
        for f, g in zip(found, goldens, strict=True)
    )
    report.counts["ill-conditioned"] += fine
    return fine
