"""`substitute.lock`: the SHA-256 of each payload of a compiled model, and of the files of the kernels behind them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .cache.atomic import write_whole
from .catalog.files import digest_files
from .errors import PlanError, UsageError
from .json_text import parse_json
from .model.plan import Payload, Plan, substitution_names

VERSION = 1


def describe_lock(plan: Plan, payloads: Mapping[str, Payload]) -> dict[str, Any]:
    """Return what a lock says of a plan whose payloads were made."""
    kernels = {s.kernel.name: s.kernel for s in plan.substitutions}
    chosen = [s for s in plan.substitutions if not s.kernel.payload.kind.rewrites_body]
    return {
        "version": VERSION,
        "kernels": {name: digest_files(kernel) for name, kernel in sorted(kernels.items())},
        "payloads": {
            name: {"kernel": s.kernel.name, "sha256": hashlib.sha256(payloads[name].data).hexdigest()}
            for name, s in zip(substitution_names(chosen), chosen, strict=True)
        },
    }


def write_lock(file: Path, plan: Plan, payloads: Mapping[str, Payload]) -> None:
    """Write the lock of a plan. Raises `SubstituteError`."""
    write_whole(file, f"{json.dumps(describe_lock(plan, payloads), indent=2, ensure_ascii=False)}\n".encode())


def read_lock(file: Path) -> dict[str, Any]:
    """Read a lock. Raises `UsageError`."""
    try:
        value = parse_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _not_a_lock(file, str(error)) from None
    parts = value if isinstance(value, dict) else {}
    if parts.get("version") != VERSION:
        raise _not_a_lock(file, f"version {parts.get('version')}")
    for part in ("kernels", "payloads"):
        entries = parts.get(part)
        if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
            raise _not_a_lock(file, f"`{part}` that is no object of objects")
    return parts


def check_lock(file: Path, lock: Mapping[str, Any], plan: Plan, payloads: Mapping[str, Payload]) -> None:
    """Compare what would be embedded with a lock. Raises `PlanError` for anything that it does not name as it is."""
    found = describe_lock(plan, payloads)
    for name, files in found["kernels"].items():
        if lock["kernels"].get(name) != files:
            known = lock["kernels"].get(name)
            changed = sorted(f for f in {*files, *(known or {})} if files.get(f) != (known or {}).get(f))
            raise _differs(file, f"the kernel {name}", ", ".join(changed) if known else "a kernel that is not in it")
    for name, payload in found["payloads"].items():
        if lock["payloads"].get(name) != payload:
            what = "other code" if name in lock["payloads"] else "a payload that is not in it"
            raise _differs(file, f"the payload of {name} ({payload['kernel']})", what)


def _not_a_lock(file: Path, found: str) -> UsageError:
    return UsageError(
        "the lock cannot be read",
        where=str(file),
        expected=f"a lock of version {VERSION}, as `compile --lock FILE` writes it",
        found=found,
        next_step="write it again, and look at what changed",
    )


def _differs(file: Path, what: str, found: str) -> PlanError:
    return PlanError(
        f"{what} is not what the lock names",
        where=str(file),
        expected="the same files and the same code",
        found=found,
        next_step="nothing was written; if the change is meant, write the lock again with --lock",
    )
