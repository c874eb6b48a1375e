"""Cache of verdicts in the user's cache folder, by content: each pair is judged once.

One small file each. Refused ones have a separate folder, whose time stamp tells the filter that there is a new one. A
cache that cannot be written only costs time.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

from ..cache.checked import read_checked, write_checked
from ..cache.paths import find_cache_folder
from ..json_text import parse_json
from .verdict import Verdict, from_json

LONGEST_UNUSED_S = 60 * 86_400.0
UNJUDGED_S = 86_400.0
"""Age after which a dispatch that could not be judged is tried again: a driver may have been installed."""
REFUSED, ACCEPTED = "refused", "accepted"


def verdict_folder() -> Path | None:
    """Return the folder of verdicts; None if there is no place for one."""
    return find_cache_folder("verdicts")


def refused_folder() -> Path | None:
    """Return the folder of the verdicts `wrong` and `slower`."""
    folder = verdict_folder()
    return folder and folder / REFUSED


def look_up(key: str) -> Verdict | None:
    """Return the stored verdict of a key, unless it is too old, damaged or may be another user's."""
    folder = verdict_folder()
    if folder is None:
        return None
    for place in (REFUSED, ACCEPTED):
        path = folder / place / key
        found = _read(path)
        if found is None:
            continue
        age_s = time.time() - found[1]
        if found[0].outcome == "unjudged" and age_s > UNJUDGED_S:
            return None
        if found[0].outcome != "unjudged" and age_s > LONGEST_UNUSED_S / 4:
            with contextlib.suppress(OSError):
                os.utime(path)
        return found[0]
    return None


def _read(path: Path) -> tuple[Verdict, float] | None:
    found = read_checked(path)
    try:
        return (from_json(parse_json(found[0])), found[1]) if found else None
    except (ValueError, TypeError, KeyError):
        return None


def keep(key: str, verdict: Verdict) -> None:
    """Store a verdict, replacing an earlier one."""
    folder = verdict_folder()
    if folder is None or not verdict.kept:
        return
    place, other = (REFUSED, ACCEPTED) if verdict.outcome in ("wrong", "slower") else (ACCEPTED, REFUSED)
    content = json.dumps(verdict.to_json(), ensure_ascii=False).encode()
    with contextlib.suppress(OSError):
        write_checked(folder / place / key, content)
        (folder / other / key).unlink(missing_ok=True)


def prune() -> None:
    """Remove verdicts that were not used for long."""
    folder = verdict_folder()
    for place in (REFUSED, ACCEPTED) if folder else ():
        assert folder is not None
        with contextlib.suppress(OSError):
            for path in (folder / place).iterdir():
                with contextlib.suppress(OSError):
                    if time.time() - path.stat().st_mtime > LONGEST_UNUSED_S:
                        path.unlink()
