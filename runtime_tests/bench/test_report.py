"""The page that `make bench` writes."""

from __future__ import annotations

import pytest
from rich.table import Table

from substitute.bench.report import render_report

pytestmark = pytest.mark.unit


def test_the_page_holds_every_table_and_the_machine() -> None:
    tables = []
    for title, cell in (("Run time", "13.7"), ("Compile time", "0.88")):
        table = Table("model", "ratio", title=title)
        table.add_row("magika", cell)
        tables.append(table)
    page = render_report(tables, {"cpu": "a CPU", "cores": "2"}, effort="quick")
    assert page.startswith("# Benchmarks\n")
    assert "- cpu: a CPU\n- cores: 2\n" in page
    assert page.count("```text\n") == 2
    for text in ("Run time", "13.7", "Compile time", "0.88", "(quick run)"):
        assert text in page


def test_the_page_has_no_control_sequences() -> None:
    table = Table("a", style="bold red", title="t")
    table.add_row("[green]x[/green]")
    assert "\x1b" not in render_report([table], {}, effort="quick")
