"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)
"""Existence is checked in a lower layer, with a better message."""

HTML_HELP = "Write one page for a browser, which needs nothing else."


class Number(click.FloatRange):
    """A number in a range, which NaN is not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number. Raises `click.BadParameter`."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


def model_argument(function: F) -> F:
    """Add the argument for the model."""
    return click.argument("model", type=FILE)(function)


def catalog_options(function: F) -> F:
    """Add the options that select the kernels to choose from."""
    function = click.option(
        "--no-builtin",
        "builtin",
        is_flag=True,
        flag_value=False,
        default=True,
        help="Use only the kernels of --kernels, not the built-in ones or those of installed packs.",
    )(function)
    return click.option(
        "--kernels",
        multiple=True,
        type=FILE,
        metavar="DIR",
        help="A kernel's folder, or a folder of kernels; may be given several times.",
    )(function)


def require_option(function: F) -> F:
    """Add the option for kernels that have to take something."""
    return click.option(
        "--require",
        multiple=True,
        metavar="NAME",
        help="Fail if this kernel takes no dispatch, and say which came nearest; may be given several times.",
    )(function)


def json_option(function: F) -> F:
    """Add the option for JSON output."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(function)


def html_option(function: F) -> F:
    """Add the option for the HTML page."""
    return click.option("--html", type=FILE, metavar="FILE", help=HTML_HELP)(function)


def report_options(function: F) -> F:
    """Add the options for files that verdicts are written to."""
    for name, parameter, text in (
        ("--html", "html", HTML_HELP),
        ("--junit", "junit", "Write JUnit XML, for continuous integration."),
        ("--json-file", "json_file", "Write JSON with every case and its figures."),
    ):
        function = click.option(name, parameter, type=FILE, metavar="FILE", help=text)(function)
    return function
