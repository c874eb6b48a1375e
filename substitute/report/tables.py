"""Plans, decisions and catalogs as tables.

`width` is the terminal's, in characters; None means plain columns with one line per row and nothing cut or wrapped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..model.plan import Decision, Payload, Plan, Substitution, dispatch_key, substitution_names
from ..read.external import KIND as EXTERNAL
from .rows import DispatchRow, dispatch_rows, failed_rule, find_verdict
from .text import (
    find_common_prefix,
    format_axes,
    format_count,
    format_operations,
    format_signature,
    format_target,
)

if TYPE_CHECKING:
    from ..guard.verdict import Checked, Verdict
    from ..validate import ModelVerdict

NARROW = 120
"""Width below which a dispatch's texts are placed one below the other instead of side by side."""

GOOD, BAD, DIM, NAME = "green", "red", "dim", "bold"


def dispatch_table(plan: Plan, *, width: int | None) -> RenderableType:
    """Return every dispatch: its computation and cost, and the kernel that takes it or came nearest."""
    rows = dispatch_rows(plan)
    prefix = "" if width is None else find_common_prefix(plan.dispatches)
    narrow = width is not None and width < NARROW
    targets = list(dict.fromkeys(format_target(row.dispatch) for row in rows))
    heads = ["dispatch", "target", "computes", "kernel, or the nearest and why not"]
    if width is not None and len(targets) <= 1:
        heads.remove("target")
    table = make_table(width, leading=1)
    for head in ["; ".join(heads)] if narrow else heads:
        table.add_column(head, overflow="fold", ratio=1)
    for head in ("FLOP", "bytes"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        name = Text(row.dispatch.name.removeprefix(prefix), style=NAME)
        target = [Text(format_target(row.dispatch))] if "target" in heads else []
        texts = [name, *target, stack_texts(_computes(row), width), stack_texts(_kernel_or_nearest(row), width)]
        table.add_row(
            *([stack_texts(texts, width)] if narrow else texts),
            format_count(row.cost.flops) if row.cost else "?",
            format_count(row.cost.bytes, "B") if row.cost else "?",
        )
    notes = [_totals(rows)]
    if width is not None and len(targets) == 1:
        notes.append(Text(f"All are for {targets[0]}", style=DIM))
    if prefix:
        notes.append(Text(f"All names begin with {prefix}", style=DIM))
    return Group(table, *notes)


def substitution_table(
    plan: Plan, payloads: Mapping[str, Payload], checked: Sequence[Checked] = (), *, width: int | None
) -> RenderableType:
    """Return a table of the substitutions, the verdicts of the check, and the kernels left out because of them."""
    verdicts = {c.key: c.verdict for c in checked}
    prefix = "" if width is None else find_common_prefix(plan.dispatches)
    table = make_table(width)
    table.add_column("dispatch", overflow="fold")
    table.add_column("kernel", overflow="fold")
    table.add_column("axes", overflow="fold")
    table.add_column("payload", overflow="fold")
    if checked:
        table.add_column("check", overflow="fold")
    following = (*plan.substitutions, None)[1:]
    names = substitution_names(plan.substitutions)
    for name, substitution, after in zip(names, plan.substitutions, following, strict=True):
        table.add_row(
            Text(substitution.dispatch.name.removeprefix(prefix)),
            Text(substitution.kernel.name, style=GOOD),
            _axes_and_fallback(substitution, after, width),
            _payload(substitution, payloads.get(name), width),
            *([_check(verdicts.get(dispatch_key(substitution.dispatch)))] if checked else []),
        )
    notes = [Text(f"All names begin with {prefix}", style=DIM)] if prefix and plan.substitutions else []
    left_out = [_left_out(c, prefix) for c in checked if c.left_out]
    return Group(*([table] if plan.substitutions else []), _share(plan), *left_out, *notes)


def _check(verdict: Verdict | None) -> Text:
    if verdict is None:
        return Text("not checked: it was put in without a verdict", style=BAD)
    return Text(verdict.text, style={"right": GOOD, "slower": "yellow", "unjudged": DIM}.get(verdict.outcome, BAD))


def _left_out(checked: Checked, prefix: str) -> Text:
    """Return a line on a dispatch that IREE's own code keeps, with the reason."""
    verdict, name = checked.verdict, checked.dispatch.removeprefix(prefix)
    word, style = ("warning", f"{NAME} {BAD}") if verdict.outcome == "wrong" else ("left out", "yellow")
    times = ""
    if verdict.ours_us is not None and verdict.stock_us is not None:
        times = f" ({verdict.ours_us:.1f} µs instead of {verdict.stock_us:.1f} µs on {verdict.device})"
    return Text.assemble((word, style), f": {checked.names} in {name}: {verdict.text}{times}; IREE's own code stays")


def explanation_table(decision: Decision, verdict: str = "", *, width: int | None) -> RenderableType:
    """Return every rule that was checked for one kernel and one dispatch; `verdict`: the finding of a compilation."""
    table = make_table(width)
    table.add_column("rule", overflow="fold")
    table.add_column("expected", overflow="fold")
    table.add_column("found", overflow="fold")
    table.add_column("", no_wrap=True)
    for rule in decision.rules:
        mark = Text("ok", style=GOOD) if rule.passed else Text("failed", style=f"{NAME} {BAD}")
        table.add_row(Text(rule.name), Text(rule.expected), Text(rule.found), mark)
    known = [Text(f"checked by compile: {verdict}")] if verdict else []
    return Group(_verdict(decision), *known, *([table] if decision.rules else []))


def decisions_table(decisions: Sequence[Decision], plan: Plan, *, width: int | None) -> RenderableType:
    """Return one line for each decision of a plan, in the given order; a common dispatch or kernel is named above."""
    dispatches = list(dict.fromkeys(d.dispatch.name for d in decisions))
    kernels = list(dict.fromkeys(d.kernel.name for d in decisions))
    table = make_table(width)
    for head, names in (("dispatch", dispatches), ("kernel", kernels)):
        if len(names) > 1:
            table.add_column(head, overflow="fold")
    table.add_column("rules passed", justify="right", no_wrap=True)
    table.add_column("result", overflow="fold")
    for decision in decisions:
        rule = failed_rule(decision)
        verdict = find_verdict(plan, decision)
        result = Text("fits", style=GOOD) if decision.accepted else Text()
        if verdict:
            result.append(f"; checked: {verdict}", style=DIM)
        if rule:
            result = Text.assemble((rule.name, BAD), f": expected {rule.expected}, found {rule.found}")
        row = [Text(decision.dispatch.name)] if len(dispatches) > 1 else []
        row += [Text(decision.kernel.name)] if len(kernels) > 1 else []
        table.add_row(*row, str(sum(r.passed for r in decision.rules)), result)
    shared = [Text.assemble("dispatch ", (names[0], NAME)) for names in (dispatches,) if len(names) == 1]
    shared += [Text.assemble("kernel ", (names[0], NAME)) for names in (kernels,) if len(names) == 1]
    return Group(*shared, table)


def verdict_table(verdict: ModelVerdict, *, drawn: bool, width: int | None) -> RenderableType:
    """Return a table that compares each result with stock IREE's. `drawn`: the inputs were drawn from the seed."""
    table = make_table(width)
    table.add_column("result", justify="right", no_wrap=True)
    table.add_column("type", overflow="fold")
    for head in ("largest error", "share of largest value", "allowed"):
        table.add_column(head, justify="right", overflow="fold")
    table.add_column("", overflow="fold")
    for result in verdict.results:
        mark = Text("ok", style=GOOD) if result.passed else Text(f"wrong: {result.reason}", style=f"{NAME} {BAD}")
        numbers = (f"{value:.3g}" for value in (result.largest_error, result.share, result.tolerance))
        table.add_row(str(result.number), Text(result.type), *numbers, mark)
    inputs = f"inputs drawn with --seed={verdict.seed}" if drawn else "inputs as given"
    good = "passed" if verdict.results else "passed, each dispatch alone,"
    word = Text(good, style=GOOD) if verdict.passed else Text("failed", style=f"{NAME} {BAD}")
    notes = [Text(verdict.note, style="yellow")] if verdict.note else []
    return Group(table, *notes, Text.assemble(word, f" on {verdict.device}, {inputs}; ", _share(verdict.plan)))


def make_table(width: int | None, *, leading: int = 0) -> Table:
    if width is None:
        return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    return Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1),
        header_style=NAME,
        border_style=DIM,
        leading=leading,
        expand=leading > 0,
    )


