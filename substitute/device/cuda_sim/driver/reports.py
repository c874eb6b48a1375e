"""Findings of the executor reported to the user: on stderr, and in a file if one is named."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .codes import CODES
from .settings import COVERAGE, LOG, Settings

if TYPE_CHECKING:
    from ..coverage import Coverage
    from ..faults import Finding, Report

_MOST_PRINTED = 10
"""Findings printed during a process's life; the file gets all."""


class Reports:
    """Output of findings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._printed: set[tuple[str, str, int, int]] = set()

    def note(self, report: Report, code: int, where: Mapping[str, Any]) -> None:
        """Report a launch that ended with a code; the same finding at the same place is printed once."""
        if report.printed:
            print(report.printed, end="", flush=True)
        for finding in report.findings:
            self._print(finding, where["device"])
        self._write({**where, "code": CODES[code].name, **report.as_dict()})

    def note_coverage(self, entry: str, coverage: Coverage) -> None:
        """Writes down which ways of a kernel's branches were gone, where somebody asks."""
        from ..coverage import append

        path = self._settings.coverage
        try:
            if path is not None:
                append(path, entry, coverage)
        except OSError as error:
            say(f"{COVERAGE}: {path} cannot be written: {error.strerror}")

    def _print(self, finding: Finding, device: str) -> None:
        place = (finding.kind, finding.entry, finding.line, finding.column)
        if place in self._printed or len(self._printed) > _MOST_PRINTED:
            return
        self._printed.add(place)
        text = str(finding) if len(self._printed) <= _MOST_PRINTED else f"more findings are not printed; set {LOG}=FILE"
        say(f"{device}: {text}")

    def _write(self, row: dict[str, Any]) -> None:
        log = self._settings.log
        try:
            if log is not None:
                with log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
        except OSError as error:
            say(f"{LOG}: {log} cannot be written: {error.strerror}")


def say(text: str) -> None:
    """Print one line to the user of the client."""
    print(f"simulated CUDA device: {text}", file=sys.stderr, flush=True)
