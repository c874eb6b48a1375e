"""Changed inputs of every kind are read or refused in words; and the harness finds what is not."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime_tests.hardening import harness
from runtime_tests.hardening.harness import change_sample, make_input, read_input, read_many, valid_samples
from runtime_tests.hardening.kinds import KINDS
from substitute.catalog.manifest import parse_manifest
from substitute.cli.main import main
from substitute.errors import ManifestError, UsageError
from substitute.guard.verdict import Verdict, from_json
from substitute.json_text import parse_json
from substitute.tune.tuner import Journal
from substitute.validate.bundle_file import load_bundle


@pytest.mark.parametrize("kind", list(KINDS))
def test_changed_inputs(kind: str) -> None:
    result = read_many(kind, 40, seed=5)
    assert [f for f in result.findings if not f.tolerated] == []
    # a journal's damaged lines are left out, as the one that an interrupted run cut off
    assert result.refused > 0 or kind == "journal", "no change was one that has to be refused"


@pytest.mark.parametrize("kind", ["plan", "lock", "bench", "journal", "spirv"])
def test_changed_inputs_by_hypothesis(kind: str, tmp_path: Path) -> None:
    samples = valid_samples(kind, tmp_path)

    @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=False))
    def read_changed(random: Random) -> None:
        read_input(KINDS[kind], change_sample(KINDS[kind], samples, random), tmp_path)

    read_changed()


def test_twin_the_harness_finds_each_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def traceback(data: bytes, folder: Path) -> NoReturn:
        raise KeyError("nothing")

    def crash(data: bytes, folder: Path) -> None:
        os.abort()

    def hang(data: bytes, folder: Path) -> None:
        while time.process_time() < 60:
            pass

    kept: list[bytes] = []

    def grow(data: bytes, folder: Path) -> None:
        kept.append(b"x" * (8 << 20))

    monkeypatch.setattr(harness, "valid_samples", lambda kind, folder: [b"{}"])
    monkeypatch.setattr(harness, "LIMIT_S", 1)
    monkeypatch.setattr(harness, "GROWTH_BYTES", 40 << 20)
    for read, count, problem in (
        (traceback, 2, "traceback: KeyError: 'nothing'"),
        (crash, 1, "crash: SIGABRT"),
        (hang, 1, "hang"),
        (grow, 10, "growth"),
    ):
        monkeypatch.setitem(KINDS, "plan", replace(KINDS["plan"], read=read))
        findings = read_many("plan", count, seed=0).findings
        assert findings and all(f.problem.startswith(problem) and not f.tolerated for f in findings), problem


def test_an_input_is_made_again(tmp_path: Path) -> None:
    samples = valid_samples("plan", tmp_path)
    inputs = [make_input("plan", samples, 3, number) for number in range(20)]
    assert inputs == [make_input("plan", samples, 3, number) for number in range(20)]
    assert len(set(inputs)) > 15 and inputs[0] != make_input("plan", samples, 4, 0)


def test_deep_nesting_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 100_000)
    with pytest.raises(ManifestError, match="nested too deeply"):
        parse_manifest("x = " + "[" * 100_000, tmp_path / "kernel.toml")


def test_a_damaged_bundle_is_an_error_in_words(tmp_path: Path) -> None:
    (sample,) = valid_samples("bundle", tmp_path)
    file = tmp_path / "bundle"
    at = sample.index(b"bundle.json") + len("bundle.json")
    file.write_bytes(sample[:at] + b"\xff" * 8 + sample[at + 8 :])
    with pytest.raises(UsageError, match="the bundle cannot be read"):
        load_bundle(file)


def test_a_verdict_with_other_types_is_none(tmp_path: Path) -> None:
    good = Verdict(outcome="right", ratio=0.5, interval=(0.4, 0.6)).to_json()
    assert from_json(good).ratio == 0.5
    for key, value in (("ratio", "fast"), ("message", 3), ("interval", [0.4]), ("interval", ["a", "b"]), ("kept", 1)):
        with pytest.raises((TypeError, ValueError)):
            from_json({**good, key: value})


def test_a_full_disk_is_no_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Exception, match="the measurements so far cannot be kept"):
        Journal(tmp_path / "folder" / "journal").note({"a": Verdict(outcome="right")})

    def raising(number: int) -> None:
        def inspect_model(*_: object, **__: object) -> NoReturn:
            raise OSError(number, os.strerror(number), "/scratch/x")

        monkeypatch.setattr("substitute.inspection.inspect_model", inspect_model)

    raising(errno.ENOSPC)
    assert main(["inspect", "m.mlir"]) == 1
    assert capsys.readouterr().err.endswith(
        "error: /scratch/x: a file could not be written\n"
        "  expected:  room for temporary files and the cache\n"
        "  found:     No space left on device\n"
        "  next:      free some room, or point TMPDIR and IREE_SUBSTITUTE_CACHE to another folder\n"
    )
    raising(errno.EINVAL)
    assert main(["inspect", "m.mlir"]) == 70, "twin: another error of the system is a bug"
