"""Files of a cache: read as they were written, and not at all where that is not certain."""

from __future__ import annotations

from pathlib import Path

import pytest

from substitute.cache.checked import digest_parts, read_checked, write_checked

pytestmark = pytest.mark.unit


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    assert read_checked(path) is None
    for content in (b"", b"one", b"two\n" * 1000):
        write_checked(path, content)
        assert read_checked(path) == (content, path.stat().st_mtime)


@pytest.mark.parametrize("damage", ["cut", "longer", "flipped", "empty", "writable", "a folder"])
def test_what_is_not_certain_is_not_read(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "file"
    write_checked(path, b"content")
    whole = path.read_bytes()
    if damage == "writable":
        path.chmod(0o620)
    elif damage == "a folder":
        path.unlink()
        path.mkdir()
    else:
        changed = {"cut": whole[:-1], "longer": whole + b"!", "flipped": whole[:-1] + b"!", "empty": b""}
        path.write_bytes(changed[damage])
    assert read_checked(path) is None


def test_digests_tell_where_parts_end() -> None:
    assert digest_parts([b"ab", b"c"]) == digest_parts(iter((b"ab", b"c")))
    assert len({digest_parts(parts) for parts in ([b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b"abc", b""])}) == 4
