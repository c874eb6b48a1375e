"""The reference of `kernel.toml` as Markdown, generated from the schema: `python -m substitute.catalog.reference`."""

from __future__ import annotations

import ast
import inspect
import json
import types
import typing
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ..payload.kinds import KINDS
from . import schema

_HEAD = """# The keys of `kernel.toml`

Generated from the schema by `make docs`. An unknown key, a wrong type, an axis that does not exist, a condition that
does not parse: each is an error that points at the place in the file. `iree-substitute new` writes a manifest that
works.
"""

_TYPE_NAMES = {str: "string", int: "integer", bool: "boolean", dict: "table", list: "array"}


def render_reference() -> str:
    """Return the Markdown page. Raises `ValueError` for a key without a description."""
    sections = [_HEAD]
    for title, table in _walk_tables(schema.ManifestTable, ""):
        sections.append(f"## {title}\n\n{_render_table(table)}")
    return "\n".join(sections)


def read_descriptions(table: type[BaseModel]) -> dict[str, str]:
    """Return the docstring under each field of a table."""
    tree = ast.parse(inspect.getsource(table)).body[0]
    assert isinstance(tree, ast.ClassDef)
    found: dict[str, str] = {}
    for statement, following in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            found[statement.target.id] = " ".join(str(following.value.value).split())
    return found


def _walk_tables(table: type[BaseModel], prefix: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the tables of the file, each with its heading, in the order of the schema."""
    yield f"`{prefix}`" if prefix else "The top level", table
    for name, info in table.model_fields.items():
        inner = _inner_table(info.annotation)
        if inner is not None:
            is_array = typing.get_origin(info.annotation) is list
            path = f"[[{name}]]" if is_array else f"[{name}]"
            yield from _walk_tables(inner, path)


def _inner_table(annotation: object) -> type[BaseModel] | None:
    """Return the table that an annotation holds, alone or as the element of an array or of a table of names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in typing.get_args(annotation):
        found = _inner_table(argument)
        if found is not None:
            return found
    return None


def _render_table(table: type[BaseModel]) -> str:
    descriptions = read_descriptions(table)
    missing = [name for name in table.model_fields if name not in descriptions]
    if missing:
        raise ValueError(f"{table.__name__} has no description of: {', '.join(missing)}")
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, info in table.model_fields.items():
        meaning = descriptions[name].replace("|", "\\|")
        rows.append(f"| `{info.alias or name}` | {_describe_values(info)} | {_default(info)} | {meaning} |")
    return "\n".join(rows) + "\n"


def _describe_values(info: FieldInfo) -> str:
    if schema.CHECK_KIND in info.metadata:
        return ", ".join(f"`{json.dumps(kind.name)}`" for kind in KINDS)
    return _describe_type(info.annotation)


def _describe_type(annotation: object) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _describe_type(arguments[0])
    if origin is typing.Literal:
        return ", ".join(f"`{json.dumps(value)}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_describe_type(a) for a in arguments if a is not type(None))
    if origin is list:
        element = _describe_type(arguments[0])
        return f"array of {element}" if "`" in element else f"array of {element}s"
    if origin is dict:
        return "table"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    return _TYPE_NAMES.get(annotation, "any") if isinstance(annotation, type) else "any"


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    if info.default is None or isinstance(info.default, BaseModel) or info.default in ([], {}):
        return ""
    return f"`{json.dumps(info.default)}`"


if __name__ == "__main__":
    print(render_reference(), end="")
