"""All kernels that may be used: the built-in ones, those of installed packs, and those of the user's folders."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ManifestError, SubstituteError, UsageError
from ..model.kernel import Form, Kernel, OperandSpec, drop_parameters
from .consistency import check_axes, check_constraints, check_parameters
from .entry import MANIFEST_NAME, Manifest
from .manifest_cache import ManifestCache, open_manifest_cache
from .types import describe_binding, instantiate

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ReadForms = Callable[[Path, str, tuple[OperandSpec, ...]], tuple[Form, ...]]
"""Reader of a definition's forms: (its path, its text, the operands of the manifest). Raises `ManifestError`."""

PACK_GROUP = "substitute.kernels"
"""Entry points of this group name a package whose folder holds kernels: `my_pack = "my_pack.kernels"`."""

MAX_DEPTH = 3
"""Depth below a folder to which kernels are searched for."""

_BUILTIN = {"_kernels": "kernels"}
"""Folders inside the installed package, and their names in a checkout."""
_SHIPPED = {"builtin:ptx_blobs": ("_ptx_blobs", "ptx_blobs")}
"""Folders that are shipped but only used where they are named: no GPU has timed their kernels yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The kernels to choose from."""

    kernels: tuple[Kernel, ...]
    """Kernels in the order of their names."""

    def kernel(self, name: str) -> Kernel:
        """Return the kernel of this name. Raises `UsageError`."""
        for kernel in self.kernels:
            if kernel.name == name:
                return kernel
        from .diagnostics import did_you_mean

        family = [kernel.name for kernel in self.kernels if kernel.family == name]
        if family:
            raise UsageError(
                f"`{name}` is several kernels, one for each choice of its types",
                expected=f"one of {', '.join(family)}",
                found=name,
                next_step="name one of them",
            )
        names = [kernel.name for kernel in self.kernels]
        raise UsageError(
            f"there is no kernel `{name}`",
            expected="one of " + ", ".join(names) if names else "",
            found=f"a catalog of {len(names)} kernels",
            next_step=did_you_mean(name, names) or "`iree-substitute kernels` lists them; --kernels DIR adds a folder",
        )

    def family(self, name: str) -> tuple[Kernel, ...]:
        """Return the kernel of this name, or those that its `[types]` define. Raises `UsageError`."""
        found = tuple(kernel for kernel in self.kernels if kernel.family == name)
        return found or (self.kernel(name),)


def load_catalog(
    folders: Sequence[Path],
    *,
    builtin: bool = True,
    backends: frozenset[str] | None = None,
    read_forms: ReadForms | None = None,
    kept: bool = False,
) -> Catalog:
    """Return the kernels of `folders`, and with `builtin` also the built-in ones and those of installed packs.

    With `backends`, kernels that are for none of them are left out and their definitions are not read. `read_forms` is
    the compiler's parser by default; with it, results of an earlier run may be used if `kept`. Raises `ManifestError`,
    and `UsageError` for a folder without kernels.
    """
    return open_library(folders, builtin=builtin, kept=kept and read_forms is None).catalog(backends, read_forms)


def load_manifests(folders: Sequence[Path], *, builtin: bool = True, kept: bool = False) -> list[Manifest]:
    """Return every manifest, each checked, names unique. With `kept`, results of an earlier run may be used."""
    library = open_library(folders, builtin=builtin, kept=kept)
    library.manifest_cache.save()
    return list(library.manifests)


@dataclass(frozen=True, slots=True)
class Library:
    """Folders of kernels whose manifests have been read; definitions are read when needed."""

    manifests: tuple[Manifest, ...]
    manifest_cache: ManifestCache

    def catalog(self, backends: frozenset[str] | None = None, read_forms: ReadForms | None = None) -> Catalog:
        """Return the kernels for these backends, of all if left out; see `load_catalog`. Raises `ManifestError`."""
        if read_forms is None:
            from ..read import definition

            read_forms = definition.read_forms
        wanted = [m for m in self.manifests if backends is None or any(t.backend in backends for t in m.kernel.targets)]
        kernels = [_with_forms(manifest, read_forms, self.manifest_cache) for manifest in wanted]
        self.manifest_cache.save()
        return Catalog(kernels=tuple(sorted(kernels, key=lambda k: k.name)))


def open_library(folders: Sequence[Path], *, builtin: bool = True, kept: bool = False) -> Library:
    """Read the manifests. Raises `ManifestError`, and `UsageError` for a folder without kernels."""
    files = list_manifests(folders, builtin=builtin)
    ours = tuple(f"{folder}{os.sep}" for folder in builtin_folders())
    manifest_cache = open_manifest_cache(files) if kept else ManifestCache(None)
    manifests: dict[str, Manifest] = {}
    for file in files:
        for manifest in manifest_cache.manifests(file, _read_manifests):
            if str(file).startswith(ours):
                manifest = replace(manifest, kernel=replace(manifest.kernel, builtin=True))
            other = manifests.setdefault(manifest.kernel.name, manifest)
            if other is not manifest:
                raise _two_of_a_name(manifest.kernel.name, manifest.file, other.file)
    return Library(tuple(manifests.values()), manifest_cache)


