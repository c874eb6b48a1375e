"""Files of the judging process: the steps that it starts, and the finished verdicts."""

from __future__ import annotations

import json
from pathlib import Path

from .verdict import Verdict, from_json

RUN, BESIDE = "check ", "time beside IREE's code "
"""Progress messages before the key of a pair; a process that crashes then was running its kernel, or IREE's code."""
RESULTS = "verdicts.jsonl"
"""File of finished verdicts in the trial's folder."""


def read_results(folder: Path) -> dict[str, Verdict]:
    """Return the finished verdicts, the last of each key; a line that was cut off is ignored."""
    found: dict[str, Verdict] = {}
    path = folder / RESULTS
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            entry = json.loads(line)
            found[str(entry["key"])] = from_json(entry["verdict"])
        except (ValueError, KeyError, TypeError):
            continue
    return found


def note_result(folder: Path, key: str, verdict: Verdict) -> None:
    """Append a finished verdict."""
    with (folder / RESULTS).open("a") as stream:
        stream.write(json.dumps({"key": key, "verdict": verdict.to_json()}) + "\n")