def stack_texts(lines: Sequence[Text], width: int | None) -> Text:
    return Text("; " if width is None else "\n").join([line for line in lines if line])


def _computes(row: DispatchRow) -> list[Text]:
    dispatch = row.dispatch
    operations = f" ({format_operations(dispatch.operations)})" if dispatch.operations else ""
    lines = [Text.assemble((dispatch.kind, NAME), (operations, DIM))]
    if dispatch.program:
        lines.append(Text(format_signature(dispatch.program.operands)))
    elif dispatch.kind == EXTERNAL:
        lines.append(Text(dispatch.reason, style=DIM))
    else:
        lines.append(Text(f"not read: {dispatch.reason}", style=BAD))
    return lines


def _kernel_or_nearest(row: DispatchRow) -> list[Text]:
    if row.substitution:
        match = row.substitution.match
        more = "".join(f", else {other.kernel.name}" for other in row.others)
        name = Text.assemble((row.substitution.kernel.name, GOOD), (more, DIM))
        checked = [Text(f"checked: {row.verdict}", style=DIM)] if row.verdict else []
        return [name, Text(format_axes(match), style=DIM), *checked]
    rule = row.failed_rule
    if row.dispatch.program is None and not (rule and rule.name.partition(".")[0] == "target"):
        return []  # the reason is that it was not read, which is in the next column
    if row.nearest is None or rule is None:
        return [Text("no kernel for this target", style=DIM)]
    return [
        Text.assemble(("not ", DIM), row.nearest.kernel.name, (f": {rule.name}", BAD)),
        Text(f"expected {rule.expected}, found {rule.found}", style=DIM),
    ]


