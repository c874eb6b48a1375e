"""Check of the parameters of a hand-written LLVM function against those that the shim passes."""

from __future__ import annotations

from typing import Any

from ...errors import PayloadError
from ...model.plan import Request

LLVM_TYPE = {"f32": "float", "f64": "double", "i32": "i32", "i64": "i64"}
"""LLVM's name of each type in which parameters are passed."""


def check_signature(module: Any, request: Request, entry: str, where: str) -> None:
    """Check `void entry(ptr …, i64 …, i64, i64, i64)`: pointers, integers, then the workgroup ids. Raises
    `PayloadError`.
    """
    defined = [f.name for f in module.functions if not f.is_declaration]
    if entry not in defined:
        raise PayloadError(
            f"the payload does not define @{entry}",
            where=where,
            expected=f"a function @{entry} (`entry` in kernel.toml)",
            found=", ".join(f"@{name}" for name in defined) or "no function",
            next_step="correct `entry`, or the function's name",
        )
    function = module.get_function(entry)
    found = [str(a.type) for a in function.arguments]
    expected = ["ptr"] * len(request.parameters) + ["i64"] * len(request.scalars)
    expected += [*(LLVM_TYPE[value.passed_type] for value in request.values), "i64", "i64", "i64"]
    returned = str(function.global_value_type).partition(" (")[0] if hasattr(function, "global_value_type") else "void"
    if found != expected or returned != "void":
        raise PayloadError(
            f"@{entry} does not have the parameters that it will be called with",
            where=where,
            expected=f"void ({', '.join(_named(request))})",
            found=f"{returned} ({', '.join(found)})",
            next_step="pointers in the definition's order, then axes and strides as i64, then parameters, then three "
            f"workgroup ids{_hint(request, found)}",
        )


def _hint(request: Request, found: list[str]) -> str:
    """Return what a function lacks that has all parameters but some sizes."""
    names, pointers = request.scalar_names, len(request.parameters)
    lacking = pointers + len(request.scalars) + len(request.values) + 3 - len(found)
    if not 0 < lacking < len(names) or found[:pointers] != ["ptr"] * pointers:
        return ""
    return f"; it takes {lacking} fewer than {', '.join(names)}, which are all passed, a window's axis too"


def _named(request: Request) -> list[str]:
    pointers = [f"ptr {p.name}" for p in request.parameters]
    names = request.scalar_names or tuple(str(s) for s in request.scalars)
    values = (f"{LLVM_TYPE[value.passed_type]} {value.name}" for value in request.values)
    return [*pointers, *(f"i64 {n}" for n in names), *values, "i64 id_x", "i64 id_y", "i64 id_z"]
