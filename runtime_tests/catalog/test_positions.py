"""Every key and element of a TOML text is found where it stands."""

import tomllib

import pytest

from substitute.catalog.positions import positions, source_at, string_offset

pytestmark = pytest.mark.unit

TEXT = '''\
# a comment with [brackets] and = signs
top = 1   # more
"quoted key" = "a # b" # no comment inside
dotted.inner = [1, 2,
  [3, "]"], # a comment ]
]
many = """
[not.a.header]
x = "y"
"""
raw = \'\'\'it's ''quoted'' \'\'\'

[table]
inline = { a = ["x", "y"], b.c = {d = true} }
date = 1979-05-27T07:32:00Z

[[list]]
name = "first"
[list.sub]
key = -1.5e3
[[list]]
name = "second"
[list.sub]
key = 'lit\\eral'
'''


def paths(value: object, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    """Every path of a parsed document."""
    found: set[tuple[str | int, ...]] = {path} if path else set()
    if isinstance(value, dict):
        for key, inner in value.items():
            found |= paths(inner, (*path, key))
    if isinstance(value, list):
        for at, inner in enumerate(value):
            found |= paths(inner, (*path, at))
    return found


def test_every_path_is_found_and_no_other() -> None:
    assert set(positions(TEXT)) == paths(tomllib.loads(TEXT))


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("top",), "top", "1"),
        (("quoted key",), '"quoted key"', '"a #'),
        (("dotted", "inner"), "dotted", "[1"),
        (("dotted", "inner", 2, 1), '"]"', '"]"'),
        (("table",), "[table]", "[table]"),
        (("table", "inline", "a", 1), '"y"', '"y"'),
        (("table", "inline", "b", "c", "d"), "d =", "true"),
        (("list", 0, "name"), "name", '"first"'),
        (("list", 1, "name"), "name", '"second"'),
        (("list", 1, "sub", "key"), "key", "'lit"),
    ],
)
def test_places(path: tuple[str | int, ...], key: str, value: str) -> None:
    place = positions(TEXT)[path]
    assert TEXT.startswith(key, place.key)
    assert TEXT.startswith(value, place.value)


def test_source_line_and_column() -> None:
    text = "a = 1\n\tb = 2\nc = 3"
    source = source_at(text, text.index("2"))
    assert (source.line, source.column, source.text) == (2, 6, " b = 2")
    assert source_at(text, len(text)).text == "c = 3"


@pytest.mark.parametrize(
    ("text", "offset"),
    [('"ab"', 1), ("'a\\b'", 1), ('"a\\tb"', None), ('"""ab"""', None), ("'''ab'''", None), ("12", None)],
)
def test_strings_whose_characters_stand_for_themselves(text: str, offset: int | None) -> None:
    assert string_offset(text, 0) == offset
