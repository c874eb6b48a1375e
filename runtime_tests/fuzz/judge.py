"""One module of many random functions: compiled once by IREE alone and once with kernels, run, and judged.

Every substituted dispatch is launched separately, as the host program launches it, and compared with its golden; IREE's
own code for it is judged in the same way. Then every function is called in both modules, and the results are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import process_time
from typing import Any

from runtime_tests.fuzz.calls import call_functions
from runtime_tests.fuzz.dispatches import key_of, make_cases, run_cases
from runtime_tests.fuzz.function import Function
from runtime_tests.fuzz.layout import PLACE, Layout
from runtime_tests.fuzz.outcome import Finding, Report, Setting, describe_error
from substitute.compiler import Compilation
from substitute.embed import substitute_dispatches
from substitute.errors import CompilerError, SubstituteError
from substitute.flags import with_default_target
from substitute.frontend import plan_module, scratch_folder, worker_threads
from substitute.progress import Clock, silent
from substitute.validate.build import isolate_kernels
from substitute.validate.harness import add_launches
from substitute.validate.targets import flags_for

FLAGS = ("--iree-input-demote-f64-to-f32=false", "--iree-opt-const-eval=false")
"""f64 stays f64; constants are not computed by a compiler in the compiler, which takes a quarter of the time."""
TOGETHER = 10
"""Programs in one function, where they need not be called whole: what the compiler does for a function is done once."""


def judge_functions(functions: Sequence[Function], setting: Setting) -> Report:
    """Judge all functions in one module; those that IREE refuses are left out, and one that crashes is searched for."""
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
                report.findings.append(Finding(kind="crashed", number=number, message=describe_error(error)))
                return
            numbers = list(left)
            middle = len(numbers) // 2
            for half in (numbers[:middle], numbers[middle:]):
                _judge_some({n: left[n] for n in half}, setting, report)
            return
        report.add(part, range(10**6))
        return


class _Refused(Exception):
    """IREE alone does not compile some of the functions."""

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
                chosen = {s.dispatch: s.kernel for s in plan.substitutions}
                taken = {f"run_{i}": dispatch for i, dispatch in enumerate(chosen)}
        with _timed(report, "golden"):
            cases = make_cases(stock, taken, chosen, layout, setting, report) if taken else {}
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
                try:
                    candidate = _finish(compilation, ours)
                except CompilerError as error:
                    if len(functions) > 1:
                        raise
                    if theirs is None:  # it is no fault of kernels if IREE's own code does not compile either
                        add_launches(stock, taken, in_flight=False)
                        _finish_stock(compilation, stock, layout)
                    (number,) = functions
                    message = f"{error.found} {error.details}"[:500]
                    report.findings.append(Finding(kind="not compiled", number=number, message=message))
        del stock, ours
        compilation.module = None
    if candidate is None:
        return
    with _timed(report, "run"):
        wrong = run_cases(candidate, theirs, taken, chosen, cases, owners, setting, report)
    if theirs is not None:
        with _timed(report, "call"):
            call_functions(candidate, theirs, functions, wrong, setting, report)


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


def _finish(compilation: Compilation, module: Any) -> bytes:
    compilation.module = module
    compilation.run("executable-sources", "end")
    return compilation.bytecode()


def _finish_stock(compilation: Compilation, stock: Any, layout: Layout) -> bytes:
    """Compile IREE's own code. Raises `_Refused`, or the compiler's error where the function is not known."""
    try:
        return _finish(compilation, stock)
    except CompilerError as error:
        raise _refusal(error, layout) from None


def _refusal(error: SubstituteError, layout: Layout) -> Exception:
    """Return the refusal of the function on the line that the error names (or of the only one); otherwise the error,
    after which the caller halves the module.
    """
    words = f"{error.found}\n{error.details}"
    line = PLACE.search(words)
    number = layout.number_at(int(line[1])) if line else None
    if number is None and len(layout.functions) == 1:
        (number,) = layout.functions
    return error if number is None else _Refused([number], _first_error(words))


def _first_error(words: str) -> str:
    line = next((line for line in words.splitlines() if "error:" in line), words.strip().partition("\n")[0])
    return line.rpartition("error:")[2].strip()[:160]


def _count(plan: Any, report: Report) -> None:
    taken = {s.dispatch for s in plan.substitutions}
    report.kernels.update(s.kernel.name for s in plan.substitutions)
    for dispatch in plan.dispatches:
        if dispatch.program is None:
            if "a bug in iree-substitute" in dispatch.reason:
                raise RuntimeError(dispatch.reason)
            report.unread[dispatch.reason] += 1
        elif dispatch not in taken:
            report.left[dispatch.kind] += 1
    report.counts["dispatches"] += len(plan.dispatches)
    report.counts["substituted"] += len(taken)


def _body_of(sites: Sequence[Any], dispatch: Any) -> Any:
    return next(site.function for site in sites if key_of(site.dispatch) == key_of(dispatch))
