"""Results as data, as tables, and what in them is not as it should be."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from runtime_tests.faults.kernel import Variant
from runtime_tests.faults.run import Done

RESULTS = Path(__file__).parent / "results.json"
JUDGES = {"ours": "this protocol", "loose": "allclose 1e-2", "typed": "float64 allclose by type"}


def as_json(done: Sequence[Done]) -> dict[str, Any]:
    """Everything, with the date and the versions of what decides about it."""
    packages = ("iree-base-compiler", "iree-base-runtime", "llvmlite", "numpy")
    return {
        "date": datetime.date.today().isoformat(),
        "versions": {name: version(name) for name in packages},
        "variants": [
            {
                "name": d.variant.name,
                "digest": d.variant.digest,
                "payload": d.variant.kind,
                "of": d.variant.of,
                "definition": d.variant.definition,
                "fault": d.variant.fault,
                "change": d.variant.change,
                "equivalent": d.variant.equivalent,
                "refused": d.refused,
                "ours": d.judged.ours,
                "loose": d.judged.loose,
                "typed": d.judged.typed,
                "thorough": d.thorough,
            }
            for d in done
        ],
    }


def read_results() -> dict[str, Any]:
    """Return the results that were written last."""
    data: dict[str, Any] = json.loads(RESULTS.read_text())
    return data


def failures(data: Mapping[str, Any]) -> list[str]:
    """Right kernels that failed, faults that were not found, and changes called equivalent that are not."""
    lines = []
    for v in data["variants"]:
        found = v["refused"] or v["ours"]
        if (not v["fault"] or v["equivalent"]) and found:
            lines.append(f"a right kernel fails: {v['name']} ({v['change']}): {found}")
        if v["fault"] and not v["equivalent"] and not found:
            lines.append(f"not found: {v['name']}: {v['fault']}: {v['change']}")
    return lines


def unjudged(data: Mapping[str, Any], variants: Sequence[Variant]) -> list[str]:
    """Variants of which there is no result, or one of other code, and results of what is not among them."""
    known = {v["name"]: v["digest"] for v in data["variants"]}
    wanted = {v.name: v.digest for v in variants}
    return sorted(name for name in known.keys() | wanted.keys() if known.get(name) != wanted.get(name))


def tables(data: Mapping[str, Any]) -> str:
    """Markdown: by kind of payload, then by class of fault."""
    return f"{table(data, 'payload', 'payload')}\n\n{table(data, 'fault', 'fault')}\n"


def table(data: Mapping[str, Any], key: str, title: str) -> str:
    """Found by each judge, of the faults that ran, for each value of `key`."""
    mutants = [v for v in data["variants"] if v["fault"] and not v["equivalent"]]
    head = [title, "faults", "refused before running", "ran", *(JUDGES[j] for j in JUDGES)]
    rows = [_row(value, [v for v in mutants if v[key] == value]) for value in _values(mutants, key)]
    rows.append(_row("**all**", mutants))
    if key == "payload":
        rights = [v for v in data["variants"] if not v["fault"]]
        alarms = [str(sum(bool(v[j] or v["refused"]) for v in rights)) for j in JUDGES]
        rows.append([f"false alarms, of {len(rights)} right kernels", "", "", "", *alarms])
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _values(mutants: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    count: Callable[[str], int] = lambda value: -sum(v[key] == value for v in mutants)  # noqa: E731
    return sorted({str(v[key]) for v in mutants}, key=lambda value: (count(value), value))


def _row(name: str, mutants: Sequence[Mapping[str, Any]]) -> list[str]:
    ran = [v for v in mutants if not v["refused"]]
    return [
        name,
        str(len(mutants)),
        str(len(mutants) - len(ran)),
        str(len(ran)),
        *(str(sum(bool(v[j]) for v in ran)) for j in JUDGES),
    ]
