"""Architectures and PTX ISA versions: their compatibility, and limits of architectures.

Source: PTX ISA 9.0, "Release Notes" (table "PTX Release History") and 11.1.2 ".target"; shared memory: CUDA C++
Programming Guide 13.0, table "Technical Specifications per Compute Capability".
"""

from __future__ import annotations

NEWEST_VERSION = (9, 0)
"""The newest PTX ISA version that a 580 driver accepts."""
FIRST_VERSION: dict[str, tuple[int, int]] = {
    "20": (2, 0),
    "30": (3, 0),
    "32": (4, 0),
    "35": (3, 1),
    "37": (4, 1),
    "50": (4, 0),
    "52": (4, 1),
    "53": (4, 2),
    "60": (5, 0),
    "61": (5, 0),
    "62": (5, 0),
    "70": (6, 0),
    "72": (6, 1),
    "75": (6, 3),
    "80": (7, 0),
    "86": (7, 1),
    "87": (7, 4),
    "88": (7, 4),
    "89": (7, 8),
    "90": (7, 8),
    "90a": (8, 0),
    "100": (8, 6),
    "100a": (8, 6),
    "100f": (8, 8),
    "101": (8, 6),
    "101a": (8, 6),
    "101f": (8, 8),
    "103": (8, 8),
    "103a": (8, 8),
    "103f": (8, 8),
    "110": (9, 0),
    "110a": (9, 0),
    "110f": (9, 0),
    "120": (8, 7),
    "120a": (8, 7),
    "120f": (8, 8),
    "121": (8, 8),
    "121a": (8, 8),
    "121f": (8, 8),
}
"""Architecture, without `sm_` → the PTX ISA version that introduced it."""
STATIC_SHARED_BYTES = 48 * 1024
"""Limit of static shared memory on every architecture; more has to be dynamic."""
_SHARED_KIBIBYTES = {
    "60": 48,
    "61": 48,
    "62": 48,
    "70": 96,
    "72": 96,
    "75": 64,
    "80": 163,
    "86": 99,
    "87": 163,
    "88": 99,
    "89": 99,
    "90": 227,
    "100": 227,
    "101": 227,
    "103": 227,
    "110": 227,
    "120": 99,
    "121": 99,
}


def architecture(text: str) -> tuple[int, str] | None:
    """Parse `sm_90a` to `(90, "a")`; None for anything else."""
    digits = text.removeprefix("sm_")
    suffix = digits[-1:] if digits[-1:] in ("a", "f") else ""
    digits = digits.removesuffix(suffix) if suffix else digits
    return (int(digits), suffix) if digits.isdigit() and text.startswith("sm_") else None


def compatible(ptx_target: str, arch: str) -> bool:
    """Return True if PTX for `ptx_target` runs on `arch`.

    Targets with suffix `a` run on their own architecture only, `sm_100f` on later members of its family as well (PTX
    ISA 11.1.2).
    """
    have, need = architecture(arch), architecture(ptx_target)
    if have is None or need is None:
        return ptx_target == arch
    if need[1] == "a":
        return have[0] == need[0]
    if need[1] == "f":
        return have[0] // 10 == need[0] // 10 and have[0] >= need[0]
    return have[0] >= need[0]


def first_version(target: str) -> tuple[int, int] | None:
    """Return the PTX ISA version that introduced a target; None for an unknown one."""
    return FIRST_VERSION.get(target.removeprefix("sm_"))


def shared_bytes_limit(arch: str) -> int:
    """Return the limit of a block's shared memory, static and dynamic together; the least of all for an unknown one."""
    found = architecture(arch)
    return _SHARED_KIBIBYTES.get(str(found[0]) if found else "", 48) * 1024
