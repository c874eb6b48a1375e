"""Functions that may use more of the CPU than the module they are linked into."""

from __future__ import annotations

from collections.abc import Sequence

from .definitions import with_attribute
from .optimize import parse_bitcode, parse_ir


def with_features(bitcode: bytes, features: Sequence[str], where: str) -> bytes:
    """The same with `"target-features"` on every function that is defined, so that LLVM uses them there and only there.

    llvmlite can set no attribute with a value, so the text is changed. Code that says its features itself stays as it
    is. Source: LLVM's language reference, "Function Attributes" and the order of a definition's parts.
    """
    if not features:
        return bitcode
    text = str(parse_bitcode(bitcode, where))
    if '"target-features"' in text:
        return bitcode
    attribute = f'"target-features"="{",".join(f"+{feature}" for feature in features)}"'
    return bytes(parse_ir(with_attribute(text, attribute), where).as_bitcode())
