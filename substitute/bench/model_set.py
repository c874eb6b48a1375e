"""Models on disk: a folder with an `index.json` that names files, inputs and expected outputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from .subject import LeftOut, Subject

INDEX = "index.json"
SUFFIXES = (".onnx", ".mlir", ".mlirbc")


def read_model_set(folder: Path, overrides: Mapping[str, Path]) -> tuple[list[Subject], list[LeftOut]]:
    """Return the models of a folder, each called `FOLDER/NAME`, and those whose files are missing.

    `index.json` maps a name to `files` (several are forms of one model: the first is called `NAME`, the others
    `NAME:STEM`), `inputs` and `expected` (each `{"file": …}`) and `expected_from`. `overrides` has other files, by the
    model's whole name. Raises `UsageError`.
    """
    index = _read_index(folder)
    subjects: list[Subject] = []
    left_out: list[LeftOut] = []
    for name, entry in index.items():
        full = f"{folder.resolve().name}/{name}"
        try:
            found = _subjects(full, folder / name, entry, overrides.get(full))
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise UsageError(
                "an entry of the model set cannot be read",
                where=f"{folder / INDEX}: {name}",
                expected='{"files": […], "inputs": [{"file": …}], "expected": [{"file": …}], "expected_from": …}',
                found=f"{type(error).__name__}: {error}",
                next_step="correct the entry",
            ) from error
        subjects += [one for one in found if isinstance(one, Subject)]
        left_out += [one for one in found if isinstance(one, LeftOut)]
    return subjects, left_out


def _read_index(folder: Path) -> dict[str, Any]:
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            "not a set of models",
            where=str(folder / INDEX),
            expected="JSON: {NAME: {files, inputs, expected}, …}",
            found=str(error),
            next_step="check the path that follows --model-set",
        ) from error
    if not isinstance(index, dict):
        raise UsageError(
            "not a set of models",
            where=str(folder / INDEX),
            expected="JSON: {NAME: {files, inputs, expected}, …}",
            found=type(index).__name__,
        )
    return index


def _subjects(name: str, folder: Path, entry: Mapping[str, Any], override: Path | None) -> list[Subject | LeftOut]:
    files = [override] if override else [folder / file for file in entry["files"] if file.endswith(SUFFIXES)]
    if not files:
        how = entry.get("make", "its entry names none")
        return [LeftOut(name=name, reason=f"it has no model file ({how}); --model {name}=FILE gives one")]
    inputs, expected = (
        tuple(np.load(folder / value["file"], allow_pickle=False) for value in entry[key])
        for key in ("inputs", "expected")
    )
    origin, note = str(entry.get("expected_from", "the model set")), str(entry.get("weights", ""))
    found: list[Subject | LeftOut] = []
    for file in files:
        own = name if file == files[0] else f"{name}:{file.stem}"
        if file.is_file():
            found.append(
                Subject(name=own, path=file, inputs=inputs, expected=expected, expected_from=origin, note=note)
            )
        else:
            found.append(LeftOut(name=own, reason=f"{file} is not there"))
    return found
