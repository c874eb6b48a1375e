"""Parameters that a kernel may write through. Only that memory can have races, so accesses are recorded only there.

A register may hold an address that comes from each parameter, variable or 64-bit load whose value flows into it by any
instruction, in whatever order. A pointer that was itself loaded from memory may point anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .decode import Slots, Step

_ANYWHERE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenPointers:
    """Origins of the addresses that a kernel stores to or updates."""

    parameters: tuple[tuple[int, int], ...] = ()
    """Parts of the parameter space that may hold such addresses: offset, bytes."""
    variables: tuple[str, ...] = ()
    anywhere: bool = False
    """True if an address may have been loaded from memory."""


def find_written_pointers(steps: Sequence[Step], slots: Slots) -> WrittenPointers:
    """Follow all values to the addresses of stores and atomic operations."""
    stores = [step.stores for step in steps if step.stores]
    if not stores:
        return WrittenPointers()
    sources: list[tuple[int, int] | str] = []
    reached = [0] * len(slots.dtypes)

    def bit(source: tuple[int, int] | str) -> int:
        if source not in sources:
            sources.append(source)
        return 2 << sources.index(source)

    for slot, (name, _) in slots.symbols.items():
        reached[slot] = bit(name)
    given = []
    for step in steps:
        if step.parameter is not None:
            given.append(bit(step.parameter))
        else:
            given.append(_ANYWHERE if step.loads_pointer else 0)
    changed = True
    while changed:
        changed = False
        for step, own in zip(steps, given, strict=True):
            if not step.defines:
                continue
            # the value of a load does not come from its address
            total = own
            if not own:
                for slot in step.uses:
                    total |= reached[slot]
            if total:
                for slot in step.defines:
                    if total & ~reached[slot]:
                        reached[slot] |= total
                        changed = True
    total = 0
    for slots_of_address in stores:
        here = 0
        for slot in slots_of_address:
            here |= reached[slot]
        total |= here or _ANYWHERE
    found = [source for number, source in enumerate(sources) if total & (2 << number)]
    return WrittenPointers(
        parameters=tuple(source for source in found if isinstance(source, tuple)),
        variables=tuple(source for source in found if isinstance(source, str)),
        anywhere=bool(total & _ANYWHERE),
    )
