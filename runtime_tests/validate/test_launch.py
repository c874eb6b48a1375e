"""Buffers around a launch: their layout, and the bytes that may change."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from runtime_tests.validate.cases import X_AREA, Y_AREA, X, case
from runtime_tests.validate.launches import Pretended, right, x_and_y
from substitute.device.raw import Grid
from substitute.validate.judge import judge_case
from substitute.validate.launch import GUARD_BYTES, PATTERNS, Arrangement, Ran, guard_bytes, lay_out, look_at

pytestmark = pytest.mark.unit

HELD = f"which holds {X_AREA.described}, {Y_AREA.described}"


def judged(kernel: Callable[[Grid, list[np.ndarray]], None]) -> tuple[str, str]:
    verdict = judge_case(Pretended(kernel), case())  # type: ignore[arg-type]
    return verdict.stage, verdict.message


def test_layout() -> None:
    grid = lay_out(case(), Arrangement(pattern=0x5A, shift=64))
    start = GUARD_BYTES + 64
    (buffer,) = grid.buffers
    assert buffer.size == start + 64 + GUARD_BYTES
    assert grid.bindings == ((0, start, 16), (0, start, 48))
    assert np.array_equal(buffer[start : start + 16].view(np.float32), X)
    others = np.concatenate([buffer[:start], buffer[start + 16 :]])
    assert set(others.tolist()) == {0x5A, *guard_bytes(0x5A, 0, 4).tolist()}
    assert (grid.constants, grid.workload) == ((7,), (4,))


def test_a_right_kernel() -> None:
    verdict = judge_case(Pretended(right), case())  # type: ignore[arg-type]
    assert (verdict.passed, verdict.worst, verdict.judged, verdict.blind) == (True, 0.0, 4, ())


@pytest.mark.parametrize(
    ("offset", "where"),
    [
        (-1, f"before its buffer ({HELD}; first at byte -1)"),
        (-GUARD_BYTES, f"before its buffer ({HELD}; first at byte -{GUARD_BYTES})"),
        (0, f"in what is only read ({HELD}; first at byte 0)"),
        (16, f"between its results ({HELD}; first at byte 16)"),
        (31, f"between its results ({HELD}; first at byte 31)"),
        (48, f"between its results ({HELD}; first at byte 48)"),
        (64, f"behind its buffer ({HELD}; first at byte 64)"),
        (64 + GUARD_BYTES - 1, f"behind its buffer ({HELD}; first at byte {64 + GUARD_BYTES - 1})"),
    ],
)
def test_a_byte_too_many(offset: int, where: str) -> None:
    def kernel(grid: Grid, buffers: list[np.ndarray]) -> None:
        right(grid, buffers)
        buffers[0][grid.bindings[0][1] + offset] ^= 1

    assert judged(kernel) == ("guard", f"1 bytes changed {where}")


def test_one_pattern_alone_would_miss_it() -> None:
    """A byte that is written with the pattern itself is seen in the other arrangement."""

    def kernel(grid: Grid, buffers: list[np.ndarray]) -> None:
        right(grid, buffers)
        buffers[0][0] = 0xFF

    assert judged(kernel)[0] == "guard"


def test_a_device_that_swallows_what_lies_behind_a_binding() -> None:
    def kernel(grid: Grid, buffers: list[np.ndarray]) -> None:
        right(grid, buffers)
        _, start, length = grid.bindings[1]
        buffers[0][start : start + length][48:52] = 0

    assert judged(kernel) == ("guard", f"4 bytes changed between its results ({HELD}; first at byte 48)")
    exact = lay_out(case(), Arrangement())
    after = [b.copy() for b in exact.buffers]
    kernel(exact, after)
    assert look_at(case(), Arrangement(), exact.buffers, after).faults == ()
    wide = lay_out(case(), Arrangement(behind=GUARD_BYTES))
    assert [w[2] - e[2] for w, e in zip(wide.bindings, exact.bindings, strict=True)] == [GUARD_BYTES] * 2
    assert all(start + length <= wide.buffers[0].size for _, start, length in wide.bindings)


def test_other_wrong_kernels() -> None:
    def half(grid: Grid, buffers: list[np.ndarray]) -> None:
        x, y = x_and_y(grid, buffers)
        y[:2] = x[:2] * 2

    def copied(grid: Grid, buffers: list[np.ndarray]) -> None:
        x, y = x_and_y(grid, buffers)
        y[:] = x

    def infinite(grid: Grid, buffers: list[np.ndarray]) -> None:
        right(grid, buffers)
        x_and_y(grid, buffers)[1][3] = np.inf

    def by_address(grid: Grid, buffers: list[np.ndarray]) -> None:
        right(grid, buffers)
        x_and_y(grid, buffers)[1][1] += (grid.bindings[0][1] % 128 != 0) * 1e-3

    def added(grid: Grid, buffers: list[np.ndarray]) -> None:
        x, y = x_and_y(grid, buffers)
        y += x + x

    assert judged(added)[0] == "accumulates"
    assert judged(half) == ("unwritten", "2 of 4 elements are never written")
    assert judged(copied)[0] == "error"
    assert judged(infinite)[0] == "non-finite"
    assert judged(by_address)[0] == "error"  # the second arrangement has to be right as well


def test_bits_that_change_within_what_is_allowed() -> None:
    def by_address(grid: Grid, buffers: list[np.ndarray]) -> None:
        right(grid, buffers)
        x_and_y(grid, buffers)[1][1] += np.float32((grid.bindings[0][1] % 128 != 0) * 1e-6)

    (expected,) = case().expected
    loose = type(expected)(
        area=Y_AREA,
        offsets=(0, 0),
        sizes=(2, 2),
        strides=(1, 1),
        coordinates=None,
        values=expected.values,
        allowed=np.full((2, 2), 1e-3),
        depth=1,
    )
    verdict = judge_case(Pretended(by_address), case(expected=(loose,)))  # type: ignore[arg-type]
    assert (verdict.stage, verdict.place is not None) == ("repeat", True)
    assert verdict.message == "the same launch again, in other memory, gives other bits in 1 of 4 elements"
    assert verdict.place is not None and verdict.place.coordinates == (0, 1)
    tolerant = judge_case(Pretended(by_address), case(expected=(loose,), repeatable=False))  # type: ignore[arg-type]
    assert tolerant.passed


def test_what_changed_is_cut_out_of_its_guards() -> None:
    made = case()
    grid = lay_out(made, Arrangement())
    after = [grid.buffers[0].copy()]
    right(grid, after)
    ran = look_at(made, Arrangement(), grid.buffers, after)
    assert isinstance(ran, Ran)
    assert ran.faults == ()
    (expected,) = made.expected
    found = expected.read(made.binding(ran.contents, 1))
    assert found.tolist() == [[2, 4], [6, 8]]
    assert expected.position(3) == (1, 1)


def test_guards_of_different_buffers_differ() -> None:
    for pattern in PATTERNS:
        guards = [guard_bytes(pattern, number, 8).view(np.uint32).tolist() for number in range(6)]
        assert len({tuple(g) for g in guards}) == 6
        assert all((g[0] >> 16) == pattern * 0x101 for g in guards)
