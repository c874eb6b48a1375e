"""The list of workarounds is sound: its versions are supported ones, and its tests exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from substitute import iree_versions
from substitute.iree_versions import DISABLED, SUPPORTED, WORKAROUNDS, Workaround

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("workaround", WORKAROUNDS, ids=lambda w: w.name)
def test_a_workaround_names_versions_and_a_test(workaround: Workaround) -> None:
    assert workaround.versions
    assert set(workaround.versions) <= set(SUPPORTED)
    file, _, function = workaround.test.partition("::")
    text = (ROOT / "runtime_tests" / file).read_text()
    assert re.search(rf"^def {function or 'test_'}", text, re.MULTILINE)


def test_names_are_unique() -> None:
    assert len({workaround.name for workaround in WORKAROUNDS}) == len(WORKAROUNDS)


def test_the_versions_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (bounds,) = [text for text in project["dependencies"] if text.startswith("iree-base-runtime")]
    lowest, highest = re.findall(r"[<>]=?(3\.\d+)", bounds)
    assert (lowest, highest) == (SUPPORTED[0], f"3.{int(SUPPORTED[-1].split('.')[1]) + 1}")


def test_a_workaround_is_needed_on_its_versions_and_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    workaround = iree_versions.ORDER_EXPORTS
    for version in SUPPORTED:
        monkeypatch.setattr(iree_versions, "installed_version", lambda version=version: version)
        monkeypatch.delenv(DISABLED, raising=False)
        assert iree_versions.is_needed(workaround) == (version in workaround.versions)
        monkeypatch.setenv(DISABLED, f"other,{workaround.name}")
        assert not iree_versions.is_needed(workaround)


def test_no_other_module_asks_for_the_version() -> None:
    asks = re.compile(r"iree\.(compiler|runtime)\.version import")
    found = [p.name for p in (ROOT / "substitute").rglob("*.py") if asks.search(p.read_text())]
    assert found == ["iree_versions.py"]
