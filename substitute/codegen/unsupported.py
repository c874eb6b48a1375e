"""What code generation cannot do."""

from __future__ import annotations


class Unsupported(Exception):
    """No code can be made for a part of a program; the text names the part. Generators turn it into a refusal."""
