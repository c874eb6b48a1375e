"""Errors that a user can cause or meet, with their remedies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceText:
    """The line of a file that a message points at."""

    line: int
    column: int
    text: str

    def __str__(self) -> str:
        return f"  {self.line:>4} | {self.text}\n       | {' ' * (self.column - 1)}^"


class SubstituteError(Exception):
    """Error with five fields: what went wrong, where, what was expected, what was found, and the next step.

    `str(error)` is the user's message; the command line prints it and exits with `exit_status`.
    """

    exit_status = 1

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        expected: str = "",
        found: str = "",
        next_step: str = "",
        source: SourceText | None = None,
        details: str = "",
    ) -> None:
        super().__init__(what)
        self.what, self.where, self.expected, self.found = what, where, expected, found
        self.next_step, self.source, self.details = next_step, source, details

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep the arguments when the error is pickled, which passes it between processes (`isolate`)."""
        fields = ("where", "expected", "found", "next_step", "source", "details")
        return _rebuild, (type(self), self.what, {name: getattr(self, name) for name in fields})

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.source:
            lines.append(str(self.source))
        rows = (("expected", self.expected), ("found", self.found), ("next", self.next_step))
        lines += [f"  {label + ':':<10} {text}" for label, text in rows if text]
        if self.details:
            lines += ["", *(f"  {line}" for line in self.details.rstrip().splitlines())]
        return "\n".join(lines)


def _rebuild(kind: type[SubstituteError], what: str, fields: dict[str, Any]) -> SubstituteError:
    return kind(what, **fields)


class UsageError(SubstituteError):
    """The command line or a call is wrong."""

    exit_status = 2


class ModelError(SubstituteError):
    """The model is missing, malformed or cannot be imported."""


class ManifestError(SubstituteError):
    """A kernel's folder has an error."""


class PayloadError(SubstituteError):
    """A payload contradicts its manifest, or does not fit the dispatch."""


class PlanError(SubstituteError):
    """A plan cannot be made.

    Causes: a tie, a required kernel without a match, a plan that does not fit the model.
    """


class CompilerError(SubstituteError):
    """IREE's compiler (or another tool) failed; its output is in `details`."""


class CompilerCrash(CompilerError):
    """The process that ran the compiler crashed; `where` is the step that it was in, or the executable."""


class TimeOut(CompilerCrash):
    """A child process sent no message for too long, and was ended."""


class DeviceError(SubstituteError):
    """A device is unknown or failed."""


class InputError(DeviceError):
    """Inputs of a call do not fit the function: whoever gave them is wrong, not the device."""

    exit_status = 2


class ValidationError(SubstituteError):
    """A result is wrong."""
