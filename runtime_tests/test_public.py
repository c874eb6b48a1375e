"""The names that `import substitute` offers, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import substitute

pytestmark = pytest.mark.unit


def test_every_public_name_is_there() -> None:
    for name in substitute.__all__:
        assert getattr(substitute, name).__name__ == name
    assert sorted(substitute.__all__) == substitute.__all__
    with pytest.raises(AttributeError, match="no attribute 'compile_modle'"):
        _ = substitute.compile_modle


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, substitute; print(*sorted(m.partition('.')[0] for m in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "substitute" in loaded
    assert not {"numpy", "iree", "llvmlite", "pydantic", "click"} & set(loaded)
