"""Removal of code that the bound entry cannot reach, so that no error in it refuses the kernel."""

from __future__ import annotations

from .memory import reachable
from .rename import Edit, edited
from .syntax import Module, Span
from .tokens import Tokens


def drop_unreachable(module: Module, entry: str) -> str:
    """Return the text without other entries and functions that are never called.

    A function whose name stands anywhere else (a table of functions, an alias) is kept. Lines keep their numbers.
    """
    found = module.entry(entry)
    if found is None or found.body is None:
        return module.text
    kept = {function.name for function in reachable(module, found)}
    spans: dict[str, list[Span]] = {}
    for function in module.functions:
        if function.name not in kept:
            spans.setdefault(function.name, []).append(function.span)
    if not spans:
        return module.text
    tokens = Tokens(module.text, module.name)
    while True:
        words = _words_outside(tokens, [span for each in spans.values() for span in each], module.sections)
        named = [name for name in spans if name in words]
        if not named:
            break
        for name in named:
            del spans[name]
    dropped = [span for each in spans.values() for span in each]
    # debug data names labels of removed functions
    return edited(module.text, [*((span, "") for span in dropped), *(debug_edits(module) if dropped else ())])


def _words_outside(tokens: Tokens, spans: list[Span], sections: tuple[Span, ...]) -> set[str]:
    words: set[str] = set()
    gaps = sorted((*spans, *sections), key=lambda span: span.start)
    at = 0
    for text, start in zip(tokens.texts, tokens.starts, strict=True):
        while at < len(gaps) and gaps[at].end <= start:
            at += 1
        if at == len(gaps) or start < gaps[at].start:
            words.add(text)
    return words


def debug_edits(module: Module) -> list[Edit]:
    """Return edits that remove the debug data (lines keep their numbers: `.loc` stays)."""
    edits: list[Edit] = [(span, "") for span in module.sections]
    options = [target for target in module.targets if target != "debug"]
    if edits and len(options) < len(module.targets):
        line_end = module.text.find("\n", module.target_span.start)
        edits.append((Span(module.target_span.start, line_end), ", ".join(options)))
    return edits
