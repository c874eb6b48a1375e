"""Element types as variables: a manifest with `[types]` defines a kernel for each choice of them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

from ..errors import ManifestError
from ..model.elements import ELEMENT
from ..model.parameter import SCALAR_TYPES, decode, encode

Binding = tuple[tuple[str, str], ...]
"""Type of each variable, in the order of `[types]`."""

_CONVERSION = re.compile(
    r"\barith\.(extf|truncf)(?P<flags>[^%\n]*)(?P<value>%[\w$.\-]+(?:#\d+)?)\s*:\s*(?P<source>[^\n]+?)\s+to\s+"
    r"(?P<result>tensor<[^\n>]*>|[!\w]+)"
)
_VARIABLE = re.compile(r"!([A-Za-z_]\w*)")


def list_bindings(types: Mapping[str, Sequence[str]]) -> list[Binding]:
    """Return all choices of the types, each once; a variable may name an earlier one."""
    found: dict[Binding, None] = {}
    for choice in itertools.product(*types.values()):
        known: dict[str, str] = {}
        for name, value in zip(types, choice, strict=True):
            known[name] = known.get(value, value)
        found[tuple(known.items())] = None
    return list(found)


def find_wrong_type(types: Mapping[str, Sequence[str]]) -> tuple[str, int, str] | None:
    """Return the variable, position and name of the first value that is neither a type nor an earlier variable."""
    known: set[str] = set()
    for name, values in types.items():
        for at, value in enumerate(values):
            if value not in ELEMENT and value not in known:
                return name, at, value
        known.add(name)
    return None


def fill_in(text: str, binding: Binding) -> str:
    """Replace `{T}` by the type of T: in the names of files and entry points."""
    for name, type_ in binding:
        text = text.replace(f"{{{name}}}", type_)
    return text


def describe_binding(binding: Binding) -> str:
    """Format the types: `T = f16, A = f32`."""
    return ", ".join(f"{name} = {type_}" for name, type_ in binding)


def instantiate(text: str, binding: Binding, where: str) -> str:
    """Return a definition with its type aliases (`!T = f32`) set to these types.

    Conversions between aliases become what the types need: `arith.extf`, `arith.truncf`, or a bitcast between equal
    ones, which stands for nothing. Numbers that are written as bits become the bits of the same number. Raises
    `ManifestError` for a definition without the alias.
    """
    chosen = dict(binding)
    written: dict[str, str] = {}
    for name in chosen:
        alias = re.search(rf"^[ \t]*!{name}[ \t]*=[ \t]*(\w+)[ \t]*(?://.*)?$", text, re.MULTILINE)
        if alias is None:
            raise ManifestError(
                f"the definition has no type `!{name}`",
                where=where,
                expected=f"a line such as !{name} = f32, before the functions",
                found=", ".join(f"!{found}" for found in dict.fromkeys(_VARIABLE.findall(text))) or "no alias",
                next_step=f"write !{name} in place of the type in the definition, or remove {name} from [types]",
            )
        written[name] = alias[1]
        text = f"{text[: alias.start(1)]}{chosen[name]}{text[alias.end(1) :]}"
    text = _CONVERSION.sub(lambda found: _conversion(found, chosen), text)
    return re.sub(
        rf"\b0x([0-9A-Fa-f]+)(\s*:\s*)!({'|'.join(chosen)})\b",
        lambda found: f"{_bits(found[1], written[found[3]], chosen[found[3]])}{found[2]}!{found[3]}",
        text,
    )


def _conversion(found: re.Match[str], chosen: Mapping[str, str]) -> str:
    source, result = (_resolved(found[name], chosen) for name in ("source", "result"))
    tail = f"{found['value']} : {found['source']} to {found['result']}"
    if source == result:
        return f"arith.bitcast {tail}"
    a, b = (ELEMENT.get(text.removesuffix(">").rpartition("x")[2]) for text in (source, result))
    if a is None or b is None or a.bits == b.bits:
        return found[0]
    return f"arith.{'extf' if a.bits < b.bits else 'truncf'}{found['flags']}{tail}"


def _resolved(text: str, chosen: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: chosen.get(found[1], found[0]), text).replace(" ", "")


def _bits(digits: str, written: str, chosen: str) -> str:
    if written == chosen or not {written, chosen} <= SCALAR_TYPES or written[0] == "i" or chosen[0] == "i":
        return f"0x{digits}"
    bits = encode(decode(int(digits, 16), written), chosen)
    return f"0x{bits:0{ELEMENT[chosen].bits // 4}X}"


def list_names(types: Mapping[str, Sequence[str]], name: str) -> Iterator[tuple[str, Binding]]:
    """Yield the name of the kernel for each way to choose the types: `matmul.f16.f32`."""
    for binding in list_bindings(types):
        yield ".".join((name, *(type_ for _, type_ in binding))), binding
