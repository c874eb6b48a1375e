"""The error of code generation for a part that it does not support."""

from __future__ import annotations


class Unsupported(Exception):
    """A part of a program is not supported; the text names it. Generators turn the error into a refusal."""
