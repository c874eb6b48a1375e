"""Modules that a worker has loaded, and others: see `preload.py`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from runtime_tests.filter.conftest import CPU, Surroundings

pytestmark = pytest.mark.compile
Executables = Callable[[tuple[str, ...]], dict[str, bytes]]

RULE = """schema = 1
name = "rule"
[[target]]
backend = "llvm-cpu"
[payload]
kind = "rule"
file = "rule.py"
"""
CLASSES = """
def rewrite(site):
    raise ValueError(*[type(op).__name__ for op in site.function.regions[0].blocks[0].operations])
"""
WORK = """
import os, sys
from substitute.filter.preload import preload
state = preload([], "llvm-cpu")
loaded = set(sys.modules)
outcome = state.work(sys.stdin.buffer.read(), state.knowledge(os.getcwd(), []))
assert outcome.text is not None
print(*sorted(m for m in sys.modules if m.startswith(("iree.compiler.dialects._", "substitute.")) and m not in loaded))
"""


def test_the_first_executable_loads_nothing(surroundings: Surroundings, executables: Executables) -> None:
    """Once definitions are cached: neither classes of operations nor modules of this package are loaded later."""
    argv = [sys.executable, "-c", WORK]
    for _ in range(2):
        done = subprocess.run(argv, input=executables(CPU)["matmul"], capture_output=True, env=surroundings.environment)
        assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b"\n"


def test_a_persons_rule_sees_the_classes_of_operations(surroundings: Surroundings, executables: Executables) -> None:
    kernel = surroundings.kernel("")
    (kernel / "kernel.toml").write_text(RULE)
    (kernel / "rule.py").write_text(CLASSES)
    done = surroundings.run("--kernels", kernel, data=executables(CPU)["matmul"])
    assert done.returncode != 0
    assert b"MatmulOp" in done.stderr or b"GenericOp" in done.stderr
    assert b"OpView" not in done.stderr


def test_a_changed_generator_is_loaded_anew(surroundings: Surroundings, executables: Executables) -> None:
    """Also by a worker that had it loaded for other arguments."""
    text = executables(CPU)["matmul"]
    for number, more in enumerate(([], ["--timeout", "100"])):
        kernel = surroundings.kernel(f"raise ValueError('number {number}')")
        done = surroundings.run("--no-cache", "--no-builtin", "--kernels", kernel, *more, data=text)
        assert f"number {number}".encode() in done.stderr
