"""Functions that may use more of the CPU than the module they are linked into."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .optimize import parse_bitcode, parse_ir

_BEFORE_ATTRIBUTES = (" unnamed_addr", " local_unnamed_addr", " addrspace(0)")


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
    attribute = f' "target-features"="{",".join(f"+{feature}" for feature in features)}"'
    lines = [_with_attribute(line, attribute) if line.startswith("define ") else line for line in text.split("\n")]
    return bytes(parse_ir("\n".join(lines), where).as_bitcode())


def _with_attribute(line: str, attribute: str) -> str:
    """A line `define … @name(…) … {` with an attribute behind the parameters."""
    end = _end_of_parameters(line)
    for word in _BEFORE_ATTRIBUTES:
        if line.startswith(word, end):
            end += len(word)
    return line[:end] + attribute + line[end:]


def _end_of_parameters(line: str) -> int:
    """Behind the `)` that closes the `(` that follows the function's name."""
    name = next(at for at, character in _outside_of_strings(line) if character == "@")
    depth = 0
    for at, character in _outside_of_strings(line):
        if at > name and character in "()":
            depth += 1 if character == "(" else -1
            if depth == 0:
                return at + 1
    raise AssertionError(f"LLVM printed a definition without parameters: {line}")


def _outside_of_strings(line: str) -> Iterator[tuple[int, str]]:
    r"""Every character with its place; LLVM writes a quotation mark inside of a string as `\22`."""
    inside = False
    for at, character in enumerate(line):
        inside ^= character == '"'
        if not inside:
            yield at, character
