"""`python -m runtime_tests.ptx_corpus`: kernels of compilers and of suites, each with results that are known.

`--suite zluda DIR` adds the tests of a ZLUDA checkout.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .compilers import compilers
from .outcomes import KINDS, Corpus
from .zluda import zluda

SUITES = {"zluda": zluda}


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a table; 1 if anything is wrong, is found in right code, or cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m runtime_tests.ptx_corpus", description=__doc__)
    parser.add_argument(
        "--suite",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "DIR"),
        help=f"a suite at hand: {', '.join(SUITES)}",
    )
    parser.add_argument("--only", default="", metavar="WORD", help="corpora whose name has this word")
    options = parser.parse_args(arguments)
    for name, _ in options.suite:
        if name not in SUITES:
            parser.error(f"{name} is no suite that is known: {', '.join(SUITES)}")
    corpora = [*compilers(), *(SUITES[name](Path(folder)) for name, folder in options.suite)]
    corpora = [corpus.run() for corpus in corpora if options.only.lower() in corpus.name.lower()]
    for corpus in corpora:
        for outcome in corpus.outcomes:
            if outcome.kind != "right":
                print(f"{corpus.name}: {outcome.case}: {outcome.kind}: {outcome.words}")
    print_table(corpora)
    return int(any(o.kind not in ("right", "refused") for corpus in corpora for o in corpus.outcomes))


def print_table(corpora: Sequence[Corpus]) -> None:
    """One row for each corpus."""
    print(f"\n| corpus | cases | {' | '.join(KINDS)} |\n|---|---|{'---|' * len(KINDS)}")
    for corpus in corpora:
        print(corpus.row())


if __name__ == "__main__":
    sys.exit(main())