def list_manifests(folders: Sequence[Path], *, builtin: bool = True) -> list[Path]:
    """Return the manifest files of folders, and with `builtin` of built-in kernels and installed packs, each once."""
    files: dict[Path, None] = {}  # an ordered set: a folder may be given twice, or be inside another
    for folder in folders:
        files |= dict.fromkeys(find_manifests(folder))
    if builtin:
        for folder in (*builtin_folders(), *pack_folders()):
            files |= dict.fromkeys(_walk(folder.resolve(), MAX_DEPTH))
    return list(files)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelCheck:
    """Outcome of reading one manifest and all files that it names."""

    file: Path
    names: tuple[str, ...] = ()
    """Kernels that the manifest describes."""
    error: str = ""


def check_kernels(files: Sequence[Path]) -> list[KernelCheck]:
    """Read manifests with their definitions, and load their generators; one that is wrong does not hide another."""
    from ..read.definition import read_forms
    from .manifest import read_manifests

    checks: list[KernelCheck] = []
    owners: dict[str, Path] = {}
    for file in files:
        try:
            kernels = [_with_forms(manifest, read_forms, None) for manifest in read_manifests(file)]
            for kernel in kernels:
                kernel.payload.kind.load(kernel)
                if owners.setdefault(kernel.name, file) != file:
                    raise _two_of_a_name(kernel.name, file, owners[kernel.name])
        except SubstituteError as error:
            checks.append(KernelCheck(file=file, error=str(error)))
        else:
            checks.append(KernelCheck(file=file, names=tuple(kernel.name for kernel in kernels)))
    return checks


def _two_of_a_name(name: str, file: Path, other: Path) -> ManifestError:
    return ManifestError(
        f"two kernels are called `{name}`",
        where=f"{file}: name",
        expected="a name that no other kernel has",
        found=f"the same name in {other}",
        next_step="rename one of them, or leave its folder out (--no-builtin leaves out the built-in ones)",
    )


def _read_manifests(file: Path) -> tuple[Manifest, ...]:
    from .manifest import read_manifests  # checking imports pydantic, which takes longer than all the rest

    return read_manifests(file)


def find_manifests(folder: Path) -> list[Path]:
    """Return the manifests of a folder that is a kernel, or holds kernels. Raises `UsageError` if it does neither.

    `builtin:ptx_blobs` names the PTX kernels that are shipped with the package.
    """
    folder = _shipped(folder)
    if not folder.is_dir():
        raise UsageError(
            "not a folder of kernels" if folder.exists() else "there is no such folder",
            where=str(folder),
            expected=f"a kernel's folder (with {MANIFEST_NAME}) or a folder of such folders",
            found="a file" if folder.exists() else "nothing",
            next_step="check the path that follows --kernels",
        )
    found = list(_walk(folder.resolve(), MAX_DEPTH))
    if not found:
        raise UsageError(
            "the folder holds no kernels",
            where=str(folder),
            expected=f"a file {MANIFEST_NAME} in it, or in folders up to {MAX_DEPTH} levels below",
            found=_contents(folder),
            next_step="`iree-substitute new FOLDER` writes a kernel that works",
        )
    return found


def builtin_folders() -> list[Path]:
    """Return the folder of the built-in kernels: in the installed package, or beside it in a checkout."""
    return [place for names in _BUILTIN.items() for place in _places(*names)]


def _places(installed: str, checkout: str) -> list[Path]:
    package = Path(__file__).resolve().parent.parent
    return [place for place in (package / installed, package.parent / checkout) if place.is_dir()][:1]


def _shipped(folder: Path) -> Path:
    """Return the place of a shipped folder; any other folder unchanged."""
    if folder.name not in _SHIPPED or folder.exists():
        return folder
    return next(iter(_places(*_SHIPPED[folder.name])), folder)


def pack_folders() -> list[Path]:
    """Return the folders of installed packs. Raises `ManifestError` for a pack whose folder cannot be found."""
    from importlib.util import find_spec

    found: list[Path] = []
    names: dict[str, str] = {}
    for entry in _packs(tuple(sys.path)):
        other = names.setdefault(entry.name, entry.value)
        if other != entry.value:
            raise ManifestError(
                f"two installed packs of kernels are called `{entry.name}`",
                where=f"entry point {PACK_GROUP}: {entry.name}",
                expected="one pack of this name",
                found=f"{other} and {entry.value}",
                next_step="uninstall one of them",
            )
        try:
            spec = find_spec(entry.module)
        except (ImportError, ValueError) as error:
            raise _pack_error(entry.name, entry.value, str(error)) from error
        places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
        if not places:
            raise _pack_error(entry.name, entry.value, "no package of this name")
        found += places
    return found


