from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from runtime_tests.cli.conftest import KERNEL
from substitute.errors import ValidationError
from substitute.guard import store
from substitute.guard.verdict import Check, Checked, Verdict, from_json, leaves_out, refuse_own

RIGHT = Verdict(outcome="right", ratio=0.5, ours_us=10.0, stock_us=20.0, device="local-task, 2 threads")
SLOWER = Verdict(outcome="slower", ratio=1.5, ours_us=30.0, stock_us=20.0)
WRONG = Verdict(outcome="wrong", message="3 elements are never written")
UNJUDGED = Verdict(outcome="unjudged", message="no golden")
BUILTIN = replace(KERNEL, builtin=True)


def test_a_verdict_says_itself_in_a_few_words() -> None:
    assert RIGHT.text == "right, 2.00× faster than IREE's code"
    assert SLOWER.text == "right, 1.50× slower than IREE's code"
    assert replace(RIGHT, ratio=1.0).text == "right, as fast as IREE's code"
    assert Verdict(outcome="right", untimed="cuda-sim has no speed").text == "right; not timed: cuda-sim has no speed"
    assert WRONG.text == "wrong: 3 elements are never written"
    assert UNJUDGED.text == "not checked: no golden"


@pytest.mark.parametrize("verdict", [RIGHT, SLOWER, WRONG, UNJUDGED])
def test_a_verdict_travels_as_json(verdict: Verdict) -> None:
    assert from_json(json.loads(json.dumps(verdict.to_json()))) == verdict


def test_what_is_left_out() -> None:
    own = KERNEL
    table = [
        (leaves_out(Check(), [kernel], verdict), leaves_out(Check(faster_only=True), [kernel], verdict))
        for kernel in (BUILTIN, own)
        for verdict in (RIGHT, SLOWER, WRONG, UNJUDGED)
    ]
    assert table == [
        (False, False),
        (True, True),
        (True, True),
        (False, False),
        (False, False),
        (False, True),
        (True, True),
        (False, False),
    ]
    assert not leaves_out(Check(), [BUILTIN], SLOWER, chosen=True)
    assert leaves_out(Check(), [BUILTIN], WRONG, chosen=True)


def test_only_a_person_s_own_wrong_kernel_is_an_error() -> None:
    key = ("e", "v", "d")
    refuse_own(
        [Checked(key=key, kernels=(BUILTIN,), verdict=WRONG), Checked(key=key, kernels=(KERNEL,), verdict=SLOWER)]
    )
    with pytest.raises(ValidationError, match="matmul computes something else than the dispatch that it takes"):
        refuse_own([Checked(key=key, kernels=(KERNEL,), verdict=WRONG)])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "iree-substitute" / "verdicts"


@pytest.mark.parametrize("verdict", [RIGHT, SLOWER, WRONG, UNJUDGED])
def test_verdicts_are_kept_by_key(cache: Path, verdict: Verdict) -> None:
    assert store.look_up("a" * 40) is None
    store.keep("a" * 40, verdict)
    assert store.look_up("a" * 40) == verdict
    assert store.look_up("b" * 40) is None
    place = "refused" if verdict.outcome in ("wrong", "slower") else "accepted"
    assert [p.relative_to(cache).as_posix() for p in cache.rglob("*") if p.is_file()] == [f"{place}/{'a' * 40}"]


def test_a_newer_verdict_takes_the_place_of_an_older_one(cache: Path) -> None:
    store.keep("k", WRONG)
    store.keep("k", RIGHT)
    assert store.look_up("k") == RIGHT


def test_what_may_be_decided_otherwise_is_not_kept(cache: Path) -> None:
    store.keep("k", replace(WRONG, kept=False))
    assert store.look_up("k") is None


def test_damaged_foreign_and_old_verdicts_are_not_believed(cache: Path) -> None:
    store.keep("k", RIGHT)
    path = cache / "accepted" / "k"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"right", b"wrong"))
    assert store.look_up("k") is None
    path.write_bytes(content)
    path.chmod(0o666)
    assert store.look_up("k") is None
    path.chmod(0o600)
    assert store.look_up("k") == RIGHT
    store.keep("u", UNJUDGED)
    os.utime(cache / "accepted" / "u", (0, 0))
    assert store.look_up("u") is None
    os.utime(path, (0, 0))
    store.prune()
    assert not path.exists()
