"""The pages of five commands, made from what each prints with `--json`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from .charts import draw_histogram, draw_map, draw_roofline, draw_timings
from .listing import Listing
from .page import Entry, Json, Page, Table
from .text import format_count, format_operations


def page_of_inspection(data: Json, *, model: str, listings: Mapping[str, Sequence[Listing]]) -> Page:
    """Return the page of `inspect`: `data` is its JSON."""
    entries = [_inspected(row, listings) for row in data["dispatches"]]
    taken = sum(entry.state == "kernel" for entry in entries)
    return Page(
        command="inspect",
        subject=model,
        summary=(("dispatches", str(len(entries))), ("with a kernel", str(taken))),
        notes=("sorted by floating-point and integer operations, then by bytes: nothing was run",),
        columns=("computes", "FLOP", "bytes"),
        entries=tuple(entries),
    )


def page_of_compilation(
    data: Json,
    inspected: Json,
    *,
    model: str,
    facts: Sequence[tuple[str, str]],
    listings: Mapping[str, Sequence[Listing]],
) -> Page:
    """Return the page of `compile`: `data` is the plan that `--plan-out` writes, `inspected` the JSON of `inspect`."""
    verdicts = {one["dispatch"]: one.get("check") for one in data["substitutions"]}
    left_out = {one["dispatch"]: one for one in data.get("left_out", ())}
    payloads = {one["dispatch"]: one["payload"] for one in data["substitutions"]}
    entries = []
    for row in inspected["dispatches"]:
        entry = _inspected(row, listings)
        one = left_out.get(entry.name)
        check = one.get("check") if one else verdicts.get(entry.name)
        if one and check:
            kernels = ", ".join(one["kernels"])
            entry = replace(entry, state="left out", reasons=(f"{kernels} was left out: {check['text']}",))
        elif check:
            entry = replace(entry, reasons=(check["text"], *entry.reasons))
        facts_of = (*entry.facts, *_check_facts(check), *_payload_facts(payloads.get(entry.name)))
        entries.append(replace(entry, facts=facts_of))
    return Page(
        command="compile",
        subject=model,
        summary=(
            ("dispatches", str(len(entries))),
            ("with a kernel", str(sum(e.state == "kernel" for e in entries))),
            ("left out", str(len(left_out))),
        ),
        facts=tuple(facts),
        notes=("sorted by floating-point and integer operations, then by bytes",),
        columns=("computes", "FLOP", "bytes"),
        entries=tuple(entries),
    )


def _check_facts(check: Json | None) -> tuple[tuple[str, str], ...]:
    if not check:
        return ()
    ours, stock = check.get("ours_us"), check.get("stock_us")
    times = f": {ours:,.1f} µs instead of {stock:,.1f} µs" if ours is not None and stock is not None else ""
    return (("checked on", f"{check.get('device') or 'no device'}{times}"),)


def _payload_facts(payload: Json | None) -> tuple[tuple[str, str], ...]:
    if payload is None or not payload.get("sha256"):
        return ()
    facts = [("payload", f"{payload['kind']}, {payload['size_bytes']:,} bytes, {payload['entry']}")]
    for label, key in (("workgroups", "workgroup_count"), ("workgroup size", "workgroup_size")):
        facts += [(label, " × ".join(map(str, payload[key])))] if payload[key] else []
    return (*facts, ("SHA-256", payload["sha256"]))


def _inspected(row: Json, listings: Mapping[str, Sequence[Listing]]) -> Entry:
    operands = ", ".join(f"{o['type']} ({o['access']})" for o in row["operands"])
    facts = [("executable", row["executable"]), ("target", f"{row['target']} {row['format']}".strip())]
    facts += [("operands", operands)] if operands else []
    facts += [("operations", format_operations(row["operations"]))] if row["operations"] else []
    for label, values in (("axes", row["axes"]), ("parameters", row["parameters"])):
        facts += [(label, ", ".join(f"{name} = {value}" for name, value in values.items()))] if values else []
    reasons = [row["check"]] if row["check"] else []
    if not row["read"]:
        reasons.append(f"not read: {row['reason']}")
    elif row["kernel"] is None:
        reasons.append(_nearest(row["nearest"]))
    flops, size = row["flops"], row["bytes"]
    return Entry(
        name=row["name"],
        kernel=row["kernel"] or "",
        state="kernel" if row["kernel"] else "own code",
        cost=(flops or 0) + (size or 0) * 1e-12,
        figures=(row["kind"], format_count(flops), format_count(size, "B")),
        reasons=tuple(reasons),
        facts=tuple(facts),
        listings=tuple(listings.get(row["name"], ())),
    )


def _nearest(nearest: Json | None) -> str:
    if nearest is None:
        return "no kernel for this target"
    return f"not {nearest['kernel']}: {nearest['rule']}: expected {nearest['expected']}, found {nearest['found']}"


def page_of_profile(data: Json, *, listings: Mapping[str, Sequence[Listing]]) -> Page:
    """Return the page of `profile`: `data` is its JSON."""
    stock, ours = data["stock_us"], data["kernels_us"]
    machine = data["machine"]
    ordered = sorted(data["dispatches"], key=lambda row: -(row["stock_us"] or row["kernels_us"] or 0))
    facts = [
        ("device", data["device"]),
        ("call", f"{data['function']}({', '.join(data['inputs'])})"),
        ("inputs", "drawn" if data["inputs_drawn"] else "given"),
    ]
    if machine:
        rates = (
            format_count(round(machine["flops_per_s"]), "FLOP/s"),
            format_count(round(machine["bytes_per_s"]), "B/s"),
        )
        product = f"NumPy's f32 matrix product, threads: {machine['threads']}"
        facts.append(("measured here", f"{rates[0]} ({product}), {rates[1]} (one core's copy)"))
    return Page(
        command="profile",
        subject=data["model"],
        summary=(
            ("IREE's code, µs", f"{stock:,.1f}"),
            ("with kernels, µs", f"{ours:,.1f}"),
            ("faster", f"{stock / max(ours, 1e-9):.2f}×"),
        ),
        facts=tuple(facts),
        notes=(
            "times are medians over calls ± half of the distance between the quartiles, all launches of a dispatch in "
            "one call together; sorted by IREE's time",
            "a dispatch above the roof has its data in caches, or the machine was busy while its rates were measured"
            if machine
            else "",
        ),
        charts=tuple(filter(None, (draw_roofline(ordered, machine),))) if machine else (),
        columns=("launches", "IREE µs", "kernel µs", "faster", "FLOP", "bytes", "least µs"),
        entries=tuple(_profiled(row, listings) for row in ordered),
    )


def _profiled(row: Json, listings: Mapping[str, Sequence[Listing]]) -> Entry:
    return Entry(
        name=row["name"],
        kernel=row["kernel"] or "",
        state="kernel" if row["kernel"] else "own code",
        cost=row["stock_us"] or row["kernels_us"] or 0.0,
        share=row["share"],
        figures=(
            str(row["launches"] or "?"),
            _time(row["stock_us"], row["stock_spread_us"]),
            _time(row["kernels_us"], row["kernels_spread_us"]) if row["kernel"] else "",
            f"{row['faster']:.2f}×" if row["faster"] is not None else "",
            _size(row["flops"]),
            _size(row["bytes"], "B"),
            f"{row['least_us']:.1f}" if row["least_us"] is not None else "",
        ),
        reasons=(row["reason"],) if row["reason"] else (),
        listings=tuple(listings.get(row["name"], ())),
    )


def _time(median: float | None, spread: float | None) -> str:
    return "" if median is None else f"{median:,.1f} ± {(spread or 0) / 2:,.1f}"


def _size(value: int | str | None, unit: str = "") -> str:
    return value if isinstance(value, str) else format_count(value, unit)


def page_of_bench(data: Json) -> Page:
    """Return the page of `bench`: `data` is its JSON."""
    names = {"faster": "faster with kernels", "slower": "slower with kernels", "equal": "equally fast"}
    rows = []
    for timing in data["timings"]:
        ordered = sorted(timing["samples_us"])
        ratio = data["ratios"].get(timing["name"])
        cells = [timing["name"], f"{data['medians_us'][timing['name']] / 1e3:.4g}"]
        cells += [f"{_quantile(ordered, q) / 1e3:.4g}" for q in (0.25, 0.75)]
        if ratio:
            low, high = ratio["interval"] or (None, None)
            cells += [f"{1 / ratio['median']:.2f}", f"{1 / high:.2f} to {1 / low:.2f}" if low and high else "not known"]
            cells += [names.get(ratio["relation"], "not clear: more rounds are needed (--budget)")]
        else:
            cells += ["", "", ""]
        rows.append(tuple(cells))
    first = next(iter(data["ratios"].items()), None)
    rounds = len(data["timings"][0]["samples_us"])
    return Page(
        command="bench",
        subject=data["model"],
        summary=(
            ("dispatches with a kernel", f"{data['taken']} of {data['dispatches']}"),
            *((("times as fast as " + first[0], f"{1 / first[1]['median']:.2f}×"),) if first else ()),
            ("rounds", str(rounds)),
        ),
        facts=(
            ("device", data["device"]),
            ("function", data["function"]),
            ("threads", str(data["threads"])),
            ("clock", data["clock"]),
            ("flags", " ".join(data["flags"])),
            *((name, str(value)) for name, value in data["machine"].items()),
        ),
        notes=(
            "" if data["clear"] else "the budget was spent before every ratio was clear",
            *(f"left out: {one['name']}: {one['reason']}" for one in data["left_out"]),
            *(f"not checked by itself: {text}" for text in data["unchecked"]),
        ),
        charts=(draw_timings(data["timings"]),),
        tables=(
            Table(
                title="Times",
                heads=("code", "median, ms", "lower quartile", "upper quartile", "ratio", "99.8 % interval", ""),
                rows=tuple(rows),
                numbers=frozenset((1, 2, 3, 4, 5)),
            ),
        ),
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    return ordered[low] + (at - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])


def page_of_validation(data: Json, plan: Json | None = None) -> Page:
    """Return the page of `validate`: `data` is what `--json-file` writes, `plan` the JSON of a model's plan."""
    entries = [_judged(row) for row in data["dispatches"]]
    judged = {entry.name for entry in entries}
    unjudged = [
        Entry(name=one["dispatch"], state="own code", cost=-1.0, reasons=(one["reason"] or _nearest(one["nearest"]),))
        for one in (plan or {}).get("unsubstituted", ())
        if one["dispatch"] not in judged
    ]
    counts = {word: sum(e.state == word for e in entries) for word in ("passed", "failed", "skipped")}
    state = {True: "passed", False: "failed"}
    results = tuple((r["name"], state[r["passed"]], r["detail"]) for r in data["results"])
    versions = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
    times = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in data["seconds"].items())
    table = Table(title="The whole model", heads=("result", "verdict", "detail"), rows=results, state=1)
    return Page(
        command="validate",
        subject=data["title"],
        verdict=state[data["passed"]],
        summary=tuple((word, str(number)) for word, number in counts.items()),
        facts=(
            ("device", data["device"]),
            ("started", data["started"]),
            ("seed", str(data["seed"])),
            ("replay", data["command"]),
            ("versions", versions),
            ("time", times),
        ),
        notes=(f"not judged: {data['unproven']}" if data["unproven"] else "",),
        tables=(table,) if results else (),
        columns=("cases", "worst error ÷ allowed", "branches both ways"),
        entries=(*entries, *unjudged),
    )


