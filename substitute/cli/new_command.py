"""`iree-substitute new`."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click

from ..errors import UsageError
from .options import FILE
from .scaffold import EXAMPLE_SIZES, KINDS, ON_VULKAN, scaffold

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]*")


@click.command("new")
@click.argument("folder", type=FILE)
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    default=KINDS[0],
    show_default=True,
    help="LLVM IR made by Python, LLVM IR as text, a GLSL shader, or one made by Python.",
)
@click.option("--name", metavar="NAME", help="The kernel's name; left out, the folder's.")
def command(folder: Path, kind: str, name: str | None) -> None:
    """Write a new kernel into FOLDER that works, to start from.

    It is a plain matrix multiplication, with a small model that uses it.
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
    _check_free(folder)
    files = scaffold(kind, name, entry=re.sub(r"[^A-Za-z0-9_]", "_", name))
    _write_folder(folder, files)
    m, k, n = EXAMPLE_SIZES
    device, flags = ("vulkan", " --iree-hal-target-device=vulkan") if kind in ON_VULKAN else ("local-task", "")
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
