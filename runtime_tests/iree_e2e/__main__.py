"""`python -m runtime_tests.iree_e2e --source DIR`: IREE's own end-to-end tests with the built-in kernels.

DIR is a checkout of IREE (its `tests/e2e` is read), or any folder of such tests.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runtime_tests.arguments import ends_in_words, new_file, read_kept
from runtime_tests.iree_e2e.run import FileResult, run_files
from substitute.errors import UsageError

AT_ONCE = 15
"""Files in one child process."""
DEVICES = {"cpu": "local-task", "vulkan": "vulkan"}


@ends_in_words
def main(argv: Sequence[str] | None = None) -> int:
    """0 if every function that passes with stock IREE passes with the kernels as well."""
    parser = argparse.ArgumentParser(prog="python -m runtime_tests.iree_e2e", description=__doc__)
    parser.add_argument("--source", type=Path, required=True, metavar="DIR")
    parser.add_argument("--backend", choices=DEVICES, action="append", help="default: both")
    parser.add_argument("--only", default="", metavar="TEXT", help="only files with this in their path")
    parser.add_argument("--json", type=new_file, metavar="FILE", help="all results")
    parser.add_argument("--resume", action="store_true", help="keep the results that --json's FILE has already")
    options, flags = parser.parse_known_args(argv)
    if options.resume and options.json is None:
        parser.error("--resume needs the results: --json FILE")
    files = find_tests(options.source, options.only)
    results: dict[str, list[FileResult]] = {}
    if options.resume and options.json.is_file():
        results = read_results(options.json)
    for backend in options.backend or list(DEVICES):
        done = {result.path for result in results.setdefault(backend, [])}
        left = [file for file in files if str(file) not in done]
        for at in range(0, len(left), AT_ONCE):
            for result in run_files(left[at : at + AT_ONCE], DEVICES[backend], flags):
                results[backend].append(result)
                line = f"{backend} {len(results[backend])} of {len(files)}: {_line(result)}"
                print(line, file=sys.stderr, flush=True)
            if options.json is not None:
                data = {b: [asdict(r) for r in found] for b, found in results.items()}
                options.json.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    worse = []
    for backend, found in results.items():
        figures, lost = summary(found)
        print(f"{backend}: {figures}")
        worse += [f"{backend}: {text}" for text in lost]
    print("\n".join(worse) or "every function that passes with stock IREE passes with the kernels")
    return 1 if worse else 0


def read_results(path: Path) -> dict[str, list[FileResult]]:
    """Return the results in a `--json` file. Raises `UsageError`."""
    return {backend: [FileResult(**fields) for fields in found] for backend, found in read_kept(path).items()}


def find_tests(source: Path, only: str = "") -> list[Path]:
    """The MLIR files of a checkout's end-to-end tests. Raises `UsageError`."""
    folder = source / "tests" / "e2e" if (source / "tests" / "e2e").is_dir() else source
    files = [p for p in sorted(folder.rglob("*.mlir")) if only in str(p) and "check." in p.read_text(errors="replace")]
    if not files:
        raise UsageError(
            "there are no tests",
            where=str(source),
            expected="a checkout of IREE with tests/e2e, or a folder of tests",
            found="no .mlir file that calls `check`",
            next_step="git clone https://github.com/iree-org/iree",
        )
    return files


def _line(result: FileResult) -> str:
    counts = {which: f"{sum(not w for w in f.values())} of {len(f)}" for which, f in result.functions.items()}
    return f"{Path(result.path).name} {counts} {result.refused or ''}"


def lost(result: FileResult) -> Iterable[str]:
    """The functions that stock passes and the kernels do not."""
    stock, ours = result.functions.get("stock", {}), result.functions.get("ours")
    for name, words in stock.items():
        if words:
            continue
        if ours is None:
            yield f"{result.path} {name}: {result.refused.get('ours', 'not run')}"
        elif ours.get(name, "missing"):
            yield f"{result.path} {name}: {ours.get(name, 'missing')}"


def summary(results: Sequence[FileResult]) -> tuple[dict[str, Any], list[str]]:
    """Figures of all files, and what was lost."""
    worse = [text for result in results for text in lost(result)]
    passed = sum(not words for r in results for words in r.functions.get("stock", {}).values())
    timed = [r.seconds for r in results if r.seconds]
    stock_s, ours_s = (sum(s[which] for s in timed) for which in ("stock", "ours"))
    ratios = sorted(s["ours"] / s["stock"] for s in timed if s["stock"])
    gained = [
        name
        for r in results
        for name, words in r.functions.get("ours", {}).items()
        if not words and r.functions.get("stock", {}).get(name, "missing")
    ]
    figures = {
        "files": len(results),
        "not compiled by stock": sum("stock" in r.refused for r in results),
        "functions that stock passes": passed,
        "of these with the kernels": passed - len(worse),
        "only with the kernels": len(gained),
        "substituted dispatches": sum(r.substituted for r in results),
        "compile stock s": round(stock_s, 1),
        "compile ours s": round(ours_s, 1),
        "ratio of sums": round(ours_s / stock_s, 3) if stock_s else None,
        "median ratio": round(ratios[len(ratios) // 2], 3) if ratios else None,
    }
    return figures, worse


if __name__ == "__main__":
    sys.exit(main())
