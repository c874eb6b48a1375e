"""`kernel.toml`: from text to a `Kernel` without its forms, or an error that says which line to change."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from ..errors import ManifestError
from ..model.accuracy import Accuracy, parse_max_error
from ..model.kernel import Kernel, Launch, OperandSpec, PayloadSpec, TargetRule
from ..model.parameter import SCALAR_TYPES
from .attached import parse_constants
from .checks import ManifestChecks, unknown_name
from .config_tests import parse_config
from .device_tests import parse_device
from .diagnostics import manifest_error, schema_diagnostics
from .entry import MANIFEST_NAME as MANIFEST_NAME
from .entry import Manifest as Manifest
from .positions import source_at
from .schema import AccuracyTable, ManifestTable
from .types import Binding, fill_in, find_wrong_type, list_names

_T = TypeVar("_T")


def read_manifest(file: Path) -> Manifest:
    """Read and check one `kernel.toml`: the manifest for the first choice of its `[types]`.

    Raises `ManifestError` that names every diagnostic.
    """
    return read_manifests(file)[0]


def read_manifests(file: Path) -> tuple[Manifest, ...]:
    """Read and check one `kernel.toml`: a manifest for each way to choose the element types of `[types]`."""
    return parse_manifests(_read_text(file), file)


def _read_text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise ManifestError(
            "the manifest cannot be read",
            where=str(file),
            expected="a readable text file",
            found=error.strerror or str(error),
            next_step="check the path and the file's permissions",
        ) from None
    except UnicodeDecodeError as error:
        raise ManifestError(
            "the manifest is not text",
            where=str(file),
            expected="UTF-8",
            found=f"byte 0x{error.object[error.start]:02x} at offset {error.start}",
            next_step="save the file as UTF-8",
        ) from None


def parse_manifest(text: str, file: Path) -> Manifest:
    """Read the text of the `kernel.toml` at `file`: the manifest for the first choice of its `[types]`."""
    return parse_manifests(text, file)[0]


def parse_manifests(text: str, file: Path) -> tuple[Manifest, ...]:
    """Read the text of the `kernel.toml` at `file`, whose folder has to hold the kernel's other files."""
    data = _parse_toml(text, file)
    try:
        table = ManifestTable.model_validate(data)
    except ValidationError as error:
        raise manifest_error(file, text, schema_diagnostics(error, data, ManifestTable)) from None
    wrong = find_wrong_type(table.types)
    if wrong is not None:
        name, at, value = wrong
        raise manifest_error(file, text, [unknown_name(("types", name, at), "type", value, sorted(SCALAR_TYPES))])
    found: list[Manifest] = []
    for name, binding in list_names(table.types, table.name):
        chosen = _with_types(table, name, binding)
        checks = ManifestChecks(chosen, file.parent)
        diagnostics = list(checks.run())
        if diagnostics:
            raise manifest_error(file, text, diagnostics)
        manifest = _manifest(chosen, file, checks)
        family = table.name if table.types else ""
        found.append(replace(manifest, kernel=replace(manifest.kernel, family=family, types=binding)))
    return tuple(found)


def _with_types(table: ManifestTable, name: str, binding: Binding) -> ManifestTable:
    """Return the table with the types in the names of its code."""
    if not binding:
        return table
    payload = table.payload.model_copy(
        update={
            "file": fill_in(table.payload.file, binding) if table.payload.file else None,
            "entry": fill_in(table.payload.entry, binding) if table.payload.entry else None,
            "objects": [fill_in(name, binding) for name in table.payload.objects],
        }
    )
    return table.model_copy(update={"name": name, "payload": payload, "summary": fill_in(table.summary, binding)})


def _parse_toml(text: str, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ManifestError(
            "not valid TOML: it is nested too deeply",
            where=str(file),
            expected="arrays and tables that are nested a few times",
            next_step="correct the brackets; TOML is explained at https://toml.io",
        ) from None
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = re.search(r" \(at line (\d+), column (\d+)\)$", message)
        source = None
        if place:
            line, column = int(place[1]), int(place[2])
            offset = sum(len(part) + 1 for part in text.split("\n")[: line - 1]) + column - 1
            source = source_at(text, min(offset, len(text)))
            message = message[: place.start()]
        raise ManifestError(
            f"not valid TOML: {message[:1].lower()}{message[1:]}",
            where=f"{file}:{source.line}" if source else str(file),
            expected="TOML, with strings in quotes",
            next_step="correct the line; TOML is explained at https://toml.io",
            source=source,
        ) from None


def _manifest(table: ManifestTable, file: Path, checks: ManifestChecks) -> Manifest:
    raw = table.abi == "raw"
    launch = table.launch
    kernel = Kernel(
        name=table.name,
        folder=file.parent,
        summary=table.summary,
        abi=table.abi,
        targets=tuple(
            TargetRule(
                backend=target.backend,
                format=target.format or "",
                architectures=tuple(target.architectures),
                features=tuple(target.features),
                config=parse_config(target.config)[0],
                config_tests=parse_config(target.config)[1],
                device=parse_device(target.device),
                variant=target.variant or "",
            )
            for target in table.target
        ),
        forms=(),
        operands=tuple(
            OperandSpec(
                name=name,
                axes=tuple(operand.axes),
                strided=operand.strided or operand.strides is not None,
                rows=operand.strides == "rows",
            )
            for name, operand in table.operands.items()
        ),
        groups=frozenset(table.groups),
        slots=frozenset(table.slots),
        constraints=checks.constraints,
        conditions=checks.conditions,
        dispatches=tuple(table.dispatches),
        kinds=tuple(table.kinds),
        payload=PayloadSpec(
            kind=checks.kind,
            path=_code_path(file.parent, table.payload.file) if table.payload.file else file,
            entry=table.payload.entry or "",
            spec_constants=tuple(sorted((int(k), v) for k, v in table.payload.spec_constants.items())),
            objects=tuple(file.parent / name for name in table.payload.objects),
        ),
        launch=Launch(
            workgroup_size=_triple(launch.workgroup_size),
            workgroup_count=_triple(launch.workgroup_count),
            shared_memory_bytes=launch.shared_memory_bytes,
            compilation_info=launch.compilation_info or "",
        ),
        priority=table.priority,
        not_repeatable=table.not_repeatable or "",
        accuracy=_accuracy(table.accuracy),
        laws=table.laws,
        keeps=frozenset(table.keeps),
        alignment=table.alignment,
        bindings=table.bindings,
        # a raw payload that reads push constants has to say how many: 0 is checked like any other number
        constants=(table.constants or 0) if raw else None,
        executable_constants=parse_constants(table.executable_constant),
        tune=tuple((name, tuple(values)) for name, values in table.tune.items()),
        license=table.license or "",
        authors=tuple(table.authors),
    )
    return Manifest(file=file, kernel=kernel, definition=checks.definition, parameters=tuple(table.parameters))


def _accuracy(table: AccuracyTable | None) -> Accuracy | None:
    parsed = parse_max_error(table.max_error) if table is not None else None
    if table is None or parsed is None:
        return None
    return Accuracy(factor=parsed[0], axis=parsed[1], relative_to=table.relative_to, reason=table.reason)


def _code_path(folder: Path, name: str) -> Path:
    """Return the path of a payload, without `..` for a file beside the folder."""
    path = folder / name
    return path.resolve() if ".." in path.parts else path


def _triple(values: list[_T] | None) -> tuple[_T, _T, _T] | None:
    return cast("tuple[_T, _T, _T]", tuple(values)) if values is not None else None
