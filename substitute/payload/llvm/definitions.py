"""The text of LLVM's function definitions: attributes with values, which llvmlite cannot set."""

from __future__ import annotations

from collections.abc import Iterator

SLOTS_BELOW = "; the functions of the slots, made for this dispatch"
"""Line behind which a module's text is not its author's."""
_BEFORE_ATTRIBUTES = (" unnamed_addr", " local_unnamed_addr", " addrspace(0)")


def with_attribute(text: str, attribute: str) -> str:
    """Return a module as LLVM prints it, with an attribute on every function that it defines."""
    return "\n".join(_on_line(line, attribute) if line.startswith("define ") else line for line in text.split("\n"))


def _on_line(line: str, attribute: str) -> str:
    """Return a line `define … @name(…) … {` with an attribute after the parameters."""
    end = _end_of_parameters(line)
    for word in _BEFORE_ATTRIBUTES:
        if line.startswith(word, end):
            end += len(word)
    return f"{line[:end]} {attribute}{line[end:]}"


def _end_of_parameters(line: str) -> int:
    """Return the position after the `)` that closes the parameters of the function's name."""
    name = next(at for at, character in _outside_of_strings(line) if character == "@")
    depth = 0
    for at, character in _outside_of_strings(line):
        if at > name and character in "()":
            depth += 1 if character == "(" else -1
            if depth == 0:
                return at + 1
    raise AssertionError(f"LLVM printed a definition without parameters: {line}")


def _outside_of_strings(line: str) -> Iterator[tuple[int, str]]:
    r"""Return the characters outside of strings with their positions; inside, LLVM writes a quotation mark as
    `\\22`.
    """
    inside = False
    for at, character in enumerate(line):
        inside ^= character == '"'
        if not inside:
            yield at, character
