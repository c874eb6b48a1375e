"""The same PTX with the same arguments, once through IREE's CUDA driver and once launched directly: bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from runtime_tests.gpu.device import Bytes, Gpu, Parameter
from runtime_tests.gpu.package import Code, Item
from substitute.device.raw import Grid, RawModule
from substitute.errors import DeviceError
from substitute.validate.bundle import Bundle
from substitute.validate.launch import Arrangement, lay_out


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Difference of the bytes that two launches of the same code wrote."""

    buffer: int
    first: int
    """The first such byte."""
    count: int
    """Number of different bytes."""

    def __str__(self) -> str:
        return f"{self.count} bytes of buffer {self.buffer} differ, first at byte {self.first}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One dispatch, one case."""

    dispatch: str
    inputs: str
    target: str
    """Target of the PTX that was launched."""
    differences: tuple[Difference, ...] = ()
    error: str = ""
    """Reason why it could not be launched; empty if it was."""

    @property
    def passed(self) -> bool:
        """True if all bytes are equal."""
        return not self.error and not self.differences


def compare_bytes(ours: Sequence[Bytes], theirs: Sequence[Bytes]) -> tuple[Difference, ...]:
    """The buffers that differ. NaNs count as bits like any other."""
    found = []
    for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if a.shape != b.shape:
            found.append(Difference(buffer=number, first=min(a.size, b.size), count=abs(a.size - b.size)))
            continue
        differing = np.flatnonzero(a != b)
        if differing.size:
            found.append(Difference(buffer=number, first=int(differing[0]), count=int(differing.size)))
    return tuple(found)


def parameters_of(grid: Grid, addresses: Sequence[int]) -> list[Parameter]:
    """Return the parameters that IREE's CUDA driver passes: each binding's address with its offset, then the push
    constants.
    """
    pointers: list[Parameter] = [np.uint64(addresses[buffer] + offset) for buffer, offset, _ in grid.bindings]
    return [*pointers, *(np.uint32(constant) for constant in grid.constants)]


def launch_directly(gpu: Gpu, code: Code, ptx: str, grid: Grid) -> tuple[Bytes, ...]:
    """Launches one grid on buffers with these contents; the contents afterwards. Raises `DeviceError`."""
    function = gpu.load(ptx, code.entry, code.shared_bytes)
    addresses = [gpu.allocate(contents.size) for contents in grid.buffers]
    for address, contents in zip(addresses, grid.buffers, strict=True):
        gpu.upload(address, contents)
    gpu.launch(function, code.grid, code.block, code.shared_bytes, parameters_of(grid, addresses))
    gpu.synchronize()
    after = tuple(gpu.download(a, c.size) for a, c in zip(addresses, grid.buffers, strict=True))
    for address in addresses:
        gpu.free(address)
    return after


def compare_item(folder: Path, item: Item, bundle: Bundle, gpu: Gpu, module: RawModule | None) -> list[Compared]:
    """Every case of a bundle. Without a `module` only the direct launches are made, for a checker of memory.

    A launch that fails ends the comparison: its context is of no more use.
    """
    cases = {(subject.name, n): case for subject in bundle.subjects for n, case in enumerate(subject.cases)}
    found: list[Compared] = []
    for started in item.started:
        case = cases[started.dispatch, started.case]
        code = started.chosen(gpu.facts.capability)
        if code is None:
            continue
        grid = lay_out(case, Arrangement())
        compared = Compared(dispatch=started.dispatch, inputs=case.inputs, target=code.target)
        try:
            theirs = launch_directly(gpu, code, _ptx(folder, code), grid)
            (ours,) = module.launch(case.entry, grid) if module is not None else (theirs,)
        except DeviceError as error:
            words = "; ".join(filter(None, (error.what, error.found, error.details.strip().partition("\n")[0])))
            return [*found, replace(compared, error=words)]
        found.append(replace(compared, differences=compare_bytes(ours, theirs)))
    return found


def _ptx(folder: Path, code: Code) -> str:
    return (folder / code.file).read_text(encoding="utf-8")
