"""Generators: the Python files of kernels that make code for a dispatch."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import PayloadError
from ..model.dispatch import Dispatch
from ..model.kernel import Kernel
from ..model.plan import Generated, Request
from .author import call_author
from .launch import launch_count
from .module import load_module

OWNER = "the generator"


def refuse_dispatch(kernel: Kernel, dispatch: Dispatch) -> str:
    """Return why a generator cannot make code for a dispatch, from its `can_generate(program)`, if it has one."""
    if dispatch.program is None:
        return ""
    module = load_generator(kernel)
    function = getattr(module, "can_generate", None)
    if function is None:
        return ""
    what = f"`can_generate` of the generator failed for {dispatch.name}"
    program, path = dispatch.program, Path(str(module.__file__))
    return call_author(what, path, lambda: str(function(program) or ""), owner=OWNER, trusted=kernel.builtin)


def load_generator(kernel: Kernel) -> ModuleType:
    """Return the module of a generator kernel. Raises `PayloadError` with the place of the error."""
    path = kernel.payload.path
    module = load_module(path, what="the generator cannot be loaded", owner=OWNER, trusted=kernel.builtin)
    if not callable(getattr(module, "generate", None)):
        raise PayloadError(
            "the generator has no function `generate`",
            where=str(path.resolve()),
            expected="def generate(request: Request) -> str or Generated",
            found=", ".join(n for n in vars(module) if not n.startswith("_")) or "an empty module",
            next_step="`iree-substitute new` writes an example",
        )
    return module


def generate(request: Request) -> Generated:
    """Call the generator of a request. Raises `PayloadError` with the line on which it failed."""
    kernel = request.substitution.kernel
    module = load_generator(kernel)
    what = f"the generator failed for {request.substitution.dispatch.name}"
    path = kernel.payload.path.resolve()
    result: Any = call_author(what, path, lambda: module.generate(request), owner=OWNER, trusted=kernel.builtin)
    if isinstance(result, Generated):
        return result
    return Generated(
        text=str(result), workgroup_count=launch_count(request), workgroup_size=kernel.launch.workgroup_size
    )