_WEIGHT = {"failed": 3e6, "skipped": 1e6, "passed": 0.0}


def _judged(row: Json) -> Entry:
    state = {None: "skipped", True: "passed", False: "failed"}[row["passed"]]
    covered = row["coverage"]
    reasons = [row["skipped"], f"{row['stage']}: {row['message']}" if row["stage"] else "", row["accuracy"] or ""]
    reasons += [f"checked by compile: {row['check']}" if row["check"] else "", *row["notes"]]
    if covered and covered["unknown"]:
        reasons.append(covered["unknown"])
    worst = _number(row["worst"])
    return Entry(
        name=row["name"],
        kernel=row["kernel"],
        state=state,
        cost=_WEIGHT[state] + (min(worst, 1e5) if worst == worst else 1e5),
        figures=(
            str(len(row["cases"])) if row["cases"] else "",
            _figure(row["worst"]) if row["cases"] else "",
            f"{covered['both_ways']} of {covered['branches']}" if covered and not covered["unknown"] else "",
        ),
        reasons=tuple(filter(None, reasons)),
        facts=(("branches never taken both ways", ", ".join(map(str, covered["never"]))),)
        if covered and covered["never"]
        else (),
        charts=tuple(_charts(row["cases"])),
        tables=(_case_table(row["cases"]),) if row["cases"] else (),
    )


