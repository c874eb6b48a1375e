"""Edits of a text at places that the parser found, and renaming of an entry."""

from __future__ import annotations

from collections.abc import Iterable

from .faults import fault
from .parse import parse
from .syntax import Function, Module, Span
from .tokens import Tokens
from .verification import find_entry

Edit = tuple[Span, str]


def edited(text: str, edits: Iterable[Edit]) -> str:
    """Return the text with each span replaced; no two spans may overlap.

    Every line of the text keeps its number, as insertions are put on one line, so that lines that the driver or the
    simulated device reports are those of the author's file.
    """
    parts: list[str] = []
    last = 0
    for span, new in sorted(edits, key=lambda e: (e[0].start, e[0].end)):
        assert span.start >= last, "edits overlap"
        parts += [text[last : span.start], _on_one_line(new), "\n" * text.count("\n", span.start, span.end)]
        last = span.end
    return "".join((*parts, text[last:]))


def _on_one_line(text: str) -> str:
    if "\n" not in text:
        return text
    lines = (line.partition("//") for line in text.split("\n"))
    return " ".join(f"{code.strip()} /*{comment} */" if mark else code.strip() for code, mark, comment in lines)


def rename(text: str, entry: str, export_name: str, *, name: str = "PTX") -> str:
    """Return the text with `entry` renamed to `export_name` and visible to the driver. Raises `PayloadError`."""
    module = parse(text, name=name)
    return edited(text, renaming(module, find_entry(module, entry), export_name))


def renaming(module: Module, entry: Function, export_name: str) -> list[Edit]:
    """Return edits that rename an entry, wherever its name is a word. Raises `PayloadError` if the name is taken."""
    tokens = Tokens(module.text, module.name)
    edits = [] if entry.linkage else [(Span(entry.span.start, entry.span.start), ".visible ")]
    for at, word in enumerate(tokens.texts):
        if word == export_name != entry.name:
            raise fault(
                module,
                tokens.starts[at],
                f"the name {export_name} is taken",
                expected="a name that the PTX does not use",
                found=export_name,
                next_step="rename this symbol in the PTX",
            )
        if word == entry.name:
            edits.append((tokens.span(at, at), export_name))
    return edits
