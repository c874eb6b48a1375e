"""Report of one `bench`: saved as JSON, read back, and compared with a later one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..cache.atomic import write_whole
from ..device.ratio import Ratio, ratio_of
from ..device.timing import Timing
from ..errors import UsageError
from ..json_text import parse_json
from .subject import LeftOut

if TYPE_CHECKING:
    from pydantic import ValidationError

SCHEMA = 1
CANDIDATE, DEFAULT, TUNED_FLAGS, UNTUNED = "with kernels", "IREE", "IREE, best flags", "without the plan"
"""Names of what is timed."""
COMPARED = {
    "digest": "model",
    "function": "function",
    "device": "device",
    "threads": "number of threads",
    "clock": "clock",
    "cpu": "CPU",
}
"""What has to be the same in two reports, with its name in messages."""
REGRESSION = 1.05
"""A ratio that grows by less is no regression, whatever the intervals say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchReport:
    """A model with kernels beside IREE's own code."""

    model: str
    """Name of the file."""
    digest: str
    """Digest of its content."""
    function: str
    device: str
    threads: int
    clock: str
    """`processor time` or `wall time`."""
    flags: tuple[str, ...]
    machine: Mapping[str, str]
    taken: int
    """Dispatches that a kernel takes."""
    dispatches: int
    unchecked: tuple[str, ...]
    """Dispatches with kernels that could not be checked by themselves."""
    timings: tuple[Timing, ...]
    """Times of `with kernels`, of `IREE`, and of IREE with its best flags where that was asked for."""
    left_out: tuple[LeftOut, ...]
    clear: bool
    """False if the budget was spent before every ratio was clear."""

    @property
    def cpu(self) -> str:
        """Name of the processor."""
        return self.machine.get("cpu", "not known")

    def timing(self, name: str) -> Timing:
        """Return the times of one of the codes. Raises `KeyError`."""
        return {timing.name: timing for timing in self.timings}[name]

    def ratio_to(self, name: str) -> Ratio:
        """Return the time with kernels ÷ the time of another code: below one is faster."""
        return ratio_of(self.timing(CANDIDATE).ratios_to(self.timing(name)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Comparison of two reports by their ratios to IREE's own code, each measured in one run."""

    kind: Literal["regression", "improvement", "unchanged"]
    now: Ratio
    before: Ratio
    notes: tuple[str, ...]
    """Other differences, such as IREE's version."""


def digest_of(model: Path) -> str:
    """Return a digest of a model's file."""
    with model.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def report_to_json(report: BenchReport) -> dict[str, Any]:
    """Return the report as JSON values, with the ratios."""
    ratios = {t.name: report.ratio_to(t.name) for t in report.timings if t.name != CANDIDATE}
    return {
        "schema": SCHEMA,
        **asdict(report),
        "ratios": {
            name: {"median": r.median, "interval": r.interval, "relation": r.relation} for name, r in ratios.items()
        },
        "medians_us": {timing.name: timing.median_us for timing in report.timings},
    }


def save_report(report: BenchReport, path: Path) -> None:
    """Write the report as JSON."""
    write_whole(path, f"{json.dumps(report_to_json(report), indent=1, ensure_ascii=False)}\n".encode())


def load_report(path: Path) -> BenchReport:
    """Return a report that `save_report` wrote. Raises `UsageError`."""
    from pydantic import TypeAdapter, ValidationError

    try:
        data = parse_json(path.read_bytes())
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise _unreadable(path, "something else, or another version")
        names = {field.name for field in fields(BenchReport)}
        own = {key: value for key, value in data.items() if key in names}
        report = TypeAdapter(BenchReport).validate_python(own)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    except ValidationError as error:
        raise _unreadable(path, _first_of(error)) from None
    except ValueError as error:
        raise _unreadable(path, str(error)) from None
    lengths = {len(timing.samples_us) for timing in report.timings}
    if not {CANDIDATE, DEFAULT} <= {timing.name for timing in report.timings} or len(lengths) != 1 or 0 in lengths:
        raise _unreadable(path, "times that do not belong together")
    return report


def _first_of(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _unreadable(path: Path, found: str) -> UsageError:
    return UsageError(
        "the saved times cannot be read",
        where=str(path),
        expected=f"JSON that `bench --save` wrote (schema {SCHEMA})",
        found=found,
        next_step="write a new file with `iree-substitute bench … --save FILE`",
    )


def compare_reports(now: BenchReport, before: BenchReport) -> Change:
    """Compare two reports by their ratios to IREE's own code.

    It is a regression if the intervals do not meet and the ratio grew by more than `REGRESSION`. Raises `UsageError`
    where the reports are of other things: another model, device, number of threads or CPU.
    """
    refuse_other(before, {name: getattr(now, name) for name in COMPARED})
    new, old = now.ratio_to(DEFAULT), before.ratio_to(DEFAULT)
    kind: Literal["regression", "improvement", "unchanged"] = "unchanged"
    if new.low > old.high and new.median > old.median * REGRESSION:
        kind = "regression"
    elif new.high < old.low and new.median * REGRESSION < old.median:
        kind = "improvement"
    notes = [
        f"{name} {before.machine.get(name)} became {now.machine[name]}"
        for name in now.machine
        if name.startswith("iree-") and now.machine[name] != before.machine.get(name)
    ]
    if now.flags != before.flags:
        notes.append(f"the flags were {' '.join(before.flags)}")
    return Change(kind=kind, now=new, before=old, notes=tuple(notes))


def refuse_other(before: BenchReport, now: Mapping[str, object]) -> None:
    """Raise `UsageError` for saved times of something else than `now`, which has values for some of `COMPARED`."""
    for name, value in now.items():
        found = getattr(before, name)
        if found == value:
            continue
        raise UsageError(
            f"the saved times are of another {COMPARED[name]}",
            where="--compare",
            expected=str(value),
            found=f"{before.model}, {found}" if name == "digest" else str(found),
            next_step="save a new file with --save",
        )
