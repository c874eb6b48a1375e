"""Flags that IREE's build files give to single tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from substitute.guard.keys import TARGETS

BACKENDS = {"local-task": "llvm-cpu", "vulkan": "vulkan-spirv"}
SUITES = frozenset({"iree_check_single_backend_test_suite", "iree_check_test_suite"})


def flags_of(path: Path, driver: str) -> tuple[str, ...]:
    """Return the compiler's flags of a test on a driver, from the build file beside it.

    Those that name a target are left out.
    """
    build = path.parent / "BUILD.bazel"
    if not build.is_file():
        return ()
    for sources, backends, flags in _suites(build):
        if path.name in sources and (BACKENDS.get(driver) in backends or not backends):
            return tuple(flag for flag in flags if flag.lstrip("-").partition("=")[0] not in TARGETS)
    return ()


@lru_cache(maxsize=64)
def _suites(build: Path) -> list[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]]:
    """The suites of tests in a build file, whose syntax is Python's: sources, backends, flags."""
    found = []
    for call in ast.walk(ast.parse(build.read_text())):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in SUITES:
            given = {k.arg: tuple(_texts(k.value)) for k in call.keywords if k.arg}
            found.append((given.get("srcs", ()), given.get("target_backend", ()), given.get("compiler_flags", ())))
    return found


def _texts(value: ast.expr) -> Iterator[str]:
    """The texts of a list, without what a variable adds to it."""
    for node in ast.walk(value):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
