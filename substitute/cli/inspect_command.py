"""`iree-substitute inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .flags import CompilerCommand
from .options import catalog_options, html_option, json_option, model_argument, require_option
from .terminal import check_writable, progress, say_target, show, show_json, terminal_width


@click.command("inspect", cls=CompilerCommand)
@model_argument
@catalog_options
@require_option
@html_option
@json_option
def command(
    model: Path,
    kernels: tuple[Path, ...],
    builtin: bool,
    require: tuple[str, ...],
    html: Path | None,
    as_json: bool,
    flags: tuple[str, ...],
) -> None:
    """List the dispatches of MODEL: what each computes and costs, and which kernel takes it or comes nearest."""
    check_writable(html, "--html")
    from ..inspection import Inspection, inspect_model, inspect_with_ir

    say_target(flags)
    options: dict[str, Any] = {
        "kernels": kernels,
        "builtin": builtin,
        "flags": flags,
        "require": require,
        "isolate": True,
    }
    with progress() as report:
        if html is None:
            found = Inspection(plan=inspect_model(model, **options, progress=report), ir={})
        else:
            found = inspect_with_ir(model, **options, progress=report)
    plan = found.plan
    if html is not None:
        from ..cache.atomic import write_whole
        from ..report.as_json import inspection_to_json
        from ..report.listing import list_code
        from ..report.page import write_page
        from ..report.page_contents import page_of_inspection

        listings = list_code(plan, found.ir, {})
        page = page_of_inspection(inspection_to_json(plan), model=str(model), listings=listings)
        write_whole(html, write_page(page).encode())
    if as_json:
        from ..report.as_json import inspection_to_json

        show_json(inspection_to_json(plan))
    else:
        from ..report.tables import dispatch_table

        show(dispatch_table(plan, width=terminal_width()))
