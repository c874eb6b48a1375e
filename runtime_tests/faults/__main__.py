"""`python -m runtime_tests.faults`: judges every right kernel and every wrong one, and writes the results."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime_tests.faults.results import RESULTS, as_json, failures, tables
from runtime_tests.faults.run import Done, run_variants, summary
from runtime_tests.faults.suite import suite


def main() -> int:
    """0 if every fault that can change a result was found and no right kernel failed."""
    parser = argparse.ArgumentParser(prog="python -m runtime_tests.faults", description=__doc__)
    parser.add_argument("--payload", help="only this kind of payload")
    parser.add_argument("--device", help="only on this device: local-task, vulkan or cuda-sim")
    parser.add_argument("--only", default="", help="only variants whose name holds this text")
    parser.add_argument("--json", type=Path, help=f"where the results go (default for the whole suite: {RESULTS.name})")
    parser.add_argument("--missing", action="store_true", help="only what the results lack, which is added to them")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    whole = suite()
    everything = (*whole.controls, *whole.mutants)
    chosen = [
        v
        for v in everything
        if arguments.payload in (None, v.kind) and arguments.device in (None, v.device) and arguments.only in v.name
    ]
    path = arguments.json or (RESULTS if arguments.missing or len(chosen) == len(everything) else None)
    known = {}
    if arguments.missing and path is not None and path.exists():
        known = {v["digest"]: v for v in json.loads(path.read_text())["variants"]}
        chosen = [v for v in chosen if v.digest not in known]
    done: list[Done] = []

    def finished(found: Sequence[Done]) -> dict[str, Any]:
        data = as_json(found)
        made = known | {v["digest"]: v for v in data["variants"]}
        kept = [{**made[v.digest], "equivalent": v.equivalent} for v in everything if v.digest in made]
        return {**data, "variants": kept}

    def report(found: Sequence[Done]) -> None:
        done.extend(found)
        print(summary(found), file=sys.stderr, flush=True)
        if path is not None and (arguments.json or arguments.missing):  # what is done stays, if the rest is stopped
            write(path, finished(done))

    data = finished(run_variants(chosen, jobs=arguments.jobs, progress=report))
    if path is not None:
        write(path, data)
    print(tables(data))
    wrong = failures(data)
    for line in wrong:
        print(line)
    return 1 if wrong else 0


def write(path: Path, data: Mapping[str, Any]) -> None:
    """Results as JSON."""
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
