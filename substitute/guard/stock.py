"""IREE's own code of a trial, which another process compiles while kernels are compiled and judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ..compiler import Compilation
from ..device.raw import RawModule
from ..errors import CompilerError, DeviceError
from ..isolate import Call, Child
from ..progress import Progress
from ..validate.baseline import describe_failure
from ..validate.own_code import finish
from .trial import Trial

WAIT = "compile IREE's own code for the check"
FILE = "stock.vmfb"


@dataclass(slots=True)
class Stock:
    """IREE's own code, as a module on the trial's device. The process and the module end with the `with` block."""

    trial: Trial
    progress: Progress
    missing: str = ""
    """Reason why there is none, once that is known."""
    _child: Child | None = None
    _module: RawModule | None = None

    def __enter__(self) -> Self:
        if not self.trial.timed:
            self.missing = f"{self.trial.device} has no speed to speak of"
        elif not self.trial.with_stock:
            self.missing = "IREE's own code ended the process that ran it"
        elif not (self.trial.folder / FILE).is_file():
            self._child = Child(Call(compile_stock, {"trial": self.trial}))
        return self

    def __exit__(self, *error: object) -> None:
        if self._child is not None:
            self._child.__exit__(*error)
        if self._module is not None:
            self._module.close()

    def module(self, step: str) -> RawModule | None:
        """Return the module, after waiting for it if need be; None if there is none.

        `step` is the message of what is being done, which is announced again after a wait.
        """
        if self._child is not None:
            self._wait()
            self.progress(step, None)
        if self._module is None and not self.missing:
            try:
                self._module = RawModule((self.trial.folder / FILE).read_bytes(), device=self.trial.device)
            except DeviceError as error:
                self.missing = f"IREE's own code cannot be loaded: {describe_failure(error)}"
        return self._module

    def _wait(self) -> None:
        assert self._child is not None
        child, self._child = self._child, None
        self.progress(WAIT, None)
        with child:
            try:
                child.result(lambda what, share: None)
            except CompilerError:  # also a crash of the compiler
                self.missing = "IREE does not compile its own code"


def compile_stock(*, trial: Trial, progress: Progress) -> None:
    with Compilation(trial.flags, name=trial.name) as compilation:
        compile_once(compilation, trial.stock, trial.folder / FILE)


def compile_once(compilation: Compilation, source: bytes, target: Path) -> bytes:
    """Compile one of a trial's modules, unless an earlier process did. Raises `CompilerError`."""
    if target.is_file():
        return target.read_bytes()
    compilation.parse(source)
    assert compilation.module is not None
    vmfb = finish(compilation, compilation.module)
    temporary = target.with_suffix(".part")
    temporary.write_bytes(vmfb)
    temporary.replace(target)
    return vmfb
