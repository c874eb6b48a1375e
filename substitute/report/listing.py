"""Code of a dispatch as listings whose lines know each other: IR before and after, payload, assembly."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import SubstituteError
from ..model.plan import Payload, Plan, Substitution, substitution_names

if TYPE_CHECKING:
    from ..inspection import ExecutableIr

MOST_LINES = 1500
"""Lines of a listing that are shown."""
BEFORE, AFTER, ASSEMBLY = "IR before", "IR after", "assembly"
_NAMES = {
    ".ll": "payload, LLVM IR",
    ".ptx": "payload, PTX",
    ".spvasm": "payload, SPIR-V",
    ".mlir": "payload, MLIR",
    ".comp": "source, GLSL",
}
_FEATURES = re.compile(r'(cpu_features = ")[^"]{40,}(")')
_BINDING = re.compile(r"\bbinding\((\d+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a listing."""

    text: str
    links: tuple[str, ...] = ()
    """Names that it shares with the lines of other listings that it belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Code in one form."""

    name: str
    lines: tuple[Line, ...]
    left_out: int = 0
    """Lines after those that are shown."""
    note: str = ""


def list_code(
    plan: Plan, ir: Mapping[str, ExecutableIr], payloads: Mapping[str, Payload]
) -> dict[str, tuple[Listing, ...]]:
    """Return the listings of each dispatch by its name, with lines that belong together linked."""
    found: dict[str, tuple[Listing, ...]] = {}
    chosen = [s for s in plan.substitutions if not s.kernel.payload.kind.rewrites_body]
    named = list(zip(substitution_names(chosen), chosen, strict=True))
    for dispatch in plan.dispatches:
        text = ir.get(dispatch.executable)
        listings = list(_list_ir(text)) if text is not None else []
        for name, substitution in named:
            if substitution.dispatch.name == dispatch.name and name in payloads:
                listings += _list_payload(substitution, payloads[name])
        if listings:
            found[dispatch.name] = tuple(_cut(listing) for listing in link_entries(listings, _entries(listings)))
    return found


def _list_ir(text: ExecutableIr) -> Iterator[Listing]:
    before, after = _lines_of(text.before), _lines_of(text.after)
    if not text.after or text.after == text.before:
        yield Listing(name=BEFORE, lines=tuple(Line(text=line, links=_bindings(line)) for line in before))
        return
    equal: dict[tuple[int, int], str] = {}
    for at, other, size in difflib.SequenceMatcher(a=before, b=after, autojunk=False).get_matching_blocks():
        for n in range(size):
            equal[0, at + n] = equal[1, other + n] = f"same{at + n}"
    for side, (name, lines) in enumerate(((BEFORE, before), (AFTER, after))):
        links = ((*((equal[side, n],) if (side, n) in equal else ()), *_bindings(line)) for n, line in enumerate(lines))
        note = "marked lines are not in the other" if side else ""
        yield Listing(name=name, lines=_zip(lines, links), note=note)


def _list_payload(substitution: Substitution, payload: Payload) -> Iterator[Listing]:
    from ..payload.dump import payload_texts

    for suffix, text in payload_texts(substitution, payload).items():
        lines = text.splitlines()
        numbered = suffix == ".ll"
        links = ((f"line{n}",) if numbered else () for n in range(1, len(lines) + 1))
        name = _NAMES.get(suffix, f"source, {suffix.removeprefix('.source')}")
        yield Listing(name=name, lines=_zip(lines, links), note=payload.summary if numbered else "")
        if numbered:
            yield from _list_assembly(text, substitution)


def _list_assembly(text: str, substitution: Substitution) -> Iterator[Listing]:
    from ..payload.llvm.assembly import assemble

    try:
        lines = assemble(text, substitution.dispatch.target, substitution.dispatch.name)
    except SubstituteError:
        return  # LLVM has no code generator here for what IREE's has one
    links = ((f"line{line.line}",) if line.line else () for line in lines)
    note = "the payload alone, as LLVM compiles it; IREE may inline it"
    yield Listing(name=ASSEMBLY, lines=_zip([line.text for line in lines], links), note=note)


def link_entries(listings: Sequence[Listing], names: Iterable[str]) -> list[Listing]:
    """Link the lines that speak of a function of one of these names."""
    tests = {name: re.compile(rf"(?<![\w$]){re.escape(name)}(?![\w$])") for name in names}
    return [
        replace(
            listing,
            lines=tuple(
                replace(
                    line, links=(*line.links, *(f"entry {n}" for n, test in tests.items() if test.search(line.text)))
                )
                for line in listing.lines
            ),
        )
        for listing in listings
    ]


def _entries(listings: Sequence[Listing]) -> list[str]:
    """Return the names of functions that the IR calls and the payloads define."""
    called: set[str] = set()
    for listing in listings:
        if listing.name == AFTER:
            for line in listing.lines:
                called.update(re.findall(r"@([\w$.]+)", line.text))
    payloads = "\n".join(
        line.text for listing in listings if listing.name not in (BEFORE, AFTER) for line in listing.lines
    )
    words = set(re.findall(r"[\w$.]+", payloads))
    return sorted(called & words)


def _lines_of(text: str) -> list[str]:
    return _FEATURES.sub(r"\1…\2", text).splitlines()


def _bindings(line: str) -> tuple[str, ...]:
    found = _BINDING.search(line)
    return (f"binding {found[1]}",) if found and "subspan" in line else ()


def _zip(lines: Sequence[str], links: Iterable[tuple[str, ...]]) -> tuple[Line, ...]:
    return tuple(Line(text=text, links=names) for text, names in zip(lines, links, strict=True))


def _cut(listing: Listing) -> Listing:
    more = len(listing.lines) - MOST_LINES
    return replace(listing, lines=listing.lines[:MOST_LINES], left_out=more) if more > 0 else listing
