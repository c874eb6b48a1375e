"""Verdicts on a dispatch with a kernel in it, and their consequences: frozen data and pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..errors import ValidationError
from ..model.kernel import Kernel
from ..model.plan import Key
from .pace import MARGIN

Outcome = Literal["right", "wrong", "slower", "unjudged"]
OUTCOMES: tuple[Outcome, ...] = ("right", "wrong", "slower", "unjudged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The judgement on one pair of dispatch and kernel."""

    outcome: Outcome
    """`slower` implies correct results."""
    message: str = ""
    """The error, or why it was not judged."""
    device: str = ""
    """Device and threads, such as `local-task, 2 threads`."""
    sizes: tuple[str, ...] = ()
    """Operands of each launch that was judged."""
    ratio: float | None = None
    """Median of (its time ÷ IREE's own code's), measured in turns; None if no time was measured."""
    interval: tuple[float, float] | None = None
    """Confidence interval of the ratio; None where the rounds ended before there was one."""
    ours_us: float | None = None
    stock_us: float | None = None
    """Shortest launch of each in microseconds, the call included."""
    untimed: str = ""
    """Reason why there is no ratio."""
    kept: bool = True
    """False for results that another run may change, such as a time-out on a busy machine."""

    @property
    def text(self) -> str:
        """Return the verdict for a table."""
        if self.outcome == "unjudged":
            return f"not checked: {self.message}"
        if self.outcome == "wrong":
            return f"wrong: {self.message}"
        if self.ratio is None:
            return f"right; not timed: {self.untimed}" if self.untimed else "right"
        times = self.ratio if self.ratio >= 1 else 1 / max(self.ratio, 1e-9)
        word = "slower" if self.ratio >= 1 else "faster"
        return f"right, {times:.2f}× {word} than IREE's code" if times >= 1.005 else "right, as fast as IREE's code"

    def to_json(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {**asdict(self), "sizes": list(self.sizes)}


def from_json(data: Mapping[str, Any]) -> Verdict:
    """Return the verdict of `to_json`'s data. Raises `ValueError`, `TypeError` or `KeyError` for other data."""
    if data["outcome"] not in OUTCOMES:
        raise ValueError(f"no outcome of a verdict: {data['outcome']}")
    interval = tuple(data["interval"]) if data.get("interval") else None
    verdict = Verdict(**{**data, "sizes": tuple(data["sizes"]), "interval": interval})
    texts = (verdict.message, verdict.device, verdict.untimed, *verdict.sizes)
    numbers = [value for value in (verdict.ratio, verdict.ours_us, verdict.stock_us) if value is not None]
    if not all(isinstance(text, str) for text in texts) or not isinstance(verdict.kept, bool):
        raise TypeError("a text of a verdict is none")
    if not all(isinstance(value, float | int) for value in (*numbers, *(interval or ()))):
        raise TypeError("a number of a verdict is none")
    if interval is not None and len(interval) != 2:
        raise ValueError("an interval of a verdict has no two ends")
    return verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A substituted dispatch, its kernels, and the verdict on them."""

    key: Key
    kernels: tuple[Kernel, ...]
    verdict: Verdict
    left_out: bool = False
    """True if IREE's own code is kept instead."""

    @property
    def dispatch(self) -> str:
        """The export's name."""
        return self.key[2]

    @property
    def names(self) -> str:
        """The kernels' names."""
        return ", ".join(kernel.name for kernel in self.kernels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Options of `compile`'s check."""

    faster_only: bool = False
    """Leave out a user's kernel, too, if it is slower than IREE's code."""
    margin: float = MARGIN
    """A kernel is slower if its time is more than this multiple of that of IREE's own code."""
    patience_s: float = 60.0
    """Seconds without progress after which a kernel counts as endless."""


def leaves_out(check: Check, kernels: Sequence[Kernel], verdict: Verdict, *, chosen: bool = False) -> bool:
    """Return True if IREE's own code is to be used for the dispatch after all.

    Wrong kernels are left out. Slower ones are left out if all are built in; a user's kernel, or one that a plan names
    (`chosen`), is only reported, unless the check is for faster ones only.
    """
    if verdict.outcome == "wrong":
        return True
    if verdict.outcome != "slower":
        return False
    return check.faster_only or (not chosen and all(kernel.builtin for kernel in kernels))


def refuse_own(checked: Sequence[Checked]) -> None:
    """Raise `ValidationError` if a user's kernel is wrong."""
    wrong = [c for c in checked if c.verdict.outcome == "wrong" and not all(k.builtin for k in c.kernels)]
    if not wrong:
        return
    first = wrong[0]
    own = ", ".join(k.name for k in first.kernels if not k.builtin)
    others = "" if len(wrong) == 1 else f" (and in {len(wrong) - 1} other dispatches)"
    raise ValidationError(
        f"{own} computes something else than the dispatch that it takes{others}",
        where=first.dispatch,
        expected="the dispatch's body, evaluated in float64",
        found=first.verdict.message,
        next_step="`iree-substitute validate` shows each case; nothing was written (--no-check embeds it unjudged)",
        details="\n".join(f"{c.dispatch}: {c.names}: {c.verdict.message}" for c in wrong[1:12]),
    )
