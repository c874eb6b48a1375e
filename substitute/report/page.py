"""One self-contained HTML page for every command: a model of the report, made from its JSON, and a template."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from .listing import Listing

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with a header row."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()
    """Columns that hold numbers."""
    state: int | None = None
    """Column that says how it went: `passed`, `failed`, …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One dispatch."""

    name: str
    kernel: str = ""
    """Kernel that takes it, or that was judged; empty: none."""
    state: str = "own code"
    """`kernel`, `own code`, `left out`, or a verdict: `passed`, `failed`, `skipped`."""
    cost: float = 0.0
    """What the dispatches are sorted by; the largest comes first."""
    share: float | None = None
    """Share of the whole cost, where it was measured."""
    figures: tuple[str, ...] = ()
    """Cells of the overview, one for each of the page's columns."""
    reasons: tuple[str, ...] = ()
    """Why a kernel takes it, or why none does."""
    facts: tuple[tuple[str, str], ...] = ()
    charts: tuple[str, ...] = ()
    """SVG."""
    tables: tuple[Table, ...] = ()
    listings: tuple[Listing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Everything that a page shows."""

    command: str
    subject: str
    """Model, or kernels."""
    verdict: str = ""
    """`passed` or `failed`; empty where nothing was judged."""
    summary: tuple[tuple[str, str], ...]
    """Label and value of the figures at the top."""
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    charts: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    columns: tuple[str, ...] = ()
    """Heads of the figures of each dispatch."""
    entries: tuple[Entry, ...] = ()


def write_page(page: Page) -> str:
    """Return the page as HTML."""
    import jinja2

    loader = jinja2.FunctionLoader(lambda name: files(__package__).joinpath("templates", name).read_text("utf-8"))
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.undefined = jinja2.StrictUndefined
    entries = sorted(page.entries, key=lambda entry: -entry.cost)
    links = [link_lines(entry.listings, f"d{n}") for n, entry in enumerate(entries)]
    copies = _find_copies(entries)
    return environment.get_template("page.html.j2").render(
        page=page, entries=entries, links=links, copies=copies, typed=shlex.join(_command_line())
    )


def _command_line() -> list[str]:
    program = sys.argv[0].rpartition("/")[2]
    return ["iree-substitute", *sys.argv[1:]] if program in ("iree-substitute", "__main__.py") else []


def _find_copies(entries: Sequence[Entry]) -> dict[tuple[int, int], tuple[int, int]]:
    """Return (dispatch, listing) → the earlier one with the same text, which is shown in its place."""
    first: dict[tuple[str, ...], tuple[int, int]] = {}
    copies: dict[tuple[int, int], tuple[int, int]] = {}
    for n, entry in enumerate(entries):
        for k, listing in enumerate(entry.listings):
            at = first.setdefault(tuple(line.text for line in listing.lines), (n, k))
            if at != (n, k) and at[0] != n:
                copies[n, k] = at
    return copies


def link_lines(listings: Sequence[Listing], prefix: str) -> list[list[str]]:
    """Return for each line of each listing the id of the line that it leads to; empty: none.

    It is the first line of the next listing, in a circle, that shares a link with it.
    """
    first: list[dict[str, int]] = []
    for listing in listings:
        found: dict[str, int] = {}
        for number, line in enumerate(listing.lines):
            for name in line.links:
                found.setdefault(name, number)
        first.append(found)
    return [[_partner(first, k, line.links, prefix) for line in listing.lines] for k, listing in enumerate(listings)]


def _partner(first: Sequence[Mapping[str, int]], here: int, names: Sequence[str], prefix: str) -> str:
    order = [*range(here + 1, len(first)), *range(here)]
    for k in order:
        for name in names:
            if name in first[k]:
                return f"{prefix}-{k}-{first[k][name] + 1}"
    return ""
