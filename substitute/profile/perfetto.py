"""The trace that ui.perfetto.dev opens: one call of each module, each dispatch a slice.

Source: the JSON of Chrome's trace event format, "complete" events (`ph: X`), times in microseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .profile import Profile, ProfileRow


def trace_of(profile: Profile) -> dict[str, Any]:
    """Return the trace as JSON has it."""
    rows = {row.name: row for row in profile.rows}
    return {"traceEvents": list(_events(profile, rows)), "displayTimeUnit": "ns"}


def _events(profile: Profile, rows: dict[str, ProfileRow]) -> Iterator[dict[str, Any]]:
    for process, (name, events) in enumerate(profile.events.items(), start=1):
        label = f"{profile.model.name} on {profile.device}: {name}"
        yield {"ph": "M", "name": "process_name", "pid": process, "args": {"name": label}}
        yield {"ph": "M", "name": "thread_name", "pid": process, "tid": 1, "args": {"name": "dispatches"}}
        first = min((event.start_ns for event in events), default=0)
        for event in events:
            row = rows.get(event.name)
            yield {
                "ph": "X",
                "cat": "dispatch",
                "name": event.name,
                "pid": process,
                "tid": 1,
                "ts": (event.start_ns - first) / 1000,
                "dur": event.duration_ns / 1000,
                "args": {
                    "workgroups": "×".join(map(str, event.workgroup_count)),
                    "kernel": (row.kernel if row is not None and process > 1 else "") or "IREE's own code",
                },
            }
