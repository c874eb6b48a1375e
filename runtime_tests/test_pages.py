"""The pages in Markdown: what they link to is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parents[1]
FOLDERS = ("docs", "kernels", "ptx_blobs", "runtime_tests", "samples", "substitute")


def list_broken_links(page: Path) -> Iterator[str]:
    """Yield every relative link to a file or a heading that does not exist."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, heading = link.partition("#")
        if "://" in link:
            continue
        target = page.parent / path if path else page
        if not target.exists() or (heading and heading not in list_headings(target)):
            yield link


def list_headings(page: Path) -> set[str]:
    """Return the headings of a page as links name them."""
    lines = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def test_links_of_all_pages() -> None:
    pages = [ROOT / "README.md", *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))]
    assert len(pages) > 20
    assert {str(page): links for page in pages if (links := list(list_broken_links(page)))} == {}


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A `title`, and more\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md#a-title-and-more) [b](other.md#title) [c](gone.md) [d](https://iree.dev) [e](#none)\n"
    )
    assert list(list_broken_links(page)) == ["other.md#title", "gone.md", "#none"]
