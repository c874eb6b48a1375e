"""A mutant: one small fault in a kernel's code, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

KILLED, SURVIVED, EQUIVALENT, INVALID = "killed", "survived", "equivalent", "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One changed place of one piece of code."""

    code: int
    """The number of the code that it is made from."""
    title: str = ""
    """The dispatch that the code was made for, where other dispatches have other code."""
    operator: str
    """The class of the fault, such as `loop bound`."""
    place: int
    """The position of the change: a line of LLVM IR counted from 0, or a byte of PTX."""
    line: int
    """The line that people are shown, counted from 1."""
    before: str
    after: str
    """The new text of that line (several joined by line feeds; empty: it is removed)."""
    patch: bytes = b""
    """For PTX: the bytes that stand there instead."""

    elsewhere: tuple[Mutant, ...] = ()
    """The same change in the code for other dispatches, made together with it."""

    @property
    def change(self) -> str:
        """The change for people, in one line."""
        after = "; ".join(part.strip() for part in self.after.split("\n") if part.strip())
        return f"{self.before.strip()} → {after or '(removed)'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of judging one mutant."""

    mutant: Mutant
    status: str
    """`killed`, `survived`, `equivalent` (the compiler makes the same code of it) or `invalid` (it does not verify)."""
    reason: str = ""
    """The finding that killed it, or what makes it invalid."""
    case: str = ""
    """The case that killed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MutationReport:
    """The mutants of one kernel."""

    kernel: str
    device: str
    seed: int
    quick: bool
    file: str
    """The file that the lines are of."""
    outcomes: tuple[Outcome, ...]
    possible: int
    """The number of mutants from which these were drawn."""
    message: str = ""
    """Why there are none; empty if there are some."""
    error: str = ""
    """What is wrong with the kernel's files or the command, so that nothing could be run; empty if nothing is."""

    def count(self, status: str) -> int:
        """The number of mutants with this status."""
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def share(self) -> float:
        """The share that was killed, of those that compile and change something."""
        killed, survived = self.count(KILLED), self.count(SURVIVED)
        return killed / (killed + survived) if killed + survived else 0.0

    @property
    def unproven(self) -> str:
        """Why nothing is known of the cases; empty if something is."""
        if self.message or self.error or self.share or self.survivors:
            return self.message or self.error
        return f"no mutant says anything of the cases: {self.outcomes[0].reason if self.outcomes else 'there is none'}"

    @property
    def passed(self) -> bool:
        """True if some mutant changes something, and the cases saw all that do."""
        return not self.unproven and not self.survivors

    @property
    def survivors(self) -> tuple[Outcome, ...]:
        """The mutants that no case saw."""
        return tuple(outcome for outcome in self.outcomes if outcome.status == SURVIVED)
