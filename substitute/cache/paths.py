"""Folders in which this program keeps files."""

from __future__ import annotations

import os
from pathlib import Path

NAME = "iree-substitute"


def find_cache_folder(*parts: str) -> Path | None:
    """Return the folder `parts` below this user's cache folder, or None if the environment names no such place.

    XDG Base Directory Specification: a relative `XDG_CACHE_HOME` is ignored. The filter's client, which imports
    nothing, has the same rule in `filter/client.py`.
    """
    home = os.environ.get("XDG_CACHE_HOME", "")
    if not home.startswith("/"):
        home = os.environ.get("HOME", "")
        if not home.startswith("/"):
            return None
        home = os.path.join(home, ".cache")
    return Path(home, NAME, *parts)
