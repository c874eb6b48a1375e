"""IREE's own code for the dispatches that kernels take, compiled concurrently with the kernels."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from ..bindings import settle_bindings
from ..compiler import Compilation, bytecode_of
from ..errors import CompilerError
from ..isolate import Child, threads_are_loaded
from ..model.dispatch import Dispatch
from ..progress import Clock, Progress, silent
from .harness import isolate_dispatches

if TYPE_CHECKING:
    from iree.compiler import ir

Look = Callable[[Any], None]
"""Function that inspects a module at `executable-targets` without changing it."""


def finish(compilation: Compilation, module: ir.Operation, translated: Look | None = None) -> bytes:
    """Compile a module from `executable-sources` on, passing it to `translated` half-way. Raises `CompilerError`."""
    compilation.module = module
    if translated is None:
        compilation.run("executable-sources", "end")
        return compilation.bytecode()
    compilation.run("executable-sources", "executable-targets")
    translated(compilation.module)
    compilation.run("executable-targets", "end")
    return compilation.bytecode()


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSource:
    """IREE's own code before it is compiled, for verdicts of which few depend on it."""

    module: bytes
    """The stock module at `executable-sources`, as bytecode."""
    flags: tuple[str, ...]
    name: str
    dispatches: Mapping[str, Dispatch]
    """By the harness's function."""


def compile_own_code(source: OwnSource, entries: frozenset[str], *, progress: Progress = silent) -> bytes:
    """Compile the dispatches of these functions. Raises `CompilerError`."""
    progress("compile IREE's own code", None)
    with Compilation(source.flags, name=source.name) as compilation:
        compilation.parse(source.module)
        stock = compilation.module
        assert stock is not None
        isolate_dispatches(stock, {e: d for e, d in source.dispatches.items() if e in entries})
        return finish(compilation, stock)


class Baseline:
    """IREE's own code for the dispatches, compiled concurrently with the kernels if possible.

    Within its `with` block another process compiles it, a fork made before the compiler is loaded. If it is loaded
    already, and outside of the block, the code is compiled here on request.
    """

    def __init__(self) -> None:
        self._dispatches: Mapping[str, Dispatch] = {}
        self._stack = ExitStack()
        self._child: Child | None = None

    def __enter__(self) -> Self:
        if not threads_are_loaded():
            receive, send = os.pipe()
            self._order = self._stack.enter_context(os.fdopen(send, "wb"))
            with os.fdopen(receive, "rb") as order:
                self._child = self._stack.enter_context(Child(lambda _progress: self._serve(order)))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _serve(self, order: BinaryIO) -> bytes:
        """Compile the module that is sent, in the other process."""
        self._order.close()
        settle_bindings()
        flags, name, module = pickle.load(order)
        with Compilation(flags, name=name) as compilation:
            compilation.parse(module)
            assert compilation.module is not None
            return finish(compilation, compilation.module)

    def begin(self, compilation: Compilation, stock: ir.Operation, dispatches: Mapping[str, Dispatch]) -> None:
        """Start compiling; `stock` must hold only launches of these dispatches, by the harness's function."""
        self._dispatches = dispatches
        if not dispatches:
            return
        isolate_dispatches(stock, dispatches)
        if self._child is not None:
            order = pickle.dumps((compilation.flags, compilation.name, bytecode_of(stock)))
            with suppress(BrokenPipeError):  # the result says why it crashed
                self._order.write(order)
                self._order.close()

    def result(
        self, compilation: Compilation, stock: ir.Operation, clock: Clock, translated: Look | None = None
    ) -> tuple[bytes | None, str]:
        """Return the module, or the reason why there is none. `translated` gets it only if it is compiled here."""
        if not self._dispatches:
            return None, "nothing was substituted"
        try:
            with clock.step("compile IREE's own code"):
                if self._child is not None:
                    return self._child.result(silent), ""
                return finish(compilation, stock, translated), ""
        except CompilerError as error:
            return None, str(error).partition("\n")[0]
