"""Differences between the versions of IREE: named workarounds, the versions that need them, and their tests.

`nox -f runtime_tests/noxfile.py -s workarounds` runs the test of each workaround without it, on every version: if it
passes, the version no longer needs it. `nox -s nightly` runs the suite on IREE's pre-releases.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache

SUPPORTED = ("3.11", "3.12", "3.13")
"""Versions that the project supports, oldest first; `pyproject.toml` has the same bounds."""
DISABLED = "IREE_SUBSTITUTE_WITHOUT"
"""Environment variable that names workarounds to disable, separated by commas: for tests of this list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workaround:
    """A fault or gap of some versions of IREE, and this project's remedy."""

    name: str
    versions: tuple[str, ...]
    """Versions that need it."""
    reason: str
    """Behaviour of IREE without the workaround."""
    test: str
    """The test that fails without it on these versions (pytest's node id below `runtime_tests/`)."""


REPLACE_BUILDERS = Workaround(
    name="replace_builders",
    versions=("3.11",),
    reason="linalg, vector and iree_gpu each register a builder named `IteratorType`; loading the second ends the "
    "process, and an attribute that is looked at is enough to load a dialect",
    test="rules/test_dialects.py",
)
LINK_MEMORY_FUNCTIONS = Workaround(
    name="link_memory_functions",
    versions=("3.11", "3.12"),
    reason="the embedded linker does not find memset, memcpy and memmove, which LLVM makes of loops",
    test="kinds/test_cpu_linking.py",
)
SPELL_PIPELINES_AS_WORDS = Workaround(
    name="spell_pipelines_as_words",
    versions=("3.11",),
    reason="pipelines of code generation are words of one list, without an attribute such as `#iree_cpu.pipeline<…>`",
    test="rules/test_bodies.py",
)
ORDER_EXPORTS = Workaround(
    name="order_exports",
    versions=("3.11",),
    reason="where executables are not linked, exports are written into the CPU's library as they stand and dispatched "
    "by ordinal: another order gives wrong results, or a launch that is refused",
    test="variants/test_merging.py::test_exports_stand_in_the_order_of_their_ordinals",
)
VIEW_WHOLE_BINDINGS = Workaround(
    name="view_whole_bindings",
    versions=("3.11",),
    reason="a subspan of rank 0 loses its own offset",
    test="rewrite/test_rewrite.py::test_offsets_and_sizes_in_a_call_out",
)
KEEP_FAILED_DEVICES_OPEN = Workaround(
    name="keep_failed_devices_open",
    versions=("3.11", "3.12", "3.13"),
    reason="closing a CUDA device on which a launch failed ends the process in a thread of IREE's",
    test="cuda_sim/test_driver_iree.py::test_devices_that_failed_are_not_closed",
)
WORKAROUNDS = (
    REPLACE_BUILDERS,
    LINK_MEMORY_FUNCTIONS,
    SPELL_PIPELINES_AS_WORDS,
    ORDER_EXPORTS,
    VIEW_WHOLE_BINDINGS,
    KEEP_FAILED_DEVICES_OPEN,
)


@lru_cache(maxsize=1)
def installed_version() -> str:
    """Return the installed compiler's version as `3.13`."""
    return ".".join(installed_release().split(".")[:2])


@lru_cache(maxsize=1)
def installed_release() -> str:
    """Return the installed compiler's whole version, such as `3.13.0`."""
    from iree.compiler.version import VERSION

    return str(VERSION)


def is_needed(workaround: Workaround) -> bool:
    """Return True if the installed version needs the workaround, and it is not disabled."""
    return installed_version() in workaround.versions and workaround.name not in _disabled()


def _disabled() -> frozenset[str]:
    return frozenset(filter(None, os.environ.get(DISABLED, "").split(",")))
