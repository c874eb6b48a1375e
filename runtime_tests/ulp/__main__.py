"""`python -m runtime_tests.ulp`: the largest error of each math function of f32, on each target that can run here."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from runtime_tests.arguments import at_least
from runtime_tests.codegen.numpy_ops import NumpyOps
from runtime_tests.payload.llvm_graphs import MODERN, run
from runtime_tests.payload.vulkan_run import evaluate_on_device, why_no_vulkan
from runtime_tests.ulp.errors import REFERENCES, largest_error
from substitute.codegen.mathematics import FUNCTIONS
from substitute.model.scalar import Scalar, ScalarGraph

BLOCK = 1 << 22
NAMES = sorted(REFERENCES.keys() & FUNCTIONS.keys())
Evaluate = Callable[[str, Any], Any]


def on_the_cpu(name: str, x: Any) -> Any:
    """LLVM IR, compiled for this machine."""
    graph = ScalarGraph((Scalar("read", "f32", (), 0), Scalar(f"math.{name}", "f32", (0,))), (1,))
    return run(graph, "f32", [("f32", x)], 8, MODERN)


def on_vulkan(name: str, x: Any) -> Any:
    """GLSL on the first Vulkan device."""
    return evaluate_on_device([x], ["f32"], [(f"math.{name}", "f32", (0,), None)], "f32")[0]


def by_operations(name: str, x: Any) -> Any:
    """Each operation rounded once, with NumPy."""
    with np.errstate(all="ignore"):
        return FUNCTIONS[name](NumpyOps("f32"), x)


TARGETS: dict[str, Evaluate] = {"operations": by_operations, "llvm": on_the_cpu, "glsl": on_vulkan}


def blocks(every: int) -> Iterator[Any]:
    """Every n-th of all patterns of f32, four million at a time."""
    for first in range(0, 1 << 32, BLOCK * every):
        yield np.arange(first, min(first + BLOCK * every, 1 << 32), every, dtype=np.uint64).astype(np.uint32).view("f4")


def worst(name: str, evaluate: Evaluate, every: int) -> tuple[float, float]:
    """Return the largest error in ULP, and for which number; 0.5 is what rounding leaves."""
    largest, at = 0.5, 0.0
    for x in blocks(every):
        with np.errstate(all="ignore"):
            wanted = REFERENCES[name](x.astype(np.float64))
        largest, at = largest_error(x, evaluate(name, x), wanted, largest) or (largest, at)
    return largest, at


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m runtime_tests.ulp", description=__doc__)
    parser.add_argument("--every", type=at_least(1), default=1, help="only every n-th of the 2^32 numbers")
    parser.add_argument("--function", action="append", choices=NAMES)
    parser.add_argument("--target", action="append", choices=sorted(TARGETS))
    given = parser.parse_args(argv)
    targets = given.target or ["llvm"]
    if "glsl" in targets and why_no_vulkan():
        parser.error(f"--target glsl: {why_no_vulkan()}")
    print(f"| function | {' | '.join(targets)} |", *["---"] * (len(targets) + 1), sep="\n|", end="|\n")
    for name in given.function or NAMES:
        found = (worst(name, TARGETS[target], given.every) for target in targets)
        print(f"| {name} | {' | '.join(f'{error:.2f} at {at!r}' for error, at in found)} |", flush=True)


if __name__ == "__main__":
    main()
