"""Key of a verdict: the contents of everything that the judged code is made from, without the names of a model."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..cache.checked import digest_parts
from ..cache.stamps import list_installed, program_files, read_state
from ..flags import (
    BACKENDS,
    CPU,
    CPU_FEATURES,
    CUDA_TARGET,
    DEVICE,
    LOCAL_BACKENDS,
    TRIPLE,
    VULKAN_TARGET,
    read_flags,
)
from ..machine import read_cpu_name
from ..model.dispatch import Dispatch
from ..model.plan import Substitution

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..embed import Built

FORMAT = b"1"
"""Version of the meaning of a verdict."""
TARGETS = frozenset((DEVICE, BACKENDS, LOCAL_BACKENDS, CPU, CPU_FEATURES, TRIPLE, CUDA_TARGET, VULKAN_TARGET))
"""Flags whose values are part of a dispatch's target."""
SILENT = (
    "iree-hal-dump-",
    "iree-hal-preprocess-",
    "mlir-",
    "iree-vm-",
    "iree-input-",
    "iree-preprocessing-",
    "iree-global-opt-",
    "iree-dispatch-creation-",
    "iree-flow-",
    "iree-stream-",
    "iree-scheduling-",
    "iree-consteval-",
)
"""Prefixes of flags that change no code, or that have taken effect once there are dispatches."""
SHORT = 16
"""Constants with more elements are left out of the text; their data is part of the key."""


def key_of(
    before: ir.Operation | None,
    after: ir.Operation | None,
    applied: Sequence[Substitution],
    built: Sequence[Built],
    flags: Sequence[str] = (),
) -> str:
    """Return the key of a dispatch with its kernels.

    `before` and `after` are its function before and after the rules in `applied` changed it; `built` are its other
    kernels' payloads, in the order of selection. The compiler's `flags` count unless they are part of the target:
    IREE's own code may depend on any of them.
    """
    dispatch = (applied or [b.substitution for b in built])[0].dispatch
    parts = [FORMAT, *_surroundings(), repr(dispatch.target).encode(), repr(dispatch.layout).encode(), _demands(flags)]
    parts += [_text(before, dispatch), b"" if after is before else _text(after, dispatch)]
    for rule in applied:
        parts += map(_content, rule.kernel.payload.objects)
    for one in built:
        parts += _code(one)
    return digest_parts(parts).hex()


def _demands(flags: Sequence[str]) -> bytes:
    values = read_flags(flags).values
    return repr(sorted((n, v) for n, v in values.items() if n not in TARGETS and not n.startswith(SILENT))).encode()


def _code(built: Built) -> Iterable[bytes]:
    """Yield the payload, and all that the code around it is generated from."""
    payload, request, substitution = built.payload, built.request, built.substitution
    name = payload.entry.encode()
    yield payload.data.replace(name, b"*") if name else payload.data
    yield repr(
        (
            str(payload.format),
            payload.workgroup_count,
            payload.workgroup_size,
            payload.shared_memory_bytes,
            payload.constants,
            payload.compilation_info,
            payload.frozen,
            request.parameters,
            request.scalars,
            request.values,
            substitution.match.fallback,
            substitution.match.axes,
            substitution.rule,
            substitution.kernel.abi,
            substitution.kernel.accuracy,
        )
    ).encode()
    yield from map(_content, payload.objects)


def _text(function: ir.Operation | None, dispatch: Dispatch) -> bytes:
    if function is None:
        return b""
    limit = None if dispatch.program is None else SHORT
    text = function.get_asm(
        enable_debug_info=False, use_local_scope=True, large_elements_limit=limit, large_resource_limit=limit
    )
    data = b"" if dispatch.program is None else b"".join(operand.data for operand in dispatch.program.operands)
    return str(text).replace(dispatch.name, "*").encode() + b"\0" + data


@lru_cache(maxsize=1)
def _surroundings() -> tuple[bytes, ...]:
    """Return this program, IREE and all packages, and the machine, whose speed a verdict depends on."""
    machine = (platform.machine(), read_cpu_name(), len(os.sched_getaffinity(0)))
    from ..iree_versions import installed_release

    states = [read_state(path) for path in program_files()]
    return repr((sys.version, installed_release(), states, sorted(set(list_installed())), machine)).encode(), b""


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return os.fsencode(path)
