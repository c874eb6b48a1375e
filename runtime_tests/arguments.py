"""Arguments of the commands in this folder; errors in them are printed without a traceback."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

from substitute.errors import SubstituteError, UsageError

P = ParamSpec("P")


def at_least(smallest: int) -> Callable[[str], int]:
    """Return the type of an argument that is a whole number and no less than this."""

    def count(text: str) -> int:
        number = int(text)
        if number < smallest:
            raise argparse.ArgumentTypeError(f"at least {smallest} is needed, not {number}")
        return number

    return count


def new_file(text: str) -> Path:
    """Return the path of a file that can be written, as the type of an argument."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a folder" if path.is_dir() else f"{path.parent} is no folder")
    return path


def read_kept(path: Path) -> Any:
    """Return what an earlier run left in a JSON file. Raises `UsageError`."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(
            "this file of an earlier run cannot be read",
            where=str(path),
            expected="JSON",
            found=str(error),
            next_step="name another one",
        ) from None


def ends_in_words(main: Callable[P, int]) -> Callable[P, int]:
    """Return the same command, which prints an error of a person's and exits with its status."""

    @wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return main(*args, **kwargs)
        except SubstituteError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_status

    return run