@lru_cache(maxsize=4)
def _packs(path: tuple[str, ...]) -> Sequence[EntryPoint]:
    """Return the entry points of packs, cached: finding them reads a file of every installed package."""
    if not _may_have_packs(path):
        return ()
    from importlib.metadata import entry_points

    return tuple(entry_points(group=PACK_GROUP))


def _may_have_packs(path: tuple[str, ...]) -> bool:
    """Return False if no installed package mentions the group; in a tenth of the time of `importlib.metadata`."""
    if any(hasattr(finder, "find_distributions") and finder is not PathFinder for finder in sys.meta_path):
        return True
    for place in path:
        try:
            names = os.listdir(place or ".")
        except FileNotFoundError:
            continue
        except OSError:
            return True  # an archive, perhaps
        packages = [os.path.join(place, name) for name in names if name.endswith((".dist-info", ".egg-info"))]
        if any(name.endswith(".egg") for name in names) or any(_speaks_of_packs(package) for package in packages):
            return True
    return False


def _speaks_of_packs(package: str) -> bool:
    with contextlib.suppress(OSError), open(os.path.join(package, "entry_points.txt"), "rb") as file:
        return PACK_GROUP.encode() in file.read()
    return False


def _pack_error(name: str, value: str, found: str) -> ManifestError:
    return ManifestError(
        f"the installed pack of kernels `{name}` is broken",
        where=f"entry point {PACK_GROUP}: {name} = {value}",
        expected="the name of a package whose folder holds kernels",
        found=found,
        next_step="reinstall or uninstall the pack",
    )


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    file = folder / MANIFEST_NAME
    if file.is_file():
        yield file
    elif depth:
        try:
            with os.scandir(folder) as entries:
                below = sorted(e.name for e in entries if e.is_dir() and not e.name.startswith((".", "_")))
        except OSError as error:
            raise SubstituteError(
                "the folder cannot be read",
                where=str(folder),
                found=error.strerror or str(error),
                next_step="check its permissions",
            ) from None
        for name in below:
            yield from _walk(folder / name, depth - 1)


def _contents(folder: Path) -> str:
    names = sorted(p.name for p in folder.iterdir())
    if not names:
        return "an empty folder"
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _with_forms(manifest: Manifest, read_forms: ReadForms, manifest_cache: ManifestCache | None) -> Kernel:
    if manifest.definition is None:
        return manifest.kernel

    def read() -> tuple[Form, ...]:
        return _read(manifest, read_forms)

    forms = manifest_cache.forms(manifest, read) if manifest_cache is not None else read()
    return replace(_without_parameters(manifest, forms).kernel, forms=forms)


def _without_parameters(manifest: Manifest, forms: tuple[Form, ...]) -> Manifest:
    """Return the manifest with the definition's tensors alone as its operands."""
    parameters = forms[0].parameters if forms else ()
    operands = drop_parameters(manifest.kernel.operands, parameters)
    return replace(manifest, kernel=replace(manifest.kernel, operands=operands))


def read_definition(manifest: Manifest) -> str:
    """Return the text of a kernel's definition, its types filled in. Raises `ManifestError`."""
    assert manifest.definition is not None
    try:
        text = manifest.definition.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(
            "the definition cannot be read",
            where=str(manifest.definition),
            expected="MLIR as UTF-8 text",
            found=str(error),
            next_step="check the file",
        ) from None
    types = manifest.kernel.types
    return instantiate(text, types, str(manifest.definition)) if types else text


def _read(manifest: Manifest, read_forms: ReadForms) -> tuple[Form, ...]:
    text = read_definition(manifest)
    assert manifest.definition is not None
    path, types = manifest.definition, manifest.kernel.types
    if types:
        path = Path(f"{path} ({describe_binding(types)})")
    forms = read_forms(path, text, manifest.kernel.operands)
    manifest = _without_parameters(manifest, forms)
    check_axes(manifest, forms)
    check_constraints(manifest)
    check_parameters(manifest, forms)
    if "epilogue" in manifest.kernel.slots:
        _check_epilogue(manifest, forms)
    return forms


def _check_epilogue(manifest: Manifest, forms: Sequence[Form]) -> None:
    """Check that epilogues follow a core: IREE fuses after a core, and shader text cannot compute before it."""
    for form in forms:
        plain = all(
            isinstance(read.source, int) and not any(node.operands for node in nest.expr.nodes)
            for nest in form.program.stores
            for read in nest.reads
        )
        if form.program.cores and (plain or manifest.kernel.payload.kind.sees_dispatch):
            continue
        raise ManifestError(
            "this definition cannot have an epilogue",
            where=f"{manifest.file}: slots",
            expected="a definition that ends with a reduction or a named operation, whose result it returns",
            found=f"element-wise work at the end of @{form.name}" if form.program.cores else "element-wise work alone",
            next_step='remove "epilogue" from slots, or leave that work to IREE',
        )
