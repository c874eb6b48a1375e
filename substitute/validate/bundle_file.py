"""Bundles as files: a zip with JSON, the modules and the arrays; reading one executes nothing."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..json_text import parse_json
from .bundle import Bundle, Subject
from .case import Area, BindingRange, Case, Expected, Filled, Launch

FORMAT = 1
_UNREADABLE = (
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    KeyError,
    AttributeError,
    ValueError,
    TypeError,
    MemoryError,
    RuntimeError,  # an encrypted file, or a compression that Python does not know
)
"""What reading a damaged zip file or array raises."""
_MAIN = """import sys

from substitute.validate.run_bundle import main

sys.exit(main([sys.argv[0], *sys.argv[1:]]))
"""
_TEXT, _ARRAYS, _CANDIDATE, _BASELINE = "bundle.json", "arrays.npz", "candidate.vmfb", "baseline.vmfb"


def save_bundle(bundle: Bundle, path: Path, *, runnable: bool = False) -> None:
    """Writes a bundle. If `runnable`, Python runs the file itself where only iree-base-runtime and NumPy are."""
    arrays = _Arrays()
    text = {
        "title": bundle.title,
        "seed": bundle.seed,
        "versions": bundle.versions,
        "format": FORMAT,
        "device": bundle.device,
        "beside": sorted(bundle.beside),
        "missing_baseline": bundle.missing_baseline,
        "seconds": bundle.seconds,
        "subjects": [_subject(subject, arrays) for subject in bundle.subjects],
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr(_TEXT, json.dumps(text))
        file.writestr(_CANDIDATE, bundle.candidate)
        if bundle.baseline is not None:
            file.writestr(_BASELINE, bundle.baseline)
        file.writestr(_ARRAYS, arrays.written())
        if runnable:
            file.writestr("__main__.py", _MAIN)
            for name, source in package_files():
                file.writestr(name, source)


def load_bundle(path: Path) -> Bundle:
    """Reads what `save_bundle` wrote. Raises `UsageError`."""
    try:
        with zipfile.ZipFile(path) as file:
            text = parse_json(file.read(_TEXT))
            if text["format"] != FORMAT:
                raise UsageError(
                    "the bundle is of another version",
                    where=str(path),
                    expected=str(FORMAT),
                    found=str(text["format"]),
                    next_step="make it anew with this version",
                )
            with np.load(io.BytesIO(file.read(_ARRAYS)), allow_pickle=False) as loaded:
                arrays = {name: loaded[name] for name in loaded.files}
            return Bundle(
                device=text["device"],
                candidate=file.read(_CANDIDATE),
                baseline=file.read(_BASELINE) if _BASELINE in file.namelist() else None,
                beside=frozenset(text["beside"]),
                subjects=tuple(_read_subject(s, arrays) for s in text["subjects"]),
                missing_baseline=text["missing_baseline"],
                seconds=text["seconds"],
                title=text["title"],
                seed=text["seed"],
                versions=text["versions"],
            )
    except _UNREADABLE as error:
        raise UsageError(
            "the bundle cannot be read",
            where=str(path),
            expected="a file that `iree-substitute validate` wrote",
            found=f"{type(error).__name__}: {error}",
            next_step="check the path, or make it anew",
        ) from None


def package_files() -> Iterator[tuple[str, bytes]]:
    """Our own modules, with their names in the file."""
    root = Path(__file__).resolve().parent.parent
    for path in sorted(root.rglob("*")):
        if path.suffix in (".py", ".j2", ".css", ".js") and "__pycache__" not in path.parts:
            yield str(Path(root.name, path.relative_to(root))), path.read_bytes()


class _Arrays:
    """The arrays of a bundle, each under a unique name."""

    def __init__(self) -> None:
        self._found: dict[str, NDArray[Any]] = {}

    def add(self, array: NDArray[Any]) -> str:
        """Keeps an array; its name."""
        name = f"a{len(self._found)}"
        self._found[name] = np.ascontiguousarray(array).reshape(np.shape(array))
        return name

    def written(self) -> bytes:
        """All of them, as an npz file."""
        stream = io.BytesIO()
        np.savez(stream, **self._found)  # type: ignore[arg-type]
        return stream.getvalue()


def _subject(subject: Subject, arrays: _Arrays) -> dict[str, Any]:
    subject = replace(subject, code="", turned=False)  # the module of other orders is not kept
    plain = {f.name: getattr(subject, f.name) for f in fields(subject) if f.name != "cases"}
    return {**plain, "cases": [_case(case, arrays) for case in subject.cases]}


def _case(case: Case, arrays: _Arrays) -> dict[str, Any]:
    special = ("launch", "areas", "filled", "expected")
    return {
        **{f.name: getattr(case, f.name) for f in fields(case) if f.name not in special},
        "launch": {
            "bindings": [_plain(b) for b in case.launch.bindings],
            "constants": case.launch.constants,
            "workload": case.launch.workload,
        },
        "areas": [_plain(area) for area in case.areas],
        "filled": [{"resource": f.resource, "start": f.start, "data": arrays.add(f.data)} for f in case.filled],
        "expected": [
            {
                "area": _plain(e.area),
                "offsets": e.offsets,
                "sizes": e.sizes,
                "strides": e.strides,
                "depth": e.depth,
                "coordinates": None if e.coordinates is None else [arrays.add(c) for c in e.coordinates],
                "values": arrays.add(e.values),
                "allowed": arrays.add(e.allowed),
            }
            for e in case.expected
        ],
    }


def _plain(value: Area | BindingRange) -> dict[str, Any]:
    return {f.name: getattr(value, f.name) for f in fields(value)}


def _read_subject(text: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Subject:
    return Subject(
        **{k: v for k, v in text.items() if k not in ("cases", "notes")},
        notes=tuple(text["notes"]),
        cases=tuple(_read_case(case, arrays) for case in text["cases"]),
    )


def _read_case(text: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Case:
    launch = text["launch"]
    special = ("launch", "areas", "filled", "expected", "sizes", "written")
    return Case(
        **{k: v for k, v in text.items() if k not in special},
        launch=Launch(
            bindings=tuple(BindingRange(**b) for b in launch["bindings"]),
            constants=tuple(launch["constants"]),
            workload=tuple(launch["workload"]),
        ),
        areas=tuple(_read_area(area) for area in text["areas"]),
        sizes=tuple(text["sizes"]),
        filled=tuple(Filled(resource=f["resource"], start=f["start"], data=arrays[f["data"]]) for f in text["filled"]),
        written=tuple((resource, start, stop) for resource, start, stop in text["written"]),
        expected=tuple(_read_expected(e, arrays) for e in text["expected"]),
    )


def _read_expected(text: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Expected:
    coordinates = text["coordinates"]
    return Expected(
        area=_read_area(text["area"]),
        offsets=tuple(text["offsets"]),
        sizes=tuple(text["sizes"]),
        strides=tuple(text["strides"]),
        coordinates=None if coordinates is None else tuple(arrays[c] for c in coordinates),
        values=arrays[text["values"]],
        allowed=arrays[text["allowed"]],
        depth=text["depth"],
    )


def _read_area(text: dict[str, Any]) -> Area:
    return Area(**{**text, "shape": tuple(text["shape"])})
