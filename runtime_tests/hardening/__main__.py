"""Changes valid inputs of every kind, and reads them: each is read, or refused in words."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from runtime_tests.arguments import at_least, ends_in_words, new_file
from runtime_tests.hardening.harness import distinct, make_input, read_many, valid_samples
from runtime_tests.hardening.kinds import KINDS
from substitute.errors import UsageError


@ends_in_words
def main(argv: Sequence[str] | None = None) -> int:
    """Return 1 if an input ended in a traceback, a hang, growth, or a crash of what runs in the user's process."""
    parser = argparse.ArgumentParser(prog="python -m runtime_tests.hardening", description=__doc__)
    parser.add_argument("--inputs", type=at_least(1), default=2000, help="how many, over all kinds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", choices=list(KINDS), help="this kind; may be given several times")
    parser.add_argument("--write", metavar="NUMBER", type=int, help="write this input of --only to --file, and end")
    parser.add_argument("--file", type=new_file, default=None)
    parser.add_argument("--json", type=new_file, default=None, help="write the findings")
    options = parser.parse_args(argv)
    chosen = options.only or list(KINDS)
    if options.write is not None:
        if len(chosen) != 1 or options.file is None:
            raise UsageError("--write needs one --only and a --file", expected="both", next_step="add them")
        with tempfile.TemporaryDirectory() as folder:
            samples = valid_samples(chosen[0], Path(folder))
        options.file.write_bytes(make_input(chosen[0], samples, options.seed, options.write))
        return 0
    share = max(1, options.inputs // len(chosen))
    results = []
    for kind in chosen:
        result = read_many(kind, share, options.seed)
        results.append(result)
        bad = [f for f in result.findings if not f.tolerated]
        crashes = len(result.findings) - len(bad)
        note = f", {crashes} crashes of native code" if crashes else ""
        print(
            f"{kind:<11} {result.read:>7} read, {result.refused:>7} refused, {len(bad)} wrong{note}, "
            f"{result.seconds:.1f} s",
            flush=True,
        )
        for name, group in distinct(bad):
            print(f"    {len(group)}× {name}: {group[0].problem} (--only {kind} --write {group[0].number})", flush=True)
    wrong = [f for result in results for f in result.findings if not f.tolerated]
    if options.json is not None:
        listed = [{"kind": f.kind, "number": f.number, "problem": f.problem} for f in wrong]
        options.json.write_text(json.dumps({"seed": options.seed, "findings": listed}, indent=1))
    print(f"{sum(r.read for r in results)} inputs, {len(wrong)} wrong (seed {options.seed})")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
