"""Times one problem: everybody is found right first, timed in turns, and found right again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime_tests.gpu.contenders import (
    COPY,
    CUBLAS,
    KERNEL,
    OWN,
    Absent,
    Buffers,
    Contender,
    allocate_sets,
    copy_contender,
    cublas_contender,
    poison,
    ptx_contender,
    torch_contender,
)
from runtime_tests.gpu.device import Gpu
from runtime_tests.gpu.package import Timed
from runtime_tests.gpu.timing import (
    ROUNDS,
    require_right,
    rotation_size,
    time_contenders,
)
from runtime_tests.gpu.workloads import Golden, Problem, draw, golden
from substitute.device.timing import Timing
from substitute.errors import DeviceError, ValidationError

GOAL = 0.9
"""Share of cuBLAS's speed for products, and of a copy's bandwidth for memory-bound problems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One contender on one problem."""

    name: str
    what: str
    timing: Timing
    worst: float
    """Largest |error| ÷ allowed, before and after timing; 0 for a copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One problem on one device."""

    problem: str
    target: str
    """Target of our PTX that ran."""
    sets: int
    """Sets of buffers that were used in turn."""
    rows: tuple[Row, ...]
    absent: tuple[Absent, ...]
    moved_bytes: int
    """Least number of bytes that the problem reads and writes."""
    copied_bytes: int
    """Bytes that a copy reads and writes."""
    operations: int
    reference: str
    """Basis of the share: cuBLAS, or a copy's bandwidth."""
    share: float | None
    """Share of the reference's speed; None if that is absent."""

    def row(self, name: str) -> Row | None:
        """One contender's."""
        return next((row for row in self.rows if row.name == name), None)


def measure(gpu: Gpu, folder: Path, timed: Timed, *, rounds: int = ROUNDS) -> Measured:
    """Raises `ValidationError` where our kernel is wrong, `DeviceError` where it cannot be run."""
    problem = timed.problem
    code = timed.started.chosen(gpu.facts.capability)
    if code is None:
        raise DeviceError(
            f"{problem.name} has no kernel for this device",
            expected="a device that runs sm_80 code",
            found=".".join(map(str, gpu.facts.capability)),
        )
    inputs = draw(problem)
    wanted = golden(problem, inputs)
    count = rotation_size(problem.moved_bytes, gpu.facts.cache_bytes, gpu.facts.memory_bytes)
    sets = allocate_sets(gpu, timed.started.launch, problem, inputs, count)
    try:
        found, absent = _contenders(gpu, folder, timed, sets)
        right, wrong = _right(gpu, problem, sets, found, wanted, "before timing")
        times = time_contenders(gpu, {c.name: c.launch for c in found if c.name in right}, sets=count, rounds=rounds)
        again, more = _right(gpu, problem, sets, [c for c in found if c.name in right], wanted, "after timing")
    finally:
        for address in (a for buffers in sets for a in buffers.owned):
            gpu.free(address)
    rows = tuple(
        Row(name=c.name, what=c.what, timing=times[c.name], worst=max(right[c.name], again[c.name]))
        for c in found
        if c.name in again
    )
    reference = CUBLAS if problem.operations else COPY
    return Measured(
        problem=problem.name,
        target=code.target,
        sets=count,
        rows=rows,
        absent=(*absent, *wrong, *more),
        moved_bytes=problem.moved_bytes,
        copied_bytes=2 * problem.result_bytes,
        operations=problem.operations,
        reference=reference,
        share=share_of(rows, reference, problem),
    )


def share_of(rows: Sequence[Row], reference: str, problem: Problem) -> float | None:
    """Our speed as a share of a library's, or our bandwidth as a share of a copy's, which reads and writes."""
    times = {row.name: row.timing for row in rows}
    if KERNEL not in times or reference not in times:
        return None
    share = times[reference].ratio_to(times[KERNEL])
    return share * problem.moved_bytes / (2 * problem.result_bytes) if reference == COPY else share


def _contenders(gpu: Gpu, folder: Path, timed: Timed, sets: Sequence[Buffers]) -> tuple[list[Contender], list[Absent]]:
    problem, started = timed.problem, timed.started
    code = started.chosen(gpu.facts.capability)
    assert code is not None

    def text(file: str) -> str:
        return (folder / file).read_text(encoding="utf-8")

    made: list[Contender | Absent] = [
        ptx_contender(gpu, KERNEL, code, text(code.file), started.launch, problem, sets),
        Absent(name=OWN, reason="IREE generated none")
        if started.own is None
        else ptx_contender(gpu, OWN, started.own, text(started.own.file), started.launch, problem, sets),
    ]
    if problem.operations:
        made.append(cublas_contender(gpu, problem, sets))
    else:
        made.append(copy_contender(gpu, problem, sets))
        made.append(Absent(name="cuDNN", reason="CuPy has no bindings of cuDNN since version 14"))
    made.append(torch_contender(gpu, problem, sets))
    return [m for m in made if isinstance(m, Contender)], [m for m in made if isinstance(m, Absent)]


def _right(
    gpu: Gpu, problem: Problem, sets: Sequence[Buffers], contenders: Sequence[Contender], wanted: Golden, when: str
) -> tuple[dict[str, float], list[Absent]]:
    """The largest error of each on all sets; others than our kernel that are wrong are left out, with the reason."""
    right: dict[str, float] = {}
    wrong = []
    for contender in contenders:
        poison(gpu, problem, sets)
        worst = 0.0
        for number in range(len(sets)):
            contender.launch(number)
            gpu.synchronize()
            if contender.rows is not None:
                worst = max(worst, wanted.worst(contender.rows(number, wanted.rows)))
        try:
            require_right(worst, name=contender.name, when=f"{problem.name}, {when}")
        except ValidationError as error:
            if contender.name == KERNEL:
                raise
            wrong.append(Absent(name=contender.name, reason=f"{error.what}: {error.expected}, found {error.found}"))
            continue
        right[contender.name] = worst
    return right, wrong
