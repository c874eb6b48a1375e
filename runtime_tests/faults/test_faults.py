"""The checker finds planted faults and lets right kernels pass; the published results are those of this suite."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtime_tests.faults.equivalent import REMAINING
from runtime_tests.faults.group import _first_line
from runtime_tests.faults.judging import Judged, Tell, in_child
from runtime_tests.faults.kernel import FILES, Variant
from runtime_tests.faults.operators import LLVM, OPERATORS, source_mutants, tokens
from runtime_tests.faults.results import as_json, failures, read_results, table, tables, unjudged
from runtime_tests.faults.run import Done, run_variants
from runtime_tests.faults.suite import SEED, suite
from substitute.errors import PayloadError

README = Path(__file__).parent / "README.md"
GROUPS = {"difference": 9, "integers": 3}
"""Definitions that the tests run, and how many faults of each, spread over devices and kinds of payload."""


def _subset() -> list[Variant]:
    """Right kernels and faults of every kind of payload, the same every time."""
    chance = random.Random(SEED)
    chosen = [c for c in suite().controls if c.definition in GROUPS]
    for definition in GROUPS:
        kinds = {c.kind for c in chosen if c.definition == definition}
        for kind in sorted(kinds):
            faults = [m for m in suite().mutants if (m.definition, m.kind) == (definition, kind) and not m.equivalent]
            chosen += chance.sample(faults, min(2, len(faults)))
    return chosen


@pytest.mark.slow
@pytest.mark.compile
@pytest.mark.device
def test_faults_are_found_and_right_kernels_pass(vulkan_device: str, cuda_sim: str) -> None:
    chosen = _subset()
    assert {v.kind for v in chosen} == set(OPERATORS)
    assert len([v for v in chosen if v.fault]) >= 12
    assert len([v for v in chosen if not v.fault]) >= 6
    done = run_variants(chosen, jobs=2, progress=lambda _done: None)
    known_misses = tuple(f"not found: {name}: " for name in REMAINING)
    assert [line for line in failures(as_json(done)) if not line.startswith(known_misses)] == []
    known = {v["name"]: v for v in read_results()["variants"]}
    for d in done:
        if d.variant.name in known:
            assert bool(d.refused) == bool(known[d.variant.name]["refused"]), d


def test_the_suite_is_as_large_as_it_says() -> None:
    whole = suite()
    assert len(whole.controls) >= 40
    assert len([m for m in whole.mutants if not m.equivalent]) >= 150
    assert {c.kind for c in whole.controls} == {m.kind for m in whole.mutants} == set(OPERATORS)
    names = [v.name for v in (*whole.controls, *whole.mutants)]
    assert len(names) == len(set(names))
    for mutant in whole.mutants:
        right = next(c for c in whole.controls if c.name == mutant.of)
        assert (mutant.source, mutant.workgroup_count) != (right.source, right.workgroup_count), mutant.name
        assert mutant.change


def test_every_variant_has_a_published_result() -> None:
    whole = suite()
    variants = (*whole.controls, *whole.mutants)
    data = read_results()
    assert unjudged(data, variants) == [], "run python -m runtime_tests.faults --missing"
    missed = {line.partition(": ")[2].partition(":")[0] for line in failures(data)}
    assert missed == set(REMAINING), failures(data)
    assert tables(data).strip() in README.read_text(), "the tables in README.md are not those of results.json"


def test_a_variant_without_a_result_is_named() -> None:
    control, other = suite().controls[:2]
    data = as_json([Done(variant=control)])
    assert unjudged(data, [control]) == []
    assert unjudged(data, [control, other]) == [other.name]
    assert unjudged(data, [replace(control, source=control.source + "\n")]) == [control.name]
    assert unjudged(data, []) == [control.name]


def _result(**changes: object) -> Mapping[str, Any]:
    right = {
        "name": "k",
        "payload": "glsl",
        "fault": "",
        "change": "",
        "equivalent": "",
        "refused": "",
        "ours": "",
        "loose": "",
        "typed": "",
    }
    return {**right, **changes}


def test_what_is_not_as_it_should_be_is_named() -> None:
    right, found = _result(), _result(name="m", fault="loop bound", change="x → y", ours="error: 1 wrong")
    assert failures({"variants": [right, found]}) == []
    missed = {**found, "ours": "", "loose": "not close"}
    assert failures({"variants": [right, missed]}) == ["not found: m: loop bound: x → y"]
    assert failures({"variants": [{**right, "ours": "error: 1 wrong"}]}) == [
        "a right kernel fails: k (): error: 1 wrong"
    ]
    same = {**found, "equivalent": "it does the same"}
    assert failures({"variants": [same]}) == ["a right kernel fails: m (x → y): error: 1 wrong"]
    assert failures({"variants": [{**same, "ours": ""}]}) == []


def test_tables_count_what_ran() -> None:
    variants = [
        _result(),
        _result(fault="loop bound", ours="error", loose="not close", typed="not close"),
        _result(fault="loop bound", ours="error", typed="not close"),
        _result(fault="constant", refused="no"),
    ]
    assert table({"variants": variants}, "fault", "fault").splitlines() == [
        "| fault | faults | refused before running | ran | this protocol | allclose 1e-2 | float64 allclose by type |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| loop bound | 2 | 0 | 2 | 2 | 1 | 2 |",
        "| constant | 1 | 1 | 0 | 0 | 0 | 0 |",
        "| **all** | 3 | 1 | 2 | 2 | 1 | 2 |",
    ]
    assert "| false alarms, of 1 right kernels |  |  |  | 0 | 0 | 0 |" in tables({"variants": variants})


def test_a_launch_that_hangs_is_not_one_of_many() -> None:
    def many(tell: Tell) -> None:
        tell(Judged(loose="not close"))
        for _ in range(3):
            tell(None)

    def one(tell: Tell) -> None:
        many(tell)
        time.sleep(60)

    assert in_child(many) == Judged(loose="not close")
    assert in_child(one, limit_s=0.5) == Judged(loose="not close", ours="launch: it had not ended after 0.5 s")


def test_results_hold_everything() -> None:
    control = suite().controls[0]
    data = as_json([Done(variant=control, judged=Judged(loose="not close"))])
    (entry,) = data["variants"]
    assert (entry["name"], entry["digest"], entry["loose"]) == (control.name, control.digest, "not close")


@pytest.mark.parametrize(
    "line", ["  %a = icmp slt i64 %n, %N_", "  if (m >= M) return; // x", "st.f32 [out+4], 0f3F80;"]
)
def test_tokens_are_the_line(line: str) -> None:
    assert "".join(tokens(line)) == line


def test_comments_are_not_spoiled() -> None:
    assert [m for o in LLVM for m in o.change(tokens("; fadd fsub slt"))] == []


def test_mutants_of_a_line() -> None:
    control = next(c for c in suite().controls if c.name == "matvec.ll")
    made = [m for m in source_mutants(control) if "slt" in m.change]
    assert {m.fault for m in made} == {"loop bound", "dropped tail"}
    assert all(m.change.startswith(f"{FILES['llvm-ir']}:") for m in made)
    assert len({m.source for m in made}) == len(made) == 3


def test_what_was_refused_names_no_place_of_one_run() -> None:
    error = PayloadError("LLVM rejects this IR", where="/somewhere/kernels/sum.ll.3/kernel.ll", found="x")
    assert _first_line(error, Path("/somewhere/kernels")) == "sum.ll.3/kernel.ll: LLVM rejects this IR"
    assert not [v["name"] for v in read_results()["variants"] if "/tmp" in v["refused"]]
