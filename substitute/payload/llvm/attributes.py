"""Functions that may use more of the CPU than the module they are linked into."""

from __future__ import annotations

from collections.abc import Sequence

from .definitions import with_attribute
from .optimize import parse_bitcode, parse_ir


def with_features(bitcode: bytes, features: Sequence[str], where: str) -> bytes:
    """Return bitcode with `"target-features"` on every function that it defines; LLVM uses the features only there.

    llvmlite cannot set attributes with values, so the text is changed. Code that has the attribute already is
    unchanged. Source: LLVM's language reference, "Function Attributes" and the order of a definition's parts.
    """
    if not features:
        return bitcode
    text = str(parse_bitcode(bitcode, where))
    if '"target-features"' in text:
        return bitcode
    attribute = f'"target-features"="{",".join(f"+{feature}" for feature in features)}"'
    return bytes(parse_ir(with_attribute(text, attribute), where).as_bitcode())
