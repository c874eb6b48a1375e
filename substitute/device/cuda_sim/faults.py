"""Findings of the simulated device while a kernel runs, and errors that it raises before one runs."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass, field
from typing import Any

from ...errors import DeviceError, SourceText

OK, INVALID_VALUE, OUT_OF_MEMORY = 0, 1, 2
NO_BINARY_FOR_GPU, INVALID_PTX, UNSUPPORTED_PTX_VERSION = 209, 218, 222
ASSERT = 710
ILLEGAL_ADDRESS, LAUNCH_TIMEOUT, MISALIGNED_ADDRESS, LAUNCH_FAILED, NOT_SUPPORTED = 700, 702, 716, 719, 801

STATUS = {
    "out-of-bounds": ILLEGAL_ADDRESS,
    "use-after-free": ILLEGAL_ADDRESS,
    "read-only": ILLEGAL_ADDRESS,
    "misaligned": MISALIGNED_ADDRESS,
    "trap": LAUNCH_FAILED,
    "assertion": ASSERT,
    "deadlock": LAUNCH_FAILED,
    "step-limit": LAUNCH_TIMEOUT,
}
"""Driver code of the kinds of finding that make a launch fail on a real device; the other kinds do not."""

KINDS = (*STATUS, "uninitialised-register", "uninitialised-memory", "race", "barrier", "warp", "unfinished-copy")
"""Every kind of finding."""


class LoadError(DeviceError):
    """PTX that the simulated device refuses; `code` is the driver's."""

    def __init__(self, what: str, *, code: int, **fields: Any) -> None:
        super().__init__(what, **fields)
        self.code = code


class LaunchError(DeviceError):
    """An invalid launch: geometry, shared memory or parameters; `code` is the driver's."""

    def __init__(self, what: str, *, code: int = INVALID_VALUE, **fields: Any) -> None:
        super().__init__(what, **fields)
        self.code = code


class InvalidAddress(DeviceError):
    """A host operation on device memory that is not (or no longer) allocated."""

    code = INVALID_VALUE


class OutOfMemory(DeviceError):
    """The device's memory is used up."""

    code = OUT_OF_MEMORY


class Refused(Exception):
    """An instruction that the simulated device does not execute; becomes a `LoadError` with its place."""


class Stop(Exception):
    """Ends a launch; the log has the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault, at the first place and thread where it occurred."""

    kind: str
    """One of `KINDS`."""
    entry: str
    line: int
    """Line in the PTX, from 1."""
    column: int
    instruction: str
    """The instruction's text, on one line."""
    block: tuple[int, int, int]
    thread: tuple[int, int, int]
    address: int | None
    space: str
    message: str
    count: int
    """Number of lane accesses with this fault at this line."""

    @property
    def fatal(self) -> bool:
        """True if a real device would stop the launch, or might."""
        return self.kind in STATUS

    def __str__(self) -> str:
        where = f"block {self.block}, thread {self.thread}"
        more = f" (and {self.count - 1} more)" if self.count > 1 else ""
        # the accumulators of one wgmma alone fill several lines
        text = textwrap.shorten(self.instruction, 100, placeholder=" …")
        return f"{self.entry}:{self.line}: {self.kind}: {self.message}; {where}{more}: {text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Statistics and findings of a launch."""

    findings: tuple[Finding, ...]
    lane_instructions: int
    warp_instructions: int
    seconds: float
    printed: str = ""
    """Output of the kernel (vprintf)."""

    @property
    def status(self) -> int:
        """The driver's code: that of the first finding that stops a launch, else 0."""
        return next((STATUS[finding.kind] for finding in self.findings if finding.fatal), OK)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Position of an instruction in the PTX."""

    line: int
    column: int
    text: str
    """The instruction on one line."""
    source: str = ""
    """The whole line of the file."""

    def caret(self) -> SourceText:
        """Return the line with a mark below the instruction."""
        return SourceText(line=self.line, column=self.column, text=self.source)


@dataclass(slots=True)
class Log:
    """Collector of findings: one per kind and instruction, up to `limit`."""

    entry: str
    limit: int
    found: dict[tuple[str, int, int], Finding] = field(default_factory=dict)
    printed: list[str] = field(default_factory=list)
    printed_characters: int = 0

    def write(self, text: str, most: int) -> None:
        """Append a kernel's output, up to `most` characters in total."""
        if self.printed_characters < most:
            self.printed.append(text[: most - self.printed_characters])
            self.printed_characters += len(text)

    def add(
        self,
        kind: str,
        place: Place,
        *,
        block: tuple[int, int, int],
        thread: tuple[int, int, int],
        message: str,
        address: int | None = None,
        space: str = "",
        count: int = 1,
    ) -> None:
        """Record a fault; further ones of the same kind at the same instruction are only counted."""
        key = (kind, place.line, place.column)
        old = self.found.get(key)
        if old is not None:
            data = {name: getattr(old, name) for name in Finding.__dataclass_fields__}
            self.found[key] = Finding(**{**data, "count": old.count + count})
        elif len(self.found) < self.limit:
            self.found[key] = Finding(
                kind=kind,
                entry=self.entry,
                line=place.line,
                column=place.column,
                instruction=place.text,
                block=block,
                thread=thread,
                address=address,
                space=space,
                message=message,
                count=count,
            )
