"""`python -m runtime_tests.mutants`: faults in the code of shipped and sample kernels, and those that no case detects.

For each kernel whose code can be changed (LLVM IR in text, bitcode or generated, and PTX) up to `--count` mutants run
through the cases that validation would choose; the table has the numbers killed, and the survivors are listed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runtime_tests.arguments import at_least, ends_in_words, new_file, read_kept
from substitute.errors import SubstituteError
from substitute.model.kernel import Kernel
from substitute.report.mutation import mutation_to_json, survivor_lines
from substitute.validate.kernel import find_kernels
from substitute.validate.mutation.mutate import mutate_kernel

ROOT = Path(__file__).parents[1]
FOLDERS = ("kernels", "samples", "ptx_blobs")
MUTABLE = ("llvm-ir", "llvm-bitcode", "llvm-generator", "ptx")
DEVICES = {"llvm-cpu": "local-task", "cuda": "cuda-sim"}


@ends_in_words
def main(argv: Sequence[str] | None = None) -> int:
    """0 if at least the asked share of mutants was killed."""
    parser = argparse.ArgumentParser(prog="python -m runtime_tests.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="only kernels whose name holds this text")
    parser.add_argument("--count", type=at_least(1), default=60, help="mutants of each kernel at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="by the cases of --quick")
    parser.add_argument("--share", type=float, default=0.0, help="the share that has to be killed")
    parser.add_argument("--json", type=new_file, help="where the results go; what is there already is not judged again")
    arguments = parser.parse_args(argv)
    data: dict[str, Any] = {}
    if arguments.json and arguments.json.exists():
        data = read_kept(arguments.json)
    chosen = kernels(arguments.only)
    if not chosen:
        parser.error(f"no kernel whose code can be changed has {arguments.only!r} in its name")
    for kernel in chosen:
        key = f"{kernel.name} {kernel.folder.relative_to(ROOT)}"
        if key in data:
            continue
        try:
            report = mutate_kernel(
                kernel, device=device_of(kernel), quick=arguments.quick, seed=arguments.seed, count=arguments.count
            )
        except SubstituteError as error:
            data[key] = {"message": str(error).partition("\n")[0], "counts": {}}
        else:
            data[key] = mutation_to_json(report)
            for line in survivor_lines(report):
                print(f"{kernel.name}: {line}", file=sys.stderr, flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(data, indent=1) + "\n")
    print(table(data))
    return 0 if killed_share(data) >= arguments.share else 1


def kernels(only: str) -> list[Kernel]:
    """Return the kernels in the project's folders of which mutants can be made."""
    folders = sorted({p.parent for f in FOLDERS for p in (ROOT / f).rglob("kernel.toml")})
    found = {}
    for folder in folders:
        try:
            here = find_kernels([str(folder)])
        except SubstituteError:
            continue  # its code is made when the sample is run
        for kernel in here:
            if only in kernel.name and kernel.payload.kind.name in MUTABLE and device_of(kernel):
                found[kernel.name, kernel.folder] = kernel
    return list(found.values())


def device_of(kernel: Kernel) -> str:
    """Return the device that a kernel's mutants run on; empty if there is none."""
    return next((DEVICES[target.backend] for target in kernel.targets if target.backend in DEVICES), "")


def killed_share(data: dict[str, Any]) -> float:
    """Return the share of mutants that were killed, of all that compile and change something."""
    killed, survived = (sum(v["counts"].get(s, 0) for v in data.values()) for s in ("killed", "survived"))
    return killed / (killed + survived) if killed + survived else 0.0


def table(data: dict[str, Any]) -> str:
    """Return the table as Markdown."""
    rows = ["| kernel | mutants | killed | survived | same code |", "| --- | ---: | ---: | ---: | ---: |"]
    for key, value in data.items():
        rows.append(_row(key.partition(" ")[0], [value]) if not value["message"] else f"| {key}: {value['message']} |")
    return "\n".join([*rows, _row("**all**", list(data.values())), f"killed: {killed_share(data):.1%}"])


def _row(name: str, values: Sequence[dict[str, Any]]) -> str:
    counts = [sum(v["counts"].get(s, 0) for v in values) for s in ("killed", "survived", "equivalent")]
    return f"| {name} | {sum(counts)} | {' | '.join(map(str, counts))} |"


if __name__ == "__main__":
    sys.exit(main())
