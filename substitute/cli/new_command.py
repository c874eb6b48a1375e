"""`iree-substitute new`."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from .flags import CompilerCommand
from .options import FILE
from .scaffold import EXAMPLE_SIZES, KINDS, ON_VULKAN, example_model, matmul_definition, scaffold
from .terminal import progress

if TYPE_CHECKING:
    from ..model.dispatch import Dispatch
    from ..scaffold.draft import Draft
    from ..scaffold.folder import NewKernel
    from ..scaffold.languages import Language

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]*")
WRITTEN = ("llvm-ir", "c", "c++", "glsl", "ptx", "cuda")
"""Kinds for which code of any definition is written, as `substitute.scaffold.languages` lists them."""
ALIASES = {"llvm": "llvm-ir"}


@click.command("new", cls=CompilerCommand)
@click.argument("folder", type=FILE)
@click.option(
    "--kind",
    type=click.Choice(tuple(dict.fromkeys((*KINDS, *WRITTEN, *ALIASES)))),
    help="LLVM IR made by Python (the default), LLVM IR as text (the default with --from and --definition), a GLSL "
    "shader, one made by Python, C, C++, PTX, or CUDA C++.",
)
@click.option("--name", metavar="NAME", help="The kernel's name; left out, the folder's.")
@click.option("--from", "model", type=FILE, metavar="MODEL", help="Write a kernel for a dispatch of this model.")
@click.option("--dispatch", metavar="NAME", help="With --from: its name, its number, or a part of its name.")
@click.option("--definition", type=FILE, metavar="FILE", help="Write a kernel for this function on tensors (MLIR).")
def command(
    folder: Path,
    kind: str | None,
    name: str | None,
    model: Path | None,
    dispatch: str | None,
    definition: Path | None,
    flags: tuple[str, ...],
) -> None:
    """Write a new kernel into FOLDER that works, to start from.

    It is a plain matrix multiplication with a small model that uses it; with --from and --dispatch it computes what
    that dispatch does, with --definition what a function says: simple code, which validates as it is.
    """
    name = name if name is not None else folder.resolve().name
    if not _NAME.fullmatch(name):
        raise UsageError(
            "this cannot be the name of a kernel",
            where="--name",
            expected="letters, digits, `_`, `-` and `.`, a letter first",
            found=name,
            next_step="choose another with --name",
        )
    _check_choice(model, dispatch, definition, flags)
    _check_free(folder)
    entry = re.sub(r"[^A-Za-z0-9_]", "_", name)
    lifted = model is not None or definition is not None
    kind = ALIASES.get(kind or "", kind or ("llvm-ir" if lifted else KINDS[0]))
    if lifted and kind not in WRITTEN:
        raise UsageError(
            f"there is no simple code of kind {kind}",
            where="--kind",
            expected=" or ".join(WRITTEN),
            found=kind,
            next_step="a generator serves many dispatches: start from `iree-substitute new FOLDER` and its example",
        )
    if model is not None:
        assert dispatch is not None
        _write_folder(folder, _from_model(model, dispatch, kind, name, entry, flags).files)
        _say_lifted(folder, name, kind, model)
    elif definition is not None:
        _write_folder(folder, _from_definition(definition, kind, name, entry).files)
        _say_lifted(folder, name, kind, None)
    else:
        _write_example(folder, kind, name, entry)


def _check_choice(model: Path | None, dispatch: str | None, definition: Path | None, flags: tuple[str, ...]) -> None:
    if model is not None and definition is not None:
        raise UsageError(
            "a kernel is written for a dispatch or for a definition",
            expected="--from MODEL --dispatch NAME, or --definition FILE",
            found="both",
            next_step="leave one out",
        )
    if (model is None) != (dispatch is None):
        raise UsageError(
            "--from and --dispatch belong together",
            expected="--from MODEL --dispatch NAME",
            found="one of them",
            next_step="`iree-substitute inspect MODEL` lists the dispatches",
        )
    if flags and model is None:
        raise UsageError(
            f"{flags[0]} has no effect without --from",
            expected="flags of IREE's compiler beside a model",
            found="no model",
            next_step="leave it out",
        )


def _from_model(model: Path, text: str, kind: str, name: str, entry: str, flags: tuple[str, ...]) -> NewKernel:
    """Return a kernel for a dispatch of a model that takes it. Raises `UsageError`."""
    from ..flags import add_target
    from ..inspection import inspect_model
    from ..report.rows import find_dispatch
    from ..scaffold.draft import NotExpressible
    from ..scaffold.languages import find_language
    from ..scaffold.lift import lift

    language = find_language(kind)
    device = {"vulkan-spirv": "vulkan", "cuda": "cuda"}.get(language.backend, "local")
    flags = add_target(flags, device=device).flags if flags else tuple(language.flags.split())
    with progress() as report:
        plan = inspect_model(model, builtin=False, flags=flags, isolate=True, progress=report)
    dispatch = find_dispatch(plan, text)
    if dispatch.target.backend != language.backend:
        raise UsageError(
            f"code of kind {kind} cannot take this dispatch",
            where=dispatch.name,
            expected=f"a model compiled for {language.backend}",
            found=dispatch.target.backend,
            next_step="choose another --kind, or other flags of the compiler",
        )
    if dispatch.program is None:
        raise _not_expressible(dispatch, kind, dispatch.reason)
    try:
        draft = lift(dispatch.program, entry)
        return _write(draft, language, name, entry, origin=f"Lifted from {dispatch.name} of {model.name}", of=dispatch)
    except NotExpressible as error:
        raise _not_expressible(dispatch, kind, str(error)) from None


def _write(
    draft: Draft, language: Language, name: str, entry: str, *, origin: str, of: Dispatch | None = None
) -> NewKernel:
    """Return a kernel whose code can be built and that takes its dispatch. Raises `NotExpressible`."""
    from ..scaffold.folder import check_against, write_kernel

    summary = f"{origin}: simple code"
    new = write_kernel(draft, language, name=name, entry=entry, summary=summary, origin=origin)
    if of is not None:
        check_against(new, of)
    return new


def _not_expressible(dispatch: Dispatch, kind: str, reason: str) -> UsageError:
    return UsageError(
        "this dispatch cannot be made a kernel",
        where=dispatch.name,
        expected=f"a computation that a definition and simple code of kind {kind} can express",
        found=reason,
        next_step="another --kind may do; docs/kernels.md says what a definition can express, and a kernel of kind "
        '`rule` or with `abi = "raw"` takes any dispatch',
    )


def _from_definition(file: Path, kind: str, name: str, entry: str) -> NewKernel:
    """Return a kernel for a person's definition. Raises `SubstituteError`."""
    from ..scaffold.draft import NotExpressible
    from ..scaffold.infer import infer_operands
    from ..scaffold.languages import find_language

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "the definition cannot be read",
            where=str(file),
            expected="MLIR as UTF-8 text",
            found=str(error),
            next_step="check the path that follows --definition",
        ) from None
    try:
        draft = infer_operands(file, text)
        return _write(draft, find_language(kind), name, entry, origin=f"Written for {file.name}")
    except NotExpressible as error:
        raise UsageError(
            "no simple code can be written for this definition",
            where=str(file),
            expected=f"a computation that code of kind {kind} can express",
            found=str(error),
            next_step="another --kind may do; `iree-substitute new FOLDER` writes an example to start from",
        ) from None


