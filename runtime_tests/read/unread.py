"""`python -m runtime_tests.read.unread [FILE…]`: which dispatches of ONNX graphs or other models are not read, and why.

Without files, the graphs of `onnx_graphs`. Prints each unread dispatch, then how often each reason occurs.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

from substitute.errors import SubstituteError
from substitute.inspection import inspect_model


def count_unread(paths: list[Path]) -> tuple[int, Counter[str], Counter[str]]:
    """Return the number of dispatches, the reasons of those that are not read, and of models that do not compile."""
    total, unread, failed = 0, Counter[str](), Counter[str]()
    for path in paths:
        try:
            plan = inspect_model(path, builtin=False, isolate=True)
        except SubstituteError as error:
            failed[str(error).partition("\n")[0].removeprefix(f"{path}: ")] += 1
            print(f"{path.name}: not compiled: {error.details.strip().partition(chr(10))[0][:150]}")
            continue
        total += len(plan.dispatches)
        for dispatch in plan.dispatches:
            if dispatch.program is None:
                unread[dispatch.reason] += 1
                print(f"{path.name}: {dispatch.name}: {dispatch.reason}", flush=True)
    return total, unread, failed


def main(arguments: list[str]) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(a) for a in arguments]
        if not paths:
            import onnx

            from runtime_tests.read.onnx_graphs import GRAPHS

            for name, make in GRAPHS.items():
                paths.append(Path(folder) / f"{name}.onnx")
                onnx.save(make(), str(paths[-1]))
        total, unread, failed = count_unread(paths)
    print(
        f"\n{len(paths)} models, {total} dispatches, {sum(unread.values())} unread, {sum(failed.values())} not compiled"
    )
    for reason, count in unread.most_common():
        print(f"{count:5} {reason}")
    for reason, count in failed.most_common():
        print(f"{count:5} {reason}")


if __name__ == "__main__":
    main(sys.argv[1:])