def _totals(rows: Sequence[DispatchRow]) -> Text:
    """Return the number of substituted dispatches, in all and of each kind."""
    kinds = Counter(row.dispatch.kind for row in rows)
    taken = Counter(row.dispatch.kind for row in rows if row.substitution)
    unread = sum(row.dispatch.program is None and row.dispatch.kind != EXTERNAL for row in rows)
    parts = [f"{kind} {taken[kind]}/{number}" for kind, number in kinds.most_common() if kind != EXTERNAL]
    parts += [f"{kinds[EXTERNAL]} brought along by the program"] if kinds[EXTERNAL] else []
    text = f"{taken.total()} of {len(rows)} dispatches have a kernel: {', '.join(parts) or 'the model has none'}"
    return Text(text + (f"; {unread} could not be read" if unread else ""))


def _share(plan: Plan) -> Text:
    taken = {(s.dispatch.executable, s.dispatch.variant, s.dispatch.name) for s in plan.substitutions}
    text = f"{len(taken)} of {len(plan.dispatches)} dispatches substituted"
    if not plan.substitutions and plan.dispatches:
        text += "; `iree-substitute inspect` shows which kernel came nearest and why it was not taken"
    return Text(text)


def _axes_and_fallback(substitution: Substitution, after: Substitution | None, width: int | None) -> Text:
    lines = [Text(format_axes(substitution.match))]
    if substitution.conditional:
        last = after is None or after.dispatch != substitution.dispatch
        otherwise = "IREE's own code" if last else "the next one"
        lines.append(Text(f"{otherwise} unless {' and '.join(substitution.conditions)}", style=DIM))
    return stack_texts(lines, width)


def _payload(substitution: Substitution, payload: Payload | None, width: int | None) -> Text:
    if payload is None:
        return Text(substitution.kernel.payload.kind.name)
    head = f"{payload.format}, {format_count(len(payload.data), 'B')}" if payload.data else str(payload.format)
    return stack_texts([Text(head), Text(payload.summary, style=DIM)], width)


def _verdict(decision: Decision) -> Text:
    match = decision.match
    kernel, dispatch = decision.kernel.name, decision.dispatch.name
    if match is None:
        rule = failed_rule(decision)
        why = f": {rule.name} failed" if rule else ""
        return Text.assemble((kernel, NAME), (" does not fit ", BAD), (dispatch, NAME), why)
    details = [f"form {match.form}" if match.form else "by name", format_axes(match)]
    if match.fallback:
        details.append(f"IREE's own code unless {' and '.join(match.fallback)}")
    return Text.assemble((kernel, NAME), (" fits ", GOOD), (dispatch, NAME), f" ({'; '.join(filter(None, details))})")
