"""Python files of kernels, loaded by path, each with the other files of its folder."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from ..cache.stamps import FileState, list_tree, read_state
from ..errors import PayloadError
from .author import call_author, one_at_a_time

MOST_FILES = 200
"""Limit of a folder's files: in a larger one, only the file itself is checked for changes."""

Key = tuple[Path, tuple[FileState, ...]]
_loaded: dict[Key, ModuleType] = {}
_unchanged: ContextVar[dict[Path, ModuleType] | None] = ContextVar("_unchanged", default=None)
"""Modules that were looked up in a block of `without_changes`, by their paths as given; None outside of one."""


@contextmanager
def without_changes() -> Iterator[None]:
    """Look for changed files only once for each module: a plan asks each generator about many dispatches."""
    token = _unchanged.set({})
    try:
        yield
    finally:
        _unchanged.reset(token)


def load_module(path: Path, *, what: str, owner: str, trusted: bool = False) -> ModuleType:
    """Return the module in a file. It is loaded anew once a Python file in its folder has changed.

    The folder is a package under a name of its own: `from .tiling import choose` finds `tiling.py` beside the file. Its
    `__init__.py` runs first, if there is one. For the other arguments, and what is raised, see `call_author`.
    """
    known = _unchanged.get()
    if known is not None and path in known:
        return known[path]
    module = _look_up(path.resolve(), what=what, owner=owner, trusted=trusted)
    if known is not None:
        known[path] = module
    return module


def _look_up(path: Path, *, what: str, owner: str, trusted: bool) -> ModuleType:
    key = path, _states(path)
    if key not in _loaded:
        with one_at_a_time:  # two threads that load one file would see a partly executed module
            if key not in _loaded:
                if path.suffix != ".py":
                    raise PayloadError(
                        f"{owner} is no Python file",
                        where=str(path),
                        expected="a file that ends with .py",
                        found=path.name,
                        next_step="correct `file` in [payload]",
                    )
                _loaded[key] = call_author(what, path, lambda: _load(*key), owner=owner, trusted=trusted)
    return _loaded[key]


def _states(path: Path) -> tuple[FileState, ...]:
    found = list_tree(path.parent, most=MOST_FILES)
    names = [name for name in found if name.endswith(".py")] if len(found) <= MOST_FILES else [str(path)]
    return tuple(read_state(name) for name in names)


def _load(path: Path, states: tuple[FileState, ...]) -> ModuleType:
    name = ".".join((_open_package(path.parent, states), re.sub(r"\W", "_", path.stem)))
    if name in sys.modules:  # a neighbouring file has imported it
        return sys.modules[name]
    return _execute(importlib.util.spec_from_file_location(name, path))


def _open_package(folder: Path, states: tuple[FileState, ...]) -> str:
    """Return the name of the package for a folder in this state."""
    digest = hashlib.sha256(repr((str(folder), states)).encode()).hexdigest()
    name = f"substitute_kernel_{digest[:16]}"
    if name not in sys.modules:
        sys.path_importer_cache.pop(str(folder), None)  # the import system would not see a file that was just written
        init = folder / "__init__.py"
        if init.is_file():
            _execute(importlib.util.spec_from_file_location(name, init, submodule_search_locations=[str(folder)]))
        else:
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [str(folder)]
            sys.modules[name] = importlib.util.module_from_spec(spec)
    return name


def _execute(spec: ModuleSpec | None) -> ModuleType:
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module
