"""`iree-substitute doctor`."""

from __future__ import annotations

import click

from .options import json_option
from .terminal import progress, show, show_json, terminal_width


@click.command("doctor")
@json_option
def command(as_json: bool) -> int:
    """Say what this machine has of all that can be used, what is missing, and how to get it.

    The exit status is 1 if something is missing without which nothing works.
    """
    from ..doctor import examine

    with progress() as report:
        report("looking", None)
        findings = examine()
    if as_json:
        show_json(
            {
                "findings": [
                    {
                        "name": f.name,
                        "state": f.state,
                        "found": f.found,
                        "purpose": f.purpose,
                        "next_step": f.next_step or None,
                    }
                    for f in findings
                ]
            }
        )
    else:
        from ..report.doctor import findings_table

        show(findings_table(findings, width=terminal_width()))
    return 1 if any(f.state == "wrong" for f in findings) else 0
