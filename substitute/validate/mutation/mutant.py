"""Mutants (small faults in a kernel's code) and their outcomes."""

from __future__ import annotations

from dataclasses import dataclass

KILLED, SURVIVED, EQUIVALENT, INVALID = "killed", "survived", "equivalent", "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One changed place of one piece of code."""

    code: int
    """Number of the code that it is made from."""
    title: str = ""
    """Dispatch that the code was made for, if others have different code."""
    operator: str
    """Class of the fault, such as `loop bound`."""
    place: int
    """Position of the change: a line of LLVM IR counted from 0, or a byte of PTX."""
    line: int
    """Line for messages, counted from 1."""
    before: str
    after: str
    """New text of that line (several joined by line feeds; empty: it is removed)."""
    patch: bytes = b""
    """For PTX: the replacement bytes."""

    elsewhere: tuple[Mutant, ...] = ()
    """The same change in the code for other dispatches, made together with it."""

    @property
    def change(self) -> str:
        """Return the change for messages, in one line."""
        after = "; ".join(part.strip() for part in self.after.split("\n") if part.strip())
        return f"{self.before.strip()} → {after or '(removed)'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Result of judging one mutant."""

    mutant: Mutant
    status: str
    """`killed`, `survived`, `equivalent` (the compiled code is the same) or `invalid` (it does not verify)."""
    reason: str = ""
    """Finding that killed it, or why it is invalid."""
    case: str = ""
    """Case that killed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MutationReport:
    """Mutants of one kernel."""

    kernel: str
    device: str
    seed: int
    quick: bool
    file: str
    """File that the lines refer to."""
    outcomes: tuple[Outcome, ...]
    possible: int
    """Number of mutants from which these were drawn."""
    message: str = ""
    """Reason why there are none; empty if there are some."""
    error: str = ""
    """Error in the kernel's files or the command that prevented the run; empty if there was none."""

    def count(self, status: str) -> int:
        """Return the number of mutants with this status."""
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def share(self) -> float:
        """Share that was killed, of those that compile and change the code."""
        killed, survived = self.count(KILLED), self.count(SURVIVED)
        return killed / (killed + survived) if killed + survived else 0.0

    @property
    def unproven(self) -> str:
        """Reason why the cases are not assessed; empty if they are."""
        if self.message or self.error or self.share or self.survivors:
            return self.message or self.error
        return f"no mutant says anything of the cases: {self.outcomes[0].reason if self.outcomes else 'there is none'}"

    @property
    def passed(self) -> bool:
        """True if some mutant changes the code, and the cases killed all that do."""
        return not self.unproven and not self.survivors

    @property
    def survivors(self) -> tuple[Outcome, ...]:
        """Mutants that no case detected."""
        return tuple(outcome for outcome in self.outcomes if outcome.status == SURVIVED)
