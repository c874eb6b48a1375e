"""`python -m runtime_tests.fuzz`: judges random programs with the built-in kernels."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime_tests.arguments import at_least, ends_in_words, read_kept
from runtime_tests.fuzz.campaign import DEVICES, Worker, draw, run_campaign
from runtime_tests.fuzz.function import Function
from runtime_tests.fuzz.outcome import OURS, Setting
from substitute.crash import NO_THREADS
from substitute.errors import UsageError

FOLDER = Path("build/fuzz")


@ends_in_words
def main(argv: Sequence[str] | None = None) -> int:
    """0 if nothing is wrong and nothing crashed."""
    parser = argparse.ArgumentParser(prog="python -m runtime_tests.fuzz", description=__doc__)
    parser.add_argument("--backend", choices=DEVICES, default="cpu")
    parser.add_argument("--programs", type=at_least(1), default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=at_least(0), default=0, help="the number of the first program")
    parser.add_argument("--jobs", type=at_least(1), default=1, help="child processes at a time")
    parser.add_argument("--shrink", type=at_least(0), default=6, metavar="COUNT", help="findings that are made smaller")
    parser.add_argument(
        "--whole", type=at_least(1), default=8, metavar="N", help="one module in N with IREE's own code too"
    )
    parser.add_argument("--folder", type=Path, help=f"for the summary and the findings (default: in {FOLDER})")
    parser.add_argument("--replay", metavar="SEED", help="one program: CAMPAIGN:NUMBER, or a finding's folder")
    options = parser.parse_args(argv)
    # many small dispatches are compiled faster by one thread; a flag of the process, which tests may not set
    setting = Setting(device=DEVICES[options.backend], flags=(NO_THREADS,))
    if options.replay:
        return replay(options.replay, setting)
    folder = options.folder or FOLDER / f"{options.backend}-{options.seed}"
    found = run_campaign(
        options.seed,
        options.programs,
        setting,
        jobs=options.jobs,
        first=options.first,
        folder=folder,
        shrinks=options.shrink,
        whole=options.whole,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    print(json.dumps({k: v for k, v in found.items() if k != "list"}, indent=1, ensure_ascii=False))
    print(f"the findings are in {folder}")
    return 1 if any(found["findings"].get(kind) for kind in OURS) else 0


def replay(which: str, setting: Setting) -> int:
    """Judges one program again, in every way."""
    function: Function
    if Path(which).is_dir():
        kept = read_kept(Path(which) / "choices.json")
        function = draw(kept["seed"], kept["choices"])
    elif not re.fullmatch(r"[^/]+:\d+", which):  # any text is a seed: a path that is mistyped would be one
        raise UsageError(
            "there is no such program",
            where="--replay",
            expected="CAMPAIGN:NUMBER, or the folder of a finding",
            found=which,
        )
    else:
        function = draw(which)
    print(function.text("f0"))
    worker = Worker()
    report = worker.judge([function], setting)
    worker.close()
    for finding in report.findings:
        print(f"{finding.kind}: {finding.kernel} {finding.dispatch}\n  {finding.message}")
    for words in report.refused.values():
        print(f"IREE does not compile it: {words}")
    print(dict(report.counts), dict(report.kernels), dict(report.unread), dict(report.unjudged))
    return 1 if any(f.kind in OURS for f in report.findings) else 0


if __name__ == "__main__":
    sys.exit(main())
