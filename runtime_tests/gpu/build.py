"""The half that needs the compiler: bundles, whole models, PTX with launches, into a folder that travels."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from runtime_tests.gpu.package import Code, Index, Item, Started, Timed, WholeModel, write_index
from runtime_tests.gpu.programs import ModelProgram, Program, kernel_programs, model_programs
from runtime_tests.gpu.translated import Geometry, Text, geometries, matched
from runtime_tests.gpu.workloads import PROBLEMS, Problem
from runtime_tests.ptx_blobs.programs import BLOBS, definition, matmul
from substitute.errors import CompilerError, UsageError
from substitute.isolate import Call, isolated
from substitute.payload.symbols import sanitize
from substitute.progress import Progress
from substitute.validate.case import Launch

if TYPE_CHECKING:
    from iree.compiler import ir

    from substitute.validate.bundle import Bundle

TARGET = ("--iree-hal-target-device=cuda", "--iree-cuda-target=sm_80")
"""Target of all that IREE 3.13 generates for an A100 and for Hopper; kernels for sm_90a are added to it."""
RUNNER = "run.pyz"
"""Program that runs the folder without a checkout."""


def build(
    folder: Path,
    *,
    only: str = "",
    programs: Sequence[Program] | None = None,
    models: Sequence[ModelProgram] | None = None,
    problems: Sequence[Problem] = PROBLEMS,
    progress: Progress,
) -> Index:
    """Write the folder: everything (None: all there is) whose name contains `only`.

    Each program is built in a separate process, so that a crash of the compiler does not affect the others. Raises
    `SubstituteError`.
    """
    from substitute.validate.validation import installed_versions, now

    _make_folder(folder)
    tasks: list[tuple[Callable[..., Any], Program | ModelProgram | Problem]] = [
        *((build_item, program) for program in (kernel_programs() if programs is None else programs)),
        *((build_model, model) for model in (model_programs() if models is None else models)),
        *((build_timed, problem) for problem in problems),
    ]
    made: list[Any] = []
    wanted = [task for task in tasks if only in task[1].name]
    if not wanted:
        raise UsageError(
            "there is nothing of this name", where="--only", found=only, expected=", ".join(t.name for _, t in tasks)
        )
    for number, (function, what) in enumerate(wanted):
        progress(f"build {what.name}", number / len(wanted))
        done = isolated(Call(function, {"what": what, "folder": folder}), lambda *_: None)
        made += done if isinstance(done, tuple) else (done,)
    index = Index(
        made=now(),
        versions=installed_versions(),
        items=tuple(m for m in made if isinstance(m, Item)),
        models=tuple(m for m in made if isinstance(m, WholeModel)),
        timed=tuple(m for m in made if isinstance(m, Timed)),
    )
    write_index(index, folder)
    write_runner(folder / RUNNER)
    return index


def _make_folder(folder: Path) -> None:
    try:
        (folder / "ptx").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            "the folder cannot be made",
            where=str(folder),
            found=error.strerror or str(error),
            next_step="choose another one with --build FOLDER",
        ) from None


def build_item(what: Program, folder: Path, progress: Progress) -> Item:
    """One bundle. Raises `SubstituteError`, also where the kernel that the program is for took nothing in it."""
    item = _item(what.name, what.text.encode(), [BLOBS / k for k in what.kernels], what.flags, folder)
    wanted = f"cuda_{what.kernels[0]}"
    if wanted not in item.kernels:
        raise CompilerError(
            f"{wanted} takes no dispatch of the program for it",
            expected="one at least",
            found=", ".join(item.kernels) or "no kernel",
        )
    return item


def _item(name: str, model: Path | bytes, kernels: Sequence[Path], flags: Sequence[str], folder: Path) -> Item:
    from substitute.validate.build import build_bundle
    from substitute.validate.bundle_file import save_bundle
    from substitute.validate.subjects import Wanted
    from substitute.validate.validation import installed_versions

    modules: list[list[Geometry]] = []
    bundle, _ = build_bundle(
        model,
        device="cuda",
        kernels=kernels,
        builtin=False,
        flags=(*TARGET, *flags),
        wanted=Wanted(quick=True),
        translated=lambda module: modules.append(geometries(module)),
    )
    bundle = replace(bundle, title=name, versions=installed_versions())
    save_bundle(bundle, folder / f"{name}.bundle")
    used = tuple(dict.fromkeys(k for s in bundle.subjects if s.cases for k in s.kernel.split(", ")))
    return Item(
        name=name,
        bundle=f"{name}.bundle",
        kernels=used,
        needs="sm_90a" if name.endswith("sm90a") else "sm_80",
        started=tuple(_started(bundle, modules, folder)),
    )


def _started(bundle: Bundle, modules: Sequence[list[Geometry]], folder: Path) -> Iterator[Started]:
    """Every case of every dispatch with its code."""
    if not bundle.candidate:
        return
    candidate = _codes(bundle.candidate, modules[0], folder)
    own = _codes(bundle.baseline, modules[1], folder) if bundle.baseline is not None else []
    for subject in bundle.subjects:
        entry = sanitize(subject.name)
        for number, case in enumerate(subject.cases):
            yield Started(
                dispatch=subject.name,
                case=number,
                launch=case.launch,
                kernels=tuple(code for code in candidate if code.entry == entry),
                own=next((code for code in own if code.entry == entry), None),
            )


def _codes(vmfb: bytes, found: Sequence[Geometry], folder: Path) -> list[Code]:
    return [_code(geometry, text, folder) for geometry, text in matched(vmfb, found)]


def _code(geometry: Geometry, text: Text, folder: Path) -> Code:
    name = f"ptx/{hashlib.sha256(text.ptx.encode()).hexdigest()[:16]}.ptx"
    (folder / name).write_text(text.ptx, encoding="utf-8")
    return Code(
        file=name,
        entry=sanitize(geometry.export),
        target=text.target,
        grid=geometry.grid,
        block=geometry.block,
        shared_bytes=geometry.shared_bytes,
    )


def build_model(what: ModelProgram, folder: Path, progress: Progress) -> tuple[WholeModel, Item]:
    """A whole model, and its dispatches as a bundle. Raises `SubstituteError`."""
    from substitute.pipeline import compile_model

    name = what.name
    path, inputs, expected = what.write(folder)
    kernels = [Path("builtin:ptx_blobs")]
    result = compile_model(path, flags=TARGET, kernels=kernels, builtin=False)
    (folder / f"{name}.vmfb").write_bytes(result.vmfb)
    arrays = {f"i{i}": a for i, a in enumerate(inputs)} | {f"e{i}": a for i, a in enumerate(expected)}
    np.savez(folder / f"{name}.npz", **arrays)  # type: ignore[arg-type]
    used = tuple(dict.fromkeys(s.kernel.name for s in result.plan.substitutions))
    model = WholeModel(name=name, vmfb=f"{name}.vmfb", arrays=f"{name}.npz", kernels=used, absolute=what.absolute)
    return model, _item(f"{name}_dispatches", path, kernels, (), folder)


def build_timed(what: Problem, folder: Path, progress: Progress) -> Timed:
    """A problem at its own size: PTX and launch, no inputs. Raises `SubstituteError`."""
    from substitute.compiler import Compilation
    from substitute.frontend import plan_module, scratch_folder, worker_threads
    from substitute.progress import Clock
    from substitute.read.module import read_module
    from substitute.validate.build import isolate_kernels
    from substitute.validate.call_sites import find_call_sites
    from substitute.validate.harness import isolate_dispatches
    from substitute.validate.own_code import finish

    modules: list[list[Geometry]] = []

    def look(module: ir.Operation) -> None:
        modules.append(geometries(module))

    clock = Clock(progress)
    with worker_threads() as workers, scratch_folder() as scratch, Compilation(TARGET, name=what.name) as compilation:
        compilation.parse(problem_text(what).encode())
        compilation.run("start", "executable-sources")
        stock = compilation.module
        assert stock is not None
        (dispatch,) = [site.dispatch for site in read_module(stock)]
        key = (dispatch.executable, dispatch.variant, dispatch.name)
        (call,) = find_call_sites(stock, {key: dispatch.layout.bindings})
        assert call.launch is not None
        launch: Launch = call.launch
        ours = stock.clone().operation
        compilation.module = ours
        kernels = [BLOBS / kernel for kernel in what.kernels]
        plan, sites = plan_module(compilation, clock, kernels, builtin=False, chosen=None, require=())
        taken = {"run_0": plan.substitutions[0].dispatch} if plan.substitutions else {}
        if not taken:
            raise CompilerError(f"no kernel takes {what.name}", found=str(dispatch.name))
        isolate_kernels(ours, plan, sites, taken, clock, workers, scratch)
        del sites
        codes = _codes(finish(compilation, ours, look), modules[0], folder)
        isolate_dispatches(stock, {"run_0": dispatch})
        own = _codes(finish(compilation, stock, look), modules[1], folder)
        del ours, stock
    started = Started(dispatch=dispatch.name, kernels=tuple(codes), own=own[0] if own else None, launch=launch)
    return Timed(problem=what, started=started)


def problem_text(problem: Problem) -> str:
    """A problem as MLIR: one dispatch."""
    if problem.kind == "matmul":
        return matmul(1, problem.rows, problem.depth, problem.columns, "bf16", "bf16")
    shape = f"{problem.rows}x{problem.columns}xf32"
    if problem.kind == "softmax":
        return definition("softmax", "softmax", {"R": problem.rows, "C": problem.columns}, {"?x?xf32": shape})
    shapes = {f"?x{problem.columns}xf32": shape, "?xf32": f"{problem.rows}xf32"}
    return definition("rms_norm", f"power_{problem.columns}", {"R": problem.rows}, shapes, epsilon=1e-6)


def write_runner(path: Path) -> None:
    """Our own modules as a file that Python runs: `python run.pyz --run FOLDER`."""
    from substitute.validate.bundle_file import package_files

    here = Path(__file__).resolve().parent
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("__main__.py", "import sys\n\nfrom runtime_tests.gpu.__main__ import main\n\nsys.exit(main())\n")
        for package in ("runtime_tests", "runtime_tests/gpu"):
            file.writestr(f"{package}/__init__.py", "")  # in a zip, a folder without an `__init__.py` is no package
        for name, source in package_files():
            file.writestr(name, source)
        for source_path in sorted(here.glob("*.py")):
            if not source_path.name.startswith(("test_", "conftest")):
                file.writestr(f"runtime_tests/gpu/{source_path.name}", source_path.read_bytes())
