"""Selection of the models to measure: included ones, those of model sets, and single files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from ..errors import SubstituteError, UsageError
from ..progress import Progress
from .model_set import read_model_set
from .models import BUILDERS
from .subject import Array, LeftOut, Subject, onnxruntime_session, run_onnxruntime

DYNAMIC_SIZE = 4
"""Size that replaces a dynamic one if no inputs are given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The models to measure, and those that are missing."""

    subjects: tuple[Subject, ...]
    left_out: tuple[LeftOut, ...]


def select_models(
    patterns: Sequence[str], sets: Sequence[Path], files: Mapping[str, Path], folder: Path, progress: Progress
) -> Selection:
    """Return all models whose names fit one of `patterns` (none: all). Built-in ones are written to `folder`.

    `files` replaces the files of models by name; under a new name it adds an ONNX file, with inputs drawn from a seed.
    Raises `UsageError` for a pattern that fits nothing.
    """
    subjects: list[Subject] = []
    left_out: list[LeftOut] = []
    for name, build in BUILDERS:
        if _wanted(name, patterns):
            progress(f"make {name}", None)
            try:
                subject = build(folder)
            except SubstituteError as error:
                left_out.append(LeftOut(name=name, reason=f"{error.what}; {error.next_step}"))
            else:
                subjects.append(_replaced(subject, files[name]) if name in files else subject)
    known = {name for name, _ in BUILDERS}
    for place in sets:
        found, missing = read_model_set(place, files)
        known |= {one.name for one in found} | {one.name for one in missing}
        subjects += [one for one in found if _wanted(one.name, patterns)]
        left_out += [one for one in missing if _wanted(one.name, patterns)]
    subjects += [_new(name, path) for name, path in files.items() if name not in known and _wanted(name, patterns)]
    known |= set(files)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise UsageError(
                "no model has this name",
                where="--models",
                expected="one of " + ", ".join(sorted(known)),
                found=pattern,
                next_step="* stands for any characters; --model-set DIR adds models",
            )
    return Selection(subjects=tuple(subjects), left_out=tuple(left_out))


def _wanted(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _replaced(subject: Subject, path: Path) -> Subject:
    """Return the same inputs for another file, with newly computed expected results."""
    _check_onnx(subject.name, path)
    return replace(subject, path=path, expected=run_onnxruntime(path, subject.inputs), note=f"from {path}")


def _new(name: str, path: Path) -> Subject:
    _check_onnx(name, path)
    random = np.random.default_rng(0)
    inputs = tuple(_draw(value.shape, value.type, random) for value in onnxruntime_session(path).get_inputs())
    return Subject(
        name=name,
        path=path,
        inputs=inputs,
        expected=run_onnxruntime(path, inputs),
        expected_from="onnxruntime",
        note=f"from {path}, inputs drawn from seed 0",
    )


def _check_onnx(name: str, path: Path) -> None:
    if path.suffix != ".onnx" or not path.is_file():
        raise UsageError(
            "this model cannot be measured",
            where=f"--model {name}={path}",
            expected="an ONNX file, so that onnxruntime says what is right (other files: --model-set)",
            found=path.suffix or "no suffix" if path.is_file() else "no such file",
        )


def _draw(shape: Sequence[object], kind: str, random: np.random.Generator) -> Array:
    """Return normal numbers for `tensor(float)`; 0 or 1 for integers, which may be indices into small tables."""
    sizes = tuple(size if isinstance(size, int) else DYNAMIC_SIZE for size in shape)
    types = {"float": np.float32, "float16": np.float16, "double": np.float64, "bool": np.bool_}
    element = kind.removeprefix("tensor(").removesuffix(")")
    if element in ("float", "float16", "double"):
        return random.standard_normal(sizes).astype(types[element])
    return random.integers(0, 2, sizes).astype(types.get(element) or np.dtype(element))
