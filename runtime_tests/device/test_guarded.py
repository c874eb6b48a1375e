"""Memory beside inaccessible pages: accesses outside of it are recorded, without further effects."""

from __future__ import annotations

import ctypes
import faulthandler
import os

import numpy as np
import pytest

from substitute.device.guarded import PAGE, READ, WRITTEN, Block, Touch, guarded_memory, read_crash, refuse_guards

pytestmark = [pytest.mark.unit, pytest.mark.skipif(bool(refuse_guards()), reason=refuse_guards() or "guarded")]

FLOAT = ctypes.c_float
FILL = np.array([0x5A], np.uint8)


def block(size: int = 40, *, at_end: bool = True, alignment: int = 4) -> Block:
    return Block(contents=np.arange(size, dtype=np.uint8), alignment=alignment, at_end=at_end, fill=FILL)


def test_what_is_inside_may_be_touched() -> None:
    memory = guarded_memory()
    regions = memory.place([block(), block(at_end=False), block(3 * PAGE)])
    with memory.watch(regions) as touched:
        for region in regions:
            FLOAT.from_address(region.base).value = 1.0
            assert FLOAT.from_address(region.base + region.block.contents.size - 4).value
    assert touched == []
    assert [region.changed() for region in regions] == [[], [], []]
    assert regions[0].contents()[:4].view(np.float32) == 1.0
    memory.clear(regions)


@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize("offset", [-4, -PAGE * 5, 40, 40 + 16380])
def test_what_is_outside_is_seen(at_end: bool, offset: int) -> None:
    memory = guarded_memory()
    regions = memory.place([block(), block(at_end=at_end)])
    with memory.watch(regions) as touched:
        _ = FLOAT.from_address(regions[1].base + offset).value
    seen = [Touch(block=1, offset=offset, kind=READ)] if abs(offset) > PAGE or at_end == (offset >= 0) else []
    assert touched == seen  # (a read of the pages that the block does not fill is not)
    with memory.watch(regions) as touched:
        FLOAT.from_address(regions[1].base + offset).value = 3.0
    written = [Touch(block=1, offset=offset, kind=WRITTEN)] if seen else []
    assert touched == written
    assert bool(regions[1].changed()) != bool(seen)
    memory.clear(regions)


def test_alignment_of_the_first_byte() -> None:
    memory = guarded_memory()
    regions = memory.place([block(36, alignment=32), block(36, alignment=4), block(0)])
    assert [region.base % 32 for region in regions[:2]] == [0, (PAGE - 36) % 32]
    with memory.watch(regions) as touched:
        _ = FLOAT.from_address(regions[2].base).value
    assert [touch.block for touch in touched] == [2]
    memory.clear(regions)


@pytest.mark.parametrize("address", [16, 1 << 63])
def test_a_fault_elsewhere_ends_the_process_and_is_on_record(address: int) -> None:
    memory = guarded_memory()
    regions = memory.place([block()])
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        faulthandler.disable()  # pytest's writes its trace to the terminal
        with memory.watch(regions):
            _ = FLOAT.from_address(address).value
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    crash = read_crash(memory.record)
    assert crash is not None
    assert (crash.protection, crash.stack) == (address == 1 << 63, False)
    if not crash.protection:
        assert (crash.address, crash.kind) == (address, READ)
    with memory.watch(regions):
        pass
    assert read_crash(memory.record) is None
    memory.clear(regions)