def _say_lifted(folder: Path, name: str, kind: str, model: Path | None) -> None:
    from ..scaffold.languages import find_language

    language = find_language(kind)
    device = "" if language.device == "local-task" else f" --device={language.device}"
    click.echo(f"wrote {', '.join(str(file) for file in sorted(folder.iterdir()))}")
    click.echo("try it:")
    click.echo(
        f"  iree-substitute validate {folder} --quick{device}   # at drawn sizes; `pytest {folder}` does the same"
    )
    if model is not None:
        click.echo(
            f"  iree-substitute validate {model} --kernels {folder} --no-builtin{device}   # as the model runs it"
        )
        click.echo(
            f"  iree-substitute compile {model} -o model.vmfb --kernels {folder} --require {name}{language.flags}"
        )


def _write_example(folder: Path, kind: str, name: str, entry: str) -> None:
    """Write a matrix multiplication and a model that uses it."""
    from ..model.kernel import OperandSpec
    from ..scaffold.draft import Draft

    if kind in KINDS:
        files = dict(scaffold(kind, name, entry=entry))
        on_vulkan = kind in ON_VULKAN
        device, flags = ("vulkan", " --iree-hal-target-device=vulkan") if on_vulkan else ("local-task", "")
    else:
        from ..scaffold.languages import find_language

        language = find_language(kind)
        operands = tuple(
            OperandSpec(name=n, axes=axes) for n, axes in (("a", ("M", "K")), ("b", ("K", "N")), ("c", ("M", "N")))
        )
        draft = Draft(text=matmul_definition(entry), operands=operands)
        files = {**_write(draft, language, name, entry, origin="Matrix multiplication in f32").files}
        files["example.mlir"] = example_model()
        device, flags = language.device, language.flags
    _write_folder(folder, files)
    m, k, n = EXAMPLE_SIZES
    example = folder / "example.mlir"
    click.echo(f"wrote {', '.join(str(folder / file) for file in files)}")
    click.echo("try it:")
    click.echo(f"  iree-substitute compile {example} -o example.vmfb --kernels {folder} --require {name}{flags}")
    click.echo(f"  iree-substitute run example.vmfb --device={device} --input={m}x{k}xf32=1 --input={k}x{n}xf32=1")


def _check_free(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            "there is something already",
            where=str(folder),
            expected="a new or an empty folder",
            found="a folder with files in it" if folder.is_dir() else "a file",
            next_step="choose another name",
        )


def _write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """All files or none."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise _not_writable(folder, error) from None
    try:
        for file, text in files.items():
            (partial / file).write_text(text, encoding="utf-8")
        mask = os.umask(0)
        os.umask(mask)
        partial.chmod(0o777 & ~mask)
        partial.replace(folder)
    except OSError as error:
        raise _not_writable(folder, error) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _not_writable(folder: Path, error: OSError) -> UsageError:
    return UsageError(
        "the folder cannot be written",
        where=str(folder),
        expected="a place that can be written to",
        found=error.strerror or str(error),
        next_step="choose another place",
    )
