"""Parser of attributes as MLIR prints them, for the parts of the syntax that target configurations use."""

from __future__ import annotations

import re
from collections.abc import Mapping

Node = str | tuple["Node", ...] | Mapping[str, "Node"]
"""Parsed attribute: a number, word or string (without quotes and type); an array; the content of `{…}` or `<…>`."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|->|[{}\[\]<>()=,:]|[^\s{}\[\]<>()=,:"]+')
_PAIRS = {"{": "}", "<": ">", "[": "]", "(": ")"}


def parse_attribute(text: str) -> Node:
    """Return the attribute's parts; the text itself if its syntax is not supported."""
    tokens = _TOKEN.findall(text)
    try:
        node, end = _value(tokens, 0)
    except (IndexError, ValueError):
        return text
    return node if end == len(tokens) else text


def find_value(text: str, path: tuple[str, ...]) -> tuple[Node | None, tuple[str, ...]]:
    """Return the value at these keys, and the keys of the table in which the first missing one was looked up."""
    node = parse_attribute(text)
    for key in path:
        entries = _entries(node)
        if key not in entries:
            return None, tuple(entries)
        node = entries[key]
    return node, ()


def scalars(node: Node) -> tuple[str, ...]:
    """Return the single values of an array or of words joined by `|`, or the value itself."""
    if isinstance(node, str):
        return (node, *node.split("|")) if "|" in node else (node,)
    if isinstance(node, tuple):
        return tuple(s for item in node for s in scalars(item))
    return ()


def format_value(node: Node) -> str:
    """Format a value for messages."""
    if isinstance(node, str):
        return node
    if isinstance(node, tuple):
        return f"[{', '.join(format_value(item) for item in node)}]"
    return f"<{', '.join(f'{key} = {format_value(value)}' for key, value in node.items())}>"


def _entries(node: Node) -> Mapping[str, Node]:
    if isinstance(node, str):
        return {}
    return {str(at): item for at, item in enumerate(node)} if isinstance(node, tuple) else node


def _value(tokens: list[str], at: int) -> tuple[Node, int]:
    token = tokens[at]
    if token == "[":
        found, at = _list(tokens, at + 1, "]")
        return tuple(found.values()), at
    if token in "{<":
        return _list(tokens, at + 1, _PAIRS[token])
    if token in "}]>)=,:":
        raise ValueError(token)
    at += 1
    if token[0] in "#!" and tokens[at : at + 1] == ["<"]:
        return _list(tokens, at + 1, ">")
    if tokens[at : at + 1] == [":"]:
        at = _type(tokens, at + 1)
    return token[1:-1] if token[0] == '"' else token, at


def _list(tokens: list[str], at: int, close: str) -> tuple[dict[str, Node], int]:
    """Return entries and positional values up to the closing bracket."""
    found: dict[str, Node] = {}
    while tokens[at] != close:
        if tokens[at] == ",":
            at += 1
            continue
        key = str(len(found))
        if tokens[at + 1] == "=":
            key, at = tokens[at].strip('"'), at + 2
        found[key], at = _value(tokens, at)
    return found, at + 1


def _type(tokens: list[str], at: int) -> int:
    """Return the position after a type such as `i64` or `vector<4xf32>`."""
    at += 1
    if tokens[at : at + 1] == ["<"]:
        depth = 0
        while True:
            depth += (tokens[at] == "<") - (tokens[at] == ">")
            at += 1
            if not depth:
                break
    return at
