"""Hooks of MkDocs: links to files beside docs/, the first page, and llms.txt with every page as Markdown."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1]
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)\s#]*)(#[^)\s]*)?\)")


def name_files(text: str) -> str:
    """Return a page with the path in place of each link to a file that is not part of the site."""
    return _OUTSIDE.sub(lambda m: m[1] if m[1].strip("`") == m[2] else f"{m[1]} (`{m[2]}`)", text)


def list_pages(docs: Path) -> str:
    """Return llms.txt: the project, and each page with its first sentence."""
    lines = [
        "# iree-substitute",
        "",
        "> Bring your own kernel to IREE: match dispatches by structure, embed, validate.",
        "",
    ]
    lines += ["## Pages", ""]
    for page in sorted(docs.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        title = re.search(r"^# (.*)$", text, re.MULTILINE)
        prose = re.search(
            r"^(?!#|\||>|```|-|\d)\S.*(?:\n\S.*)*",
            re.sub(r"```.*?```", "", text.partition("\n")[2], flags=re.DOTALL),
            re.MULTILINE,
        )
        first = " ".join(prose[0].split()).partition(". ")[0].rstrip(".") if prose else ""
        first = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", first)
        lines.append(f"- [{title[1] if title else page.stem}]({page.name}): {first}")
    return "\n".join([*lines, ""])


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Name files that are not part of the site."""
    return name_files(markdown)


def on_post_build(config: Any) -> None:
    """Write llms.txt and the pages as Markdown beside the site, and lead from its root to the first page."""
    site = Path(config["site_dir"])
    (site / "llms.txt").write_text(list_pages(DOCS), encoding="utf-8")
    for page in DOCS.glob("*.md"):
        shutil.copy(page, site / page.name)
    text = '<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=tutorial/">'
    (site / "index.html").write_text(f'{text}<a href="tutorial/">Tutorial</a>\n', encoding="utf-8")
