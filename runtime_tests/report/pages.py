"""HTML pages read back: elements, ids, links, texts; and the contrast of colours."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset(("meta", "input", "br", "link", "img"))


@dataclass
class ReadPage(HTMLParser):
    """What a page holds."""

    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    headers: list[int] = field(default_factory=list)
    """Number of column headers of each table."""

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag == "table":
            self.headers.append(0)
        if tag == "th" and ("scope", "col") in attrs:
            self.headers[-1] += 1
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"</{tag}> at {self.getpos()} closes something else")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def ids(self) -> list[str]:
        return [attrs["id"] for _, attrs in self.tags if "id" in attrs]

    @property
    def links(self) -> list[str]:
        return [attrs["href"] for _, attrs in self.tags if "href" in attrs]


def read_page(text: str) -> ReadPage:
    page = ReadPage()
    page.feed(text)
    page.close()
    return page


def find_faults(text: str) -> list[str]:
    """Return what is wrong with the structure of a page."""
    page = read_page(text)
    faults = list(page.problems)
    ids = page.ids
    faults += [f"id {name} stands there twice" for name, count in Counter(ids).items() if count > 1]
    known = set(ids)
    faults += [f"link to {link}" for link in page.links if not link.startswith("#") or link[1:] not in known]
    for tag, attrs in page.tags:
        named = attrs.get("aria-labelledby")
        if named is not None and named not in known:
            faults.append(f"<{tag}> is labelled by {named}, which is not there")
        if (
            tag in ("link", "img", "iframe", "object", "embed", "base")
            or "src" in attrs
            or ("style" in attrs and ("url(" in attrs["style"]))
        ):
            faults.append(f"<{tag}> needs something else")
        if any(name.startswith("on") for name in attrs):
            faults.append(f"<{tag}> has a handler")
        if tag == "svg" and not attrs.get("aria-label"):
            faults.append("a chart without a name")
    if re.search(r"url\(|@import|https?://(?!www\.w3\.org)", text):
        faults.append("an address from elsewhere")
    faults += ["a table without headers" for number in page.headers if not number]
    return faults


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, `#rrggbb`, as WCAG 2 defines it."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
