"""Checks of a `kernel.toml` that span several keys, or a key and the kernel's folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import ManifestError
from ..model.accuracy import EXAMPLE, parse_max_error
from ..model.conditions import FUNCTIONS, parse_condition
from ..model.constraints import RESERVED, parse_constraint, parse_size
from ..model.kernel import Condition, Constraint
from ..model.payload_kind import PayloadKind
from ..model.target import BACKENDS
from ..payload.kinds import find_kind, list_kinds
from .attached import attached_problems
from .config_tests import config_problems
from .device_tests import device_problems, variant_problems
from .diagnostics import Diagnostic, describe, did_you_mean
from .entry import MANIFEST_NAME
from .schema import ENTRY, PATTERNS, ManifestTable


@dataclass(slots=True)
class ManifestChecks:
    """Checks that span several keys, or a key and the folder. `run` yields a diagnostic per error."""

    table: ManifestTable
    folder: Path
    constraints: tuple[Constraint, ...] = ()
    conditions: tuple[Condition, ...] = ()
    definition: Path | None = None

    @property
    def kind(self) -> PayloadKind:
        return find_kind(self.table.payload.kind)

    @property
    def axes(self) -> list[str]:
        return sorted({axis for operand in self.table.operands.values() for axis in operand.axes})

    def run(self) -> Iterator[Diagnostic]:
        yield from self._targets()
        yield from self._names()
        yield from self._expressions()
        yield from self._abi()
        yield from self._files()
        yield from self._launch()
        yield from attached_problems(self.table, self.folder, self.axes)

    def _targets(self) -> Iterator[Diagnostic]:
        allowed = self.kind.backends
        for at, target in enumerate(self.table.target):
            path = ("target", at, "backend")
            if target.backend not in BACKENDS:
                yield Diagnostic(
                    path=path,
                    what="not a backend of IREE",
                    expected="one of " + ", ".join(BACKENDS),
                    found=describe(target.backend),
                    next_step=did_you_mean(target.backend, BACKENDS),
                )
            elif target.backend not in allowed:
                kind = self.table.payload.kind
                yield Diagnostic(
                    path=path,
                    what=f"this backend cannot take a payload of kind `{kind}`",
                    expected=" or ".join(allowed),
                    found=target.backend,
                    next_step="change the backend, or payload.kind",
                )
            yield from config_problems(("target", at, "config"), target.config)
            yield from device_problems(("target", at, "device"), target.backend, target.device)
            yield from variant_problems(("target", at, "variant"), target)

    def _names(self) -> Iterator[Diagnostic]:
        table, axes = self.table, self.axes
        for name, operand in table.operands.items():
            for axis in sorted(RESERVED.intersection(operand.axes)):
                yield Diagnostic(
                    path=("operands", name),
                    what=f"`{axis}` cannot be the name of an axis",
                    expected="a word that the constraint language does not use",
                    found=axis,
                    next_step="rename the axis",
                )
        taken = {**dict.fromkeys(axes, "an axis"), **dict.fromkeys(table.operands, "an operand")}
        taken |= dict.fromkeys((*FUNCTIONS, *RESERVED), "a word of the conditions")
        for name in table.parameters:
            if name in taken:
                yield Diagnostic(
                    path=("parameters", name),
                    what=f"`{name}` is {taken[name]} already",
                    expected="a name of its own, here and in the definition",
                    found=name,
                    at_key=True,
                    next_step="rename the parameter",
                )
        for at, group in enumerate(table.groups):
            if group not in axes:
                yield unknown_name(("groups", at), "axis", group, axes)
        for at, pattern in enumerate(table.dispatches):
            try:
                re.compile(pattern)
            except re.error as error:
                yield Diagnostic(
                    path=("dispatches", at),
                    what=f"not a regular expression: {error.msg}",
                    expected="Python's regular expressions",
                    found=describe(pattern),
                    column=error.pos,
                    next_step="escape characters that stand for themselves with a backslash",
                )
        known = [*axes, *table.parameters, *(f"offset.{name}" for name in table.operands)]
        for ordinal, value in table.payload.spec_constants.items():
            if value not in known:
                yield unknown_name(("payload", "spec_constants", ordinal), "axis, parameter or offset", value, known)
        if table.payload.entry is not None and "{" in table.payload.entry:
            yield Diagnostic(
                path=("payload", "entry"),
                what="a name in braces is no variable of [types]",
                expected=PATTERNS[ENTRY] + ", with `{T}` for a type",
                found=describe(table.payload.entry),
                next_step="add the variable to [types], or remove the braces",
            )
        if table.tune and not self.kind.sees_dispatch:
            yield Diagnostic(
                path=("tune",),
                what="only a generator has parameters to tune",
                expected='kind = "llvm-generator" or another generator',
                found=f'kind = "{table.payload.kind}"',
                at_key=True,
                next_step="remove the table [tune]",
            )
        if table.payload.spec_constants and not self.kind.has_spec_constants:
            yield Diagnostic(
                path=("payload", "spec_constants"),
                what="only SPIR-V has specialization constants",
                expected='kind = "spirv"',
                found=f'kind = "{table.payload.kind}"',
                at_key=True,
                next_step="remove spec_constants",
            )

    def _expressions(self) -> Iterator[Diagnostic]:
        parsed: list[Constraint] = []
        for at, text in enumerate(self.table.constraints):
            try:
                parsed.append(parse_constraint(text, self.axes))
            except ManifestError as error:
                yield _expression_problem(("constraints", at), error)
        self.constraints = tuple(parsed)
        conditions: list[Condition] = []
        for name, parameter in self.table.parameters.items():
            for at, text in enumerate(parameter.conditions):
                try:
                    conditions.append(parse_condition(text, [*self.axes, *self.table.parameters]))
                except ManifestError as error:
                    yield _expression_problem(("parameters", name, "conditions", at), error)
        self.conditions = tuple(conditions)
        yield from self._accuracy()
        for at, text in enumerate(self.table.launch.workgroup_count or ()):
            try:
                parse_size(text, self.axes)
            except ManifestError as error:
                yield _expression_problem(("launch", "workgroup_count", at), error)

    def _accuracy(self) -> Iterator[Diagnostic]:
        if self.table.accuracy is None:
            return
        path, text = ("accuracy", "max_error"), self.table.accuracy.max_error
        parsed = parse_max_error(text)
        if parsed is None:
            yield Diagnostic(
                path=path,
                what="not a bound of errors",
                expected=f"a number of at least 1 times γ, such as {EXAMPLE} for a sum over an axis K, or 4·γ",
                found=describe(text),
                next_step="write the multiple of γ that the algorithm's error analysis gives",
            )
        elif parsed[1] and parsed[1] not in self.axes:
            yield unknown_name(path, "axis", parsed[1], self.axes)

    def _abi(self) -> Iterator[Diagnostic]:
        table = self.table
        allowed = self.kind.slots
        for at, slot in enumerate(table.slots):
            if table.abi == "canonical" and slot not in allowed:
                yield Diagnostic(
                    path=("slots", at),
                    what=f"a payload of kind `{table.payload.kind}` has no {slot}",
                    expected=" or ".join(k.name for k in list_kinds() if slot in k.slots),
                    found=f'kind = "{table.payload.kind}"',
                    next_step=f'remove "{slot}": fused work would be lost',
                )
        if table.abi == "raw" and not self.kind.has_raw_abi:
            yield Diagnostic(
                path=("abi",),
                what=f"a payload of kind `{table.payload.kind}` has no raw form",
                expected='abi = "canonical"',
                found='abi = "raw"',
                next_step="remove abi",
            )
        if table.abi == "raw":
            if table.bindings is None:
                yield Diagnostic(
                    path=(),
                    what="the key `bindings` is missing",
                    expected='with abi = "raw", how many bindings the payload expects: `bindings = 3`',
                    next_step="add `bindings` (and `constants`, for push constants)",
                )
            if table.slots:
                yield Diagnostic(
                    path=("slots",),
                    what="a raw kernel has no slots",
                    expected='abi = "canonical"',
                    found='abi = "raw"',
                    next_step="remove slots, or abi",
                )
            return
        for name, operand in table.operands.items():
            if operand.strided and operand.strides == "rows":
                yield Diagnostic(
                    path=("operands", name, "strides"),
                    what=f"`strided` and `strides` of {name} contradict each other",
                    expected='strides = "rows" alone',
                    found='strided = true, strides = "rows"',
                    at_key=True,
                    next_step="remove strided",
                )
            if (operand.strided or operand.strides) and self.kind.strides == "none":
                key = "strided" if operand.strided else "strides"
                yield Diagnostic(
                    path=("operands", name, key),
                    what=f"a payload of kind `{table.payload.kind}` is not told any strides",
                    expected="row-major operands without gaps",
                    found=f"{key} of {name}",
                    at_key=True,
                    next_step=f"remove {key}, or write the kernel as glsl",
                )
        for key in ("bindings", "constants"):
            if getattr(table, key) is not None:
                yield Diagnostic(
                    path=(key,),
                    what=f"`{key}` is for raw kernels only",
                    expected='abi = "raw"',
                    found='abi = "canonical"',
                    next_step=f"remove {key}, or set abi",
                    at_key=True,
                )

    def _files(self) -> Iterator[Diagnostic]:
        table = self.table
        if table.payload.file is not None:
            # code may be shared by kernels in folders beside each other, as a definition may
            yield from self._inside(("payload", "file"), table.payload.file, required=True)
        path = ("definition", "file")
        # a rule looks at the dispatch by itself
        selective = bool(table.dispatches or table.kinds) or self.kind.selects_by_code
        general = table.abi == "raw" or self.kind.sees_dispatch
        optional = selective and general and "definition" not in table.model_fields_set
        # a definition may be shared with the kernel in the next folder, which is for another target
        diagnostics = list(self._inside(path, table.definition.file, required=not optional))
        yield from diagnostics
        file = self.folder / table.definition.file
        if diagnostics or (optional and not os.path.isfile(file)):
            return
        self.definition = file
        if not table.operands:
            yield Diagnostic(
                path=(),
                what="the table [operands] is missing",
                expected="one line for each argument and result of the definition, in order",
                found=f"no operands, but {table.definition.file}",
                next_step='add [operands] with lines such as a = ["M", "K"]',
            )

    def _inside(self, path: tuple[str, ...], name: str, *, required: bool) -> Iterator[Diagnostic]:
        root, file = self.folder.parent, self.folder / name
        # a plain name that is no link cannot lead out, and resolving 500 kernels' paths takes longer than parsing them
        plain = "/" not in name and os.sep not in name and name != ".." and not os.path.islink(file)
        if not plain and not file.resolve().is_relative_to(root.resolve()):
            yield Diagnostic(
                path=path,
                what="the file is outside the kernel's folder and those beside it",
                expected=f"a path below {root}",
                found=str(file.resolve()),
                next_step="copy the file into the kernel's folder",
            )
        elif required and not os.path.isfile(file):
            there = sorted(p.name for p in self.folder.iterdir() if p.is_file() and p.name != MANIFEST_NAME)
            yield Diagnostic(
                path=path,
                what=f"there is no file `{name}`",
                expected=f"a file {file}",
                found=", ".join(there) or "no other file in the folder",
                next_step=did_you_mean(name, there) or "add the file, or correct the key",
            )

    def _launch(self) -> Iterator[Diagnostic]:
        table = self.table
        if self.kind.rewrites_body:
            for key in sorted(table.launch.model_fields_set - {"compilation_info"}):
                yield Diagnostic(
                    path=("launch", key),
                    what="IREE compiles this body, and decides its launch geometry",
                    at_key=True,
                    expected="no such key",
                    found=f'{key} with kind = "{table.payload.kind}"',
                    next_step=f"remove {key}; a rule can set a compilation_info on the operations that it makes",
                )
        if self.kind.launch != "manifest":
            return
        missing = [("workgroup_count", '["ceildiv(N, 64)", "1", "1"]')] * (table.launch.workgroup_count is None)
        sized = any(target.backend in self.kind.sized_backends for target in table.target)
        if sized and table.launch.workgroup_size is None:
            missing.append(("workgroup_size", "[64, 1, 1]"))
        for key, example in missing:
            yield Diagnostic(
                path=("launch",),
                what=f"the key `{key}` is missing",
                expected=f"for a payload of kind `{table.payload.kind}`, three values such as {key} = {example}",
                next_step=f"add {key} to the table [launch]",
            )


def _expression_problem(path: tuple[str | int, ...], error: ManifestError) -> Diagnostic:
    column = error.source.column - 1 if error.source else None
    step = error.next_step or "correct the expression"
    return Diagnostic(path=path, what=error.what, expected=error.expected, next_step=step, column=column)


def unknown_name(path: tuple[str | int, ...], noun: str, name: str, known: Iterable[str]) -> Diagnostic:
    """Return the diagnostic for a name that is none of the known ones; `noun` says of what, such as "axis"."""
    names = list(known)
    return Diagnostic(
        path=path,
        what=f"unknown {noun} `{name}`",
        expected="one of " + ", ".join(names) if names else "no value",
        found=describe(name),
        next_step=did_you_mean(name, names) or "axes are named in the table [operands]",
    )
