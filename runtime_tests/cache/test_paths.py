"""Cache folders, in general and in the filter's client, which has a copy of the rule."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from substitute.cache.paths import find_cache_folder

pytestmark = pytest.mark.unit

ENVIRONMENTS = [
    ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/iree-substitute"),
    ({"HOME": "/h"}, "/h/.cache/iree-substitute"),
    ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/iree-substitute"),
    ({"XDG_CACHE_HOME": ""}, ""),
    ({"HOME": "relative"}, ""),
]


@pytest.mark.parametrize(("variables", "expected"), ENVIRONMENTS)
def test_the_folder(variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert find_cache_folder() == (Path(expected) if expected else None)
    assert find_cache_folder("a", "b") == (Path(expected, "a", "b") if expected else None)


@pytest.mark.parametrize(("variables", "expected"), ENVIRONMENTS)
def test_the_client_means_the_same_folder(variables: dict[str, str], expected: str) -> None:
    code = "from substitute.filter.client import cache_folder; print(cache_folder().decode())"
    environment = {k: v for k, v in os.environ.items() if k not in ("XDG_CACHE_HOME", "HOME")} | variables
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip().rpartition("/filter-")[0] == expected