def _charts(cases: Sequence[Json]) -> list[str]:
    """Return the plots of the case with the largest error; failed cases come first."""
    drawn = [case for case in cases if case["picture"] is not None]
    if not drawn:
        return []
    case = max(drawn, key=lambda c: (c["passed"] is False, _number(c["worst"])))
    charts = [draw_histogram(case["picture"])]
    grid = case["picture"]["map"]
    return [*charts, draw_map(case["picture"], grid)] if grid and grid["cells"] and grid["cells"][0] else charts


def _case_table(cases: Sequence[Json]) -> Table:
    return Table(
        title="Cases",
        heads=("case", "inputs", "seed", "verdict", "error ÷ allowed", "largest, ULP", "stock's, ULP", "what is wrong"),
        rows=tuple(
            (
                case["label"],
                case["inputs"],
                str(case["seed"]),
                "skipped" if case["passed"] is None else "passed" if case["passed"] else f"failed: {case['stage']}",
                _figure(case["worst"]),
                _figure(case["errors"]["largest_ulp"]),
                _figure(case["baseline"]["largest_ulp"]) if case["baseline"] else "–",
                "\n".join(filter(None, (case["message"], _place(case["place"]), *case["notes"]))),
            )
            for case in cases
        ),
        numbers=frozenset((2, 4, 5, 6)),
        state=3,
    )


def _place(place: Json | None) -> str:
    if not place:
        return ""
    at = ", ".join(map(str, place["coordinates"]))
    stock = f", stock {place['baseline']}" if place["baseline"] else ""
    allowed = _figure(place["allowed"])
    return f"{place['operand']} at ({at}): {place['candidate']}, golden {place['golden']}{stock}, allowed {allowed}"


def _number(value: float | str) -> float:
    return float(value)


def _figure(value: float | str) -> str:
    number = _number(value)
    return f"{number:.3g}" if math.isfinite(number) else str(number)
