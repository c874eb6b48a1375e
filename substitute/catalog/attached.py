"""Parts of a kernel besides its code: linked objects, executable constants, settings of IREE's own code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..errors import ManifestError
from ..model.constraints import parse_size
from ..model.kernel import ExecutableConstant
from ..payload.kinds import find_kind, list_kinds
from .device_tests import KEYS
from .diagnostics import Diagnostic, describe, did_you_mean
from .schema import ExecutableConstantTable, ManifestTable

OBJECT_SUFFIXES = (".o", ".a", ".bc")
LINKED: dict[str, tuple[str, ...]] = {"llvm-cpu": OBJECT_SUFFIXES, "cuda": (".bc",), "rocm": (".bc",)}
"""Object files that each backend links; the other backends take one whole shader and link nothing."""

_NO_CONSTANTS = {
    "llvm-cpu": "the loader refuses a module with executable constants (`executable requires 0 constants`)",
    "cuda": "IREE's CUDA driver drops executable constants: PTX has nothing that they could fill in",
    "rocm": "IREE's HIP driver drops executable constants",
}
"""Reaction of IREE 3.13 to executable constants in payload kinds that cannot use them."""


def attached_problems(table: ManifestTable, folder: Path, axes: Sequence[str]) -> Iterator[Diagnostic]:
    """Check `payload.objects`, `executable_constant` and the keys of `kind = "iree"`; yield a diagnostic per error."""
    yield from _payload_keys(table)
    yield from _objects(table, folder)
    yield from _constants(table, axes)
    yield from _own_code(table)


def parse_constants(tables: Sequence[ExecutableConstantTable]) -> tuple[ExecutableConstant, ...]:
    """Return the constants of tables that `attached_problems` found nothing in."""
    return tuple(_constant(table) for table in tables)


def _constant(table: ExecutableConstantTable) -> ExecutableConstant:
    category, _, key = (table.query or "").partition("::")
    return ExecutableConstant(
        name=table.name,
        value="" if table.value is None else str(table.value),
        category=category,
        key=key,
        default=table.default or 0,
    )


def _payload_keys(table: ManifestTable) -> Iterator[Diagnostic]:
    kind = find_kind(table.payload.kind)
    canonical = kind.backends if kind.canonical_backends is None else kind.canonical_backends
    for at, target in enumerate(table.target):
        if target.backend in kind.backends and target.backend not in canonical and table.abi != "raw":
            yield Diagnostic(
                path=("target", at, "backend"),
                what=f"for {target.backend} this kind is raw only",
                expected='abi = "raw": every binding as a pointer, then every push constant',
                found='abi = "canonical"',
                next_step="set abi and `bindings`",
            )
    for key in ("file", "entry"):
        value = getattr(table.payload, key)
        if not kind.has_file and value is not None:
            yield Diagnostic(
                path=("payload", key),
                what=f"`{key}` is not for a payload of kind `{kind}`",
                at_key=True,
                expected="no such key: IREE's own code stays",
                found=describe(value),
                next_step=f"remove {key}, or change payload.kind",
            )
        elif kind.has_file and value is None and (key == "file" or kind.needs_entry):
            yield Diagnostic(
                path=("payload",), what=f"the key `{key}` is missing", expected=f"`{key} = …`", missing=key
            )


def _objects(table: ManifestTable, folder: Path) -> Iterator[Diagnostic]:
    kind, objects = find_kind(table.payload.kind), table.payload.objects
    if objects and not kind.linked_suffixes:
        yield Diagnostic(
            path=("payload", "objects"),
            what=f"nothing is linked to a payload of kind `{kind}`",
            at_key=True,
            expected=_one_of(k.name for k in list_kinds() if k.linked_suffixes),
            found=f'kind = "{kind}"',
            next_step="put all code into the one file",
        )
        return
    for at, name in enumerate(objects):
        path = ("payload", "objects", at)
        suffix = Path(name).suffix
        for target in table.target:
            if suffix not in LINKED.get(target.backend, ()):
                links = ", ".join(LINKED.get(target.backend, ())) or "nothing"
                yield Diagnostic(
                    path=path,
                    what=f"{target.backend} does not link `{suffix or name}` files",
                    expected=f"{links} for {target.backend}",
                    found=describe(name),
                    next_step="give each backend a kernel with objects of its own",
                )
        if suffix in OBJECT_SUFFIXES and suffix not in kind.linked_suffixes:
            yield Diagnostic(
                path=path,
                what="bitcode comes too early for an object",
                expected=" or ".join(kind.linked_suffixes),
                found="IREE links bitcode first, and only what is needed by then",
                next_step="compile it to an object",
            )
        file = folder / name
        if not file.resolve().is_relative_to(folder.resolve()):
            yield Diagnostic(
                path=path,
                what="the file is outside the kernel's folder",
                expected=f"a path below {folder}",
                found=str(file.resolve()),
                next_step="copy the file into the kernel's folder",
            )
        elif not file.is_file():
            there = sorted(p.name for p in folder.iterdir() if p.is_file())
            yield Diagnostic(
                path=path,
                what=f"there is no file `{name}`",
                expected=f"a file {file}",
                found=", ".join(there),
                next_step=did_you_mean(name, there) or "add the file, or correct the key",
            )


def _constants(table: ManifestTable, axes: Sequence[str]) -> Iterator[Diagnostic]:
    if not table.executable_constant:
        return
    kind = find_kind(table.payload.kind)
    for target in table.target:
        if target.backend in _NO_CONSTANTS:
            yield Diagnostic(
                path=("executable_constant",),
                what=f"{target.backend} has no executable constants",
                expected='backend = "vulkan-spirv"',
                found=_NO_CONSTANTS[target.backend],
                next_step="pass sizes as arguments, or generate the code for each case",
            )
    if not kind.has_executable_constants:
        yield Diagnostic(
            path=("executable_constant",),
            what=f"a payload of kind `{kind}` cannot read constants",
            expected=", ".join(sorted(k.name for k in list_kinds() if k.has_executable_constants)),
            found=f'kind = "{kind}"',
            next_step="IREE's Vulkan code generation cannot read them either: write a shader",
        )
    names = [constant.name for constant in table.executable_constant]
    for at, constant in enumerate(table.executable_constant):
        path = ("executable_constant", at)
        if names.index(constant.name) != at:
            yield Diagnostic(
                path=(*path, "name"),
                what=f"two constants are called `{constant.name}`",
                expected="a name for each",
                found=describe(constant.name),
            )
        yield from _constant_problems(path, constant, table, axes)


def _constant_problems(
    path: tuple[str | int, ...], constant: ExecutableConstantTable, table: ManifestTable, axes: Sequence[str]
) -> Iterator[Diagnostic]:
    if (constant.value is None) == (constant.query is None):
        found = "neither" if constant.value is None else "both"
        yield Diagnostic(
            path=path,
            what="a constant has either a value or a query",
            expected="`value = …` or `query = …`",
            found=found,
            next_step='such as value = "N", or query = "vulkan.device::subgroup_size"',
        )
    if isinstance(constant.value, str):
        try:
            parse_size(constant.value, axes)
        except ManifestError as error:
            yield Diagnostic(
                path=(*path, "value"),
                what=error.what,
                expected=error.expected,
                next_step=error.next_step or "correct the expression",
                column=error.source.column - 1 if error.source else None,
            )
    if constant.query is None:
        if constant.default is not None:
            yield Diagnostic(
                path=(*path, "default"),
                what="`default` is for queries",
                expected="query = …",
                at_key=True,
                found=describe(constant.default),
                next_step="remove default",
            )
        return
    if constant.default is None:
        yield Diagnostic(
            path=path,
            what="the key `default` is missing",
            missing="default",
            expected="its value on a device that does not know the key: `default = 32`",
        )
    known = [f"{c}::{k}" for t in table.target for c, keys in KEYS.get(t.backend, {}).items() for k in keys]
    if constant.query not in known:
        yield Diagnostic(
            path=(*path, "query"),
            what="no device answers this",
            expected="one of " + ", ".join(known),
            found=describe(constant.query),
            next_step=did_you_mean(constant.query, known),
        )


def _own_code(table: ManifestTable) -> Iterator[Diagnostic]:
    launch, kind = table.launch, find_kind(table.payload.kind)
    if kind.has_file:
        if launch.compilation_info is not None:
            yield Diagnostic(
                path=("launch", "compilation_info"),
                what="`compilation_info` is for IREE's own code",
                expected='kind = "iree"',
                found=f'kind = "{kind}"',
                at_key=True,
                next_step="remove compilation_info; a rule can set the attribute by itself",
            )
        return
    if launch.workgroup_size is not None or launch.shared_memory_bytes:
        key = "workgroup_size" if launch.workgroup_size is not None else "shared_memory_bytes"
        yield Diagnostic(
            path=("launch", key),
            what=f"IREE's code generation decides the {key} of its own code",
            expected="compilation_info, whose translation_info can name a workgroup_size",
            at_key=True,
            found=key,
            next_step=f"remove {key}, or say compilation_info",
        )
    if launch.compilation_info is not None and launch.workgroup_count is not None:
        yield Diagnostic(
            path=("launch", "workgroup_count"),
            what="two ways to say how many workgroups",
            at_key=True,
            expected="either compilation_info (IREE tiles the body and counts) or workgroup_count",
            found="both",
            next_step="remove one of them",
        )
    nothing = not (table.payload.objects or launch.workgroup_count or launch.compilation_info)
    if nothing:
        yield Diagnostic(
            path=("payload", "kind"),
            what='kind = "iree" changes nothing here',
            expected="payload.objects, launch.workgroup_count or launch.compilation_info",
            found="none of them",
            next_step="add one of them, or another kind",
        )


def _one_of(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
