"""Modules that a worker loads before it serves, so that its forks share them."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
from collections.abc import Sequence
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .request import WorkerState


def preload(words: Sequence[str], backend: str) -> WorkerState:
    """Load everything that requests need. Errors in the arguments are reported to each client instead."""
    gc.disable()  # loaded modules never become garbage
    code: Thread | None = None
    if backend == "llvm-cpu":
        code = Thread(target=_load_llvm)
        code.start()
    from .executable import new_context
    from .request import WorkerState

    state = WorkerState()
    with contextlib.suppress(Exception):
        knowledge = state.knowledge(os.getcwd(), list(words))
        for kernel in knowledge.kernels(frozenset({backend})):
            if kernel.builtin:
                kernel.payload.kind.load(kernel)
    with contextlib.suppress(Exception):
        state.context = new_context()
        own = ("payload.glsl", "payload.spirv") if backend == "vulkan-spirv" else ("rewrite.callout", "payload.symbols")
        for name in ("read.module", "report.as_json", "rule.python_file", "guard.recall", *own):
            importlib.import_module(f"substitute.{name}")
    if code is not None:
        code.join()
    gc.enable()
    gc.freeze()  # forks share these objects until one writes to them
    return state


def _load_llvm() -> None:
    with contextlib.suppress(Exception):
        from ..payload.llvm import attributes, optimize

        assert attributes
        optimize.initialize()
