"""The machine on which something is measured, and how it differs from another one."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

COMPILER = "iree-base-compiler"
PACKAGES = ("iree-substitute", COMPILER, "iree-base-runtime")


def read_cpu_name() -> str:
    """Return the processor's name as Linux gives it; the architecture where it gives none."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


@lru_cache(maxsize=1)
def read_machine() -> Mapping[str, str]:
    """Return the processor, its features, the number of cores that this process may use, and versions."""
    from importlib.metadata import PackageNotFoundError, version

    from llvmlite import binding

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    features = sorted(name for name, there in binding.get_host_cpu_features().items() if there)
    cores = len(os.sched_getaffinity(0))
    return {"cpu": read_cpu_name(), "features": " ".join(features), "cores": str(cores), **versions}


def describe_differences(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Return what differs between two machines as far as it changes which code is faster; nothing for an empty one."""
    notes = []
    if before.get("cpu", now["cpu"]) != now["cpu"]:
        notes.append(f"it was measured on another CPU: {before['cpu']}, here {now['cpu']}")
    then, here = (set(machine["features"].split()) for machine in ({"features": now["features"], **before}, now))
    if then != here:
        parts = [f"without {', '.join(sorted(then - here))}"] * bool(then - here)
        parts += [f"with {', '.join(sorted(here - then))}"] * bool(here - then)
        notes.append(f"the CPU here is one {' and '.join(parts)}")
    if before.get(COMPILER, now[COMPILER]) != now[COMPILER]:
        notes.append(f"it was measured with IREE {before[COMPILER]}, here is {now[COMPILER]}")
    return tuple(notes)
