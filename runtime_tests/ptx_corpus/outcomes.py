"""Outcomes of the kernels of a corpus on the simulated device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from substitute.device.cuda_sim.faults import NOT_SUPPORTED, LaunchError, LoadError
from substitute.device.cuda_sim.launch import Limits, launch
from substitute.device.cuda_sim.memory import Memory
from substitute.device.cuda_sim.program import load

KINDS = ("right", "refused", "wrong", "finding", "unreadable")
"""Refused: by name, as something that stays out. Finding: a fault is found in right code. Unreadable: no PTX to us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One launch whose results are known."""

    name: str
    ptx: str
    entry: str
    arguments: tuple[Any, ...]
    """Arrays are inputs, `Expected`s outputs; NumPy scalars are passed as they are."""
    grid: tuple[int, int, int] = (1, 1, 1)
    block: tuple[int, int, int] = (32, 1, 1)
    shared_bytes: int = 0
    architecture: str = "sm_90a"
    finds: tuple[str, ...] = ()
    """Kinds of finding that the kernel earns."""


@dataclass(frozen=True, slots=True)
class Expected:
    """An output, and what it should hold."""

    values: NDArray[Any]
    tolerance: float = 0.0
    """Relative, with the same as an absolute bound near zero; 0 compares bits."""
    start: NDArray[Any] | None = None
    """Contents before the launch; never written if None."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of a case."""

    case: str
    kind: str
    words: str = ""


@dataclass(slots=True)
class Corpus:
    """Cases of one origin."""

    name: str
    cases: Callable[[], Iterable[Case]]
    missing: str = ""
    """Reason why it cannot be made here; empty if it can."""
    outcomes: list[Outcome] = field(default_factory=list)

    def run(self) -> Corpus:
        """Run every case; if the compiler itself fails, its error is the only outcome."""
        if not self.missing:
            try:
                cases = list(self.cases())
            except Exception as error:
                self.missing = f"cannot be made: {type(error).__name__}: {str(error).split(chr(10))[0]}"
            else:
                self.outcomes = [judge(case) for case in cases]
        return self

    def row(self) -> str:
        """One line of the table."""
        if self.missing:
            return f"| {self.name} | {self.missing} |" + " |" * len(KINDS)
        counts = Counter(outcome.kind for outcome in self.outcomes)
        return f"| {self.name} | {len(self.outcomes)} | " + " | ".join(str(counts[kind]) for kind in KINDS) + " |"


def judge(case: Case) -> Outcome:
    """Loads, launches and compares one case."""
    memory = Memory(1 << 26)
    packed: list[bytes] = []
    outputs: list[tuple[int, Expected]] = []
    for argument in case.arguments:
        if isinstance(argument, (np.ndarray, Expected)):
            packed.append(_place(memory, argument, outputs).to_bytes(8, "little"))
        else:
            packed.append(argument if isinstance(argument, bytes) else np.asarray(argument).tobytes())
    try:
        program = load(case.ptx, case.architecture)
        entry = program.entries[case.entry]
        report = launch(
            program,
            case.entry,
            grid=case.grid,
            block=case.block,
            parameters=entry.pack(packed),
            memory=memory,
            dynamic_shared_bytes=case.shared_bytes,
            limits=Limits(shared_bytes=232448),
        )
    except LoadError as error:
        kind = "refused" if error.code == NOT_SUPPORTED else "unreadable"
        return Outcome(case.name, kind, str(error).split("\n")[0])
    except LaunchError as error:
        return Outcome(case.name, "unreadable", str(error).split("\n")[0])
    wrong = "; ".join(_differences(memory, outputs))
    if wrong:
        return Outcome(case.name, "wrong", wrong)
    found = [f for f in report.findings if f.kind not in case.finds]
    return Outcome(case.name, "finding", str(found[0])) if found else Outcome(case.name, "right")


def _place(memory: Memory, argument: NDArray[Any] | Expected, outputs: list[tuple[int, Expected]]) -> int:
    data = argument if isinstance(argument, np.ndarray) else argument.values
    address = memory.allocate(max(1, data.nbytes), name="output" if isinstance(argument, Expected) else "input")
    if isinstance(argument, Expected):
        outputs.append((address, argument))
        data = argument.start  # type: ignore[assignment]
    if data is not None:
        memory.write(address, np.ascontiguousarray(data))
    return address


def _differences(memory: Memory, outputs: Sequence[tuple[int, Expected]]) -> Iterator[str]:
    for address, expected in outputs:
        want = expected.values
        got = np.frombuffer(memory.read(address, want.nbytes), want.dtype).reshape(want.shape)
        if expected.tolerance:
            bad = ~np.isclose(got, want, rtol=expected.tolerance, atol=expected.tolerance, equal_nan=True)
        else:
            raw = f"u{want.dtype.itemsize}"
            bad = got.view(raw) != want.view(raw)
        if bad.any():
            at = int(np.flatnonzero(bad.reshape(-1))[0])
            yield f"element {at}: {got.reshape(-1)[at]}, should be {want.reshape(-1)[at]} ({int(bad.sum())} differ)"
