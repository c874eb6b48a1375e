"""Verdicts on cases and on dispatches: frozen data."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..model.coverage import Coverage
from ..model.emitted import Emitted
from .case import case_key
from .picture import Picture
from .statistics import Errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Element that a failing case shows."""

    operand: str
    """The result it is in, such as `binding 2: 4x16xf32`."""
    coordinates: tuple[int, ...]
    candidate: str
    golden: str
    baseline: str
    """Value of IREE's own code there; empty if it was not run."""
    allowed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseVerdict:
    """Verdict on one case."""

    label: str
    inputs: str
    seed: int
    stage: str = ""
    """Stage of `criteria.STAGES` at which it failed; empty if it passed."""
    message: str = ""
    place: Place | None = None
    worst: float = 0.0
    """Largest |error| ÷ allowed."""
    errors: Errors = field(default_factory=Errors)
    baseline: Errors | None = None
    """None where IREE's own code was not run, or is wrong itself."""
    notes: tuple[str, ...] = ()
    """Weaknesses of the case, such as a baseline that is wrong itself."""
    blind: tuple[str, ...] = ()
    """Wrong results that this case would let pass (`zeros`, `a constant`, `left over`)."""
    judged: int = 0
    """Elements that were compared."""
    empty: bool = False
    """True if there was none to compare: an operand has a size of zero."""
    entered: bool = True
    """False where the launch ran IREE's own code in place of the kernel, so that nothing is known of it."""
    picture: Picture | None = None
    """The errors of the worst result; None where no result could be measured."""

    @property
    def key(self) -> str:
        """The case as it is named on the command line."""
        return case_key(self.label, self.inputs, self.seed)

    @property
    def passed(self) -> bool:
        """True if nothing was found, which includes a case in which the kernel did not run."""
        return not self.stage


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchVerdict:
    """All cases of one dispatch, or of one kernel."""

    name: str
    kernel: str
    cases: tuple[CaseVerdict, ...]
    stage: str = ""
    """A failure of all cases together (`baseline`); empty if there is none."""
    message: str = ""
    notes: tuple[str, ...] = ()
    coverage: Coverage | None = None
    """The share of the kernel's code that ran; None where nobody asked."""
    skipped: str = ""
    """Why it was not judged, such as an operation that the golden does not know; empty if it was."""
    declared: str = ""
    """The bound of errors that the kernel declares, with its reason; empty where its definition's counts."""
    check: str = ""
    """Finding of an earlier `compile` on the dispatch with its kernels; empty if there is none."""
    emitted: tuple[Emitted, ...] = ()
    """The code that was embedded; empty where nobody asked."""

    @property
    def passed(self) -> bool:
        """True if every case passed, and there was one."""
        return not self.stage and not self.skipped and self.entered and all(c.passed for c in self.cases)

    @property
    def entered(self) -> bool:
        """True if the kernel ran in some case."""
        return any(c.entered for c in self.cases)

    @property
    def worst(self) -> float:
        """Largest |error| ÷ allowed of all cases."""
        return max((c.worst for c in self.cases), default=0.0)

    @property
    def failures(self) -> tuple[CaseVerdict, ...]:
        """The cases that did not pass."""
        return tuple(c for c in self.cases if not c.passed)


def combine(name: str, kernel: str, cases: tuple[CaseVerdict, ...], *, notes: tuple[str, ...] = ()) -> DispatchVerdict:
    """A verdict over cases. Without any case, or if no case can tell a wrong result, nothing is proven: it is not
    judged, which is neither right nor wrong.
    """
    notes = (*notes, *dict.fromkeys(note for case in cases for note in case.notes))
    unproven = ""
    ran = tuple(case for case in cases if case.entered)
    if 0 < len(ran) < len(cases):
        notes = (*notes, f"in {len(cases) - len(ran)} of {len(cases)} cases IREE's own code ran in place of the kernel")
    if not cases:
        unproven = "there was no case that could be judged"
    elif not ran:
        unproven = f"the kernel never ran: IREE's own code was selected in each of {len(cases)} cases"
    elif all(case.passed for case in cases):
        blind = set.intersection(*(set(case.blind) for case in ran))
        if not any(case.judged for case in ran):
            unproven = "no element of any case could be judged"
        elif blind:
            what = ", ".join(sorted(blind))
            unproven = f"no case would catch a result that is {what}: these inputs prove too little"
    return DispatchVerdict(name=name, kernel=kernel, cases=cases, skipped=unproven, notes=notes)
