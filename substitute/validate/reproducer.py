"""Folder that reproduces one wrong dispatch, and is judged again by one command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..device.raw import RawModule
from ..errors import DeviceError, UsageError
from ..progress import Progress, silent
from .bundle import Bundle
from .bundle_file import load_bundle, save_bundle
from .case import Case
from .judge import STANDARD, Options
from .launch import Arrangement, Ran, run_case
from .run import judge_bundle, judge_isolated
from .verdict import DispatchVerdict

BUNDLE_NAME, TEXT_NAME, ABOUT_NAME = "case.bundle", "dispatch.mlir", "README.txt"
LONGEST_NAME = 80


def file_name(dispatch: str) -> str:
    """Return a dispatch's name as that of a folder."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", dispatch)[:LONGEST_NAME]


def write_reproducer(
    bundle: Bundle, folder: Path, *, model: str, run: bool = False, progress: Progress = silent
) -> Path:
    """Write a bundle of one dispatch as a folder: its stock IR, modules, inputs, golden, and replay instructions.

    With `run`, also what kernel and IREE's own code give for the first case on this machine.
    """
    progress(f"keep {folder.name}", None)
    folder.mkdir(parents=True, exist_ok=True)
    save_bundle(bundle, folder / BUNDLE_NAME)
    (folder / TEXT_NAME).write_text("\n".join(s.text for s in bundle.subjects))
    names = ", ".join(f"{s.name} ({s.kernel})" for s in bundle.subjects)
    about = [
        f"One dispatch of {model}: {names}",
        f"Replay: iree-substitute validate --replay {folder}",
        "",
        f"{TEXT_NAME}: the dispatch as IREE has it; {BUNDLE_NAME}: modules, inputs, golden;",
        "*.npy: operands before the launch, and each result as golden, candidate and baseline have it",
    ]
    (folder / ABOUT_NAME).write_text("\n".join(about) + "\n")
    cases = [case for subject in bundle.subjects for case in subject.cases]
    if cases:
        _write_arrays(cases[0], folder)
        if run:
            _write_runs(bundle, cases[0], folder)
    return folder


def replay(
    folder: Path, *, device: str | None, isolate: bool, progress: Progress, case: str = "", options: Options = STANDARD
) -> tuple[DispatchVerdict, ...]:
    """Judge a reproducer, or a bundle's file, again: only cases that contain the text `case`.

    Raises `UsageError` for a folder that is none.
    """
    file = folder / BUNDLE_NAME if folder.is_dir() else folder
    if not file.is_file():
        raise UsageError(
            "there is nothing to replay",
            where=str(folder),
            expected=f"a folder with {BUNDLE_NAME}, or such a file",
            found="a folder without one" if folder.is_dir() else "nothing",
            next_step="check the path",
        )
    bundle = load_bundle(file)
    judge = judge_isolated if isolate else judge_bundle
    return judge(bundle.only(case), device=device, options=options, progress=progress)


def _write_arrays(case: Case, folder: Path) -> None:
    contents = case.contents()
    for number, area in enumerate(case.areas):
        if area.access != "writeonly":
            np.save(folder / f"operand{number}.npy", area.view(case.binding(contents, area.binding)))
    for number, expected in enumerate(case.expected):
        np.save(folder / f"result{number}_golden.npy", expected.values)


def _write_runs(bundle: Bundle, case: Case, folder: Path) -> None:
    modules = [("candidate", bundle.candidate)]
    if bundle.baseline is not None and case.entry in bundle.beside:
        modules.append(("baseline", bundle.baseline))
    for name, vmfb in modules:
        try:
            with RawModule(vmfb, device=bundle.device) as module:
                (ran,) = run_case(module, case, Arrangement())
        except DeviceError:
            continue  # the verdict reports it
        for number, values in enumerate(_results(case, ran)):
            np.save(folder / f"result{number}_{name}.npy", values)


def _results(case: Case, ran: Ran) -> list[NDArray[Any]]:
    return [e.read(case.binding(ran.contents, e.area.binding)) for e in case.expected]
