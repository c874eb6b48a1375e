"""Mark of tests that time single dispatches, which IREE 3.11 cannot do."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_PACKAGE = importlib.util.find_spec("iree._runtime_libs")
_FOLDERS = [Path(folder) for folder in (_PACKAGE.submodule_search_locations if _PACKAGE else None) or ()]

needs_profiler = pytest.mark.skipif(
    not any((folder / "iree-profile").is_file() for folder in _FOLDERS),
    reason="this version of iree-base-runtime has no iree-profile (3.12 and newer have)",
)
