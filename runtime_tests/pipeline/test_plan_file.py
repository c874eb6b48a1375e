"""Saved plans are read through a schema."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from substitute.errors import PlanError
from substitute.plan_file import load_plan

pytestmark = pytest.mark.unit


def load(folder: Path, data: object) -> dict[str, tuple[str, ...]]:
    path = folder / "plan.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return dict(load_plan(path).chosen)


def test_kernels_of_a_dispatch_stay_in_order(tmp_path: Path) -> None:
    entries = [
        {"dispatch": "d0", "kernel": "b", "axes": {"M": 3}},
        {"dispatch": "d0", "kernel": "a"},
        {"dispatch": "d1", "kernel": "a", "variant": "v"},
    ]
    assert load(tmp_path, {"schema": 1, "substitutions": entries}) == {"d0": ("b", "a"), "v::d1": ("a",)}
    assert load(tmp_path, {"substitutions": []}) == {}


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("{", "Invalid JSON: EOF while parsing"),
        ("[]", "Input should be an object"),
        ({}, "substitutions: Field required"),
        ({"substitutions": [{"dispatch": "d"}]}, "substitutions[0].kernel: Field required"),
        (
            {"substitutions": [{"dispatch": "d", "kernel": 3}]},
            "substitutions[0].kernel: Input should be a valid string",
        ),
        (
            {"substitutions": [{"dispatch": "", "kernel": "k"}]},
            "substitutions[0].dispatch: String should have at least",
        ),
        ({"schema": "1", "substitutions": []}, "schema: Input should be a valid integer"),
    ],
)
def test_a_plan_that_cannot_be_read(data: object, found: str, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="the plan cannot be read") as raised:
        load(tmp_path, data)
    assert raised.value.found.startswith(found)
    assert "--plan-out" in raised.value.next_step


@pytest.mark.parametrize(("version", "step"), [(2, "upgrade"), (0, "write a new one")])
def test_a_plan_of_another_version(version: int, step: str, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="another version") as raised:
        load(tmp_path, {"schema": version, "substitutions": []})
    assert (raised.value.expected, raised.value.found) == ("1", str(version))
    assert step in raised.value.next_step


def test_a_plan_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PlanError) as raised:
        load_plan(tmp_path / "none.json")
    assert raised.value.found == "No such file or directory"


def test_values_for_a_generator_belong_to_the_choice(tmp_path: Path) -> None:
    entry = {"dispatch": "d", "kernel": "a", "tuning": {"vectors": 2, "rows": 6}}
    assert load(tmp_path, {"substitutions": [entry]}) == {"d": ("a{rows=6,vectors=2}",)}
    with pytest.raises(PlanError):
        load(tmp_path, {"substitutions": [entry | {"tuning": {"rows": "six"}}]})
