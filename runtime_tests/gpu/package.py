"""Folder that the half with the compiler writes and the half with the device reads, with an index in JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runtime_tests.gpu.workloads import Problem
from substitute.errors import UsageError
from substitute.validate.case import BindingRange, Launch

SCHEMA = 1
INDEX = "index.json"
Triple = tuple[int, int, int]
Capability = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """An entry of PTX as IREE's CUDA driver starts it."""

    file: str
    """The PTX, a file of the folder."""
    entry: str
    target: str
    """Target of the PTX, such as `sm_90a`."""
    grid: Triple
    block: Triple
    shared_bytes: int
    """Dynamic shared memory."""

    def runs_on(self, capability: Capability) -> bool:
        """Return True if the PTX runs: plain PTX on its target and all later devices; that for `sm_90a` only on 9.0."""
        number = int(self.target.removeprefix("sm_").rstrip("af"))
        wanted = (number // 10, number % 10)
        return capability == wanted if self.target[-1].isalpha() else capability >= wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """One dispatch with one launch, and all code that could serve it."""

    dispatch: str
    """The export's symbol."""
    kernels: tuple[Code, ...]
    """Codes of the module with the kernels, in the order in which IREE queries the device."""
    own: Code | None
    """IREE's own, for sm_80; None where it has none."""
    launch: Launch
    case: int = 0
    """Number of the dispatch's case in the bundle."""

    def chosen(self, capability: Capability) -> Code | None:
        """The code that IREE takes on such a device."""
        return next((code for code in self.kernels if code.runs_on(capability)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A bundle, with the launches of its cases."""

    name: str
    bundle: str
    """A file of the folder."""
    kernels: tuple[str, ...]
    """The names of the kernels in it."""
    needs: str
    """The target without which its kernel is not used, such as `sm_90a`."""
    started: tuple[Started, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeModel:
    """A model with kernels in it, with inputs and what has to come out."""

    name: str
    vmfb: str
    arrays: str
    """Inputs `i0`, …, and expected results `e0`, …, in a file of NumPy's."""
    kernels: tuple[str, ...]
    absolute: float
    """Largest allowed absolute error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """A problem, compiled at its own size."""

    problem: Problem
    started: Started


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """All of it."""

    made: str
    """ISO 8601, UTC."""
    versions: dict[str, str]
    """Versions of the packages that built it."""
    items: tuple[Item, ...]
    models: tuple[WholeModel, ...]
    timed: tuple[Timed, ...]


def write_index(index: Index, folder: Path) -> None:
    """Write the index next to the files that it names."""
    text = json.dumps({"schema": SCHEMA, **asdict(index)}, indent=1)
    (folder / INDEX).write_text(text + "\n", encoding="utf-8")


def read_index(folder: Path) -> Index:
    """Reads what `write_index` wrote. Raises `UsageError`."""
    path = folder / INDEX
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("schema") != SCHEMA:
            raise UsageError(
                "the folder is of another version",
                where=str(path),
                expected=f"schema {SCHEMA}",
                next_step="build it anew with this version: python -m runtime_tests.gpu --build FOLDER",
            )
        index = _index(data)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            "this is no folder of `--build`",
            where=str(path),
            expected=f"a folder with {INDEX}",
            found=f"{type(error).__name__}: {error}",
            next_step="python -m runtime_tests.gpu --build FOLDER",
        ) from None
    for name in sorted(set(_files(index))):
        if Path(name).is_absolute() or ".." in Path(name).parts or not (folder / name).is_file():
            raise UsageError(
                "a file of the folder is missing",
                where=str(folder),
                expected=name,
                found="no such file in it",
                next_step="copy the whole folder, or build it anew",
            )
    return index


def _files(index: Index) -> Iterator[str]:
    for started in (*(s for item in index.items for s in item.started), *(t.started for t in index.timed)):
        yield from (code.file for code in started.kernels)
        if started.own is not None:
            yield started.own.file
    yield from (item.bundle for item in index.items)
    for model in index.models:
        yield from (model.vmfb, model.arrays)


def _index(data: dict[str, Any]) -> Index:
    items = tuple(
        Item(**{**i, "kernels": tuple(i["kernels"]), "started": tuple(map(_started, i["started"]))})
        for i in data["items"]
    )
    models = tuple(WholeModel(**{**m, "kernels": tuple(m["kernels"])}) for m in data["models"])
    timed = tuple(Timed(problem=_problem(t["problem"]), started=_started(t["started"])) for t in data["timed"])
    return Index(made=data["made"], versions=data["versions"], items=items, models=models, timed=timed)


def _started(data: dict[str, Any]) -> Started:
    launch = data["launch"]
    return Started(
        dispatch=data["dispatch"],
        case=data["case"],
        kernels=tuple(map(_code, data["kernels"])),
        own=None if data["own"] is None else _code(data["own"]),
        launch=Launch(
            bindings=tuple(BindingRange(**b) for b in launch["bindings"]),
            constants=tuple(launch["constants"]),
            workload=tuple(launch["workload"]),
        ),
    )


def _problem(data: dict[str, Any]) -> Problem:
    return Problem(**{**data, "kernels": tuple(data["kernels"])})


def _code(data: dict[str, Any]) -> Code:
    return Code(**{**data, "grid": tuple(data["grid"]), "block": tuple(data["block"])})
