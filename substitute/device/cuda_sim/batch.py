"""Lanes of some thread blocks that run together as one vector, with their memories and state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .faults import Log, Place
from .global_hazards import GlobalHazards
from .hazards import Hazards
from .memory import UNWRITTEN, WRITTEN, Memory
from .types import Array, Registers
from .unwritten import UnwrittenBytes, UnwrittenValue

SHARED_WINDOW = 0x00FF_0000_0000_0000
LOCAL_WINDOW = 0x00FE_0000_0000_0000
PARAM_WINDOW = 0x00FD_0000_0000_0000
"""Start of the generic addresses of a block's shared memory, a thread's local memory and the parameters."""
WINDOW_BYTES = 1 << 32
GUARD_BYTES = 16
"""Padding after the last block's shared memory and the last lane's local memory."""

RUNNABLE, AT_BARRIER, AT_WARP, YIELDED, WAITING, EXITED = range(6)
"""States of a lane. WAITING: on an mbarrier; YIELDED: scheduled after others, following a long spin."""


@dataclass(slots=True)
class Geometry:
    """Sizes of a launch."""

    grid: tuple[int, int, int]
    block: tuple[int, int, int]

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.block[0] * self.block[1] * self.block[2]

    @property
    def blocks(self) -> int:
        """Blocks of the grid."""
        return self.grid[0] * self.grid[1] * self.grid[2]


@dataclass(slots=True)
class Warps:
    """Active lanes as rows of 32."""

    full: bool
    """True if every row is complete and in order, so that values can be reshaped."""
    rows: Array
    """[W]: warp numbers in the batch."""
    row: Array
    """[active]: row of each lane."""
    column: Array
    """[active]: column of each lane, its number in the warp."""
    present: Array
    """[W, 32]: mask of the active lanes."""

    def spread(self, values: Array, count: int, fill: Any = 0) -> Array:
        """[active] or [1] → [W, 32]."""
        if values.shape[0] == 1:
            return np.broadcast_to(values, (len(self.rows), 32))
        if self.full:
            return values.reshape(-1, 32)
        out = np.full((len(self.rows), 32), fill, values.dtype)
        out[self.row, self.column] = values
        return out

    def collect(self, values: Array) -> Array:
        """[W, 32] → [active]."""
        if self.full:
            return np.ascontiguousarray(values).reshape(-1)
        return values[self.row, self.column]


@dataclass(slots=True)
class Batch:
    """Some blocks of a launch with the state around their registers: shared and local memory, checks, findings."""

    geometry: Geometry
    blocks: Sequence[int]
    """Linear block numbers."""
    memory: Memory
    log: Log
    parameters: Array
    """[bytes]."""
    shared_bytes: int
    """Static and dynamic shared memory of one block."""
    static_shared_bytes: int
    local_bytes: int
    hazards: Hazards | None
    check_written: bool
    globals: GlobalHazards | None = None
    """Race detection in device memory; None if the launch cannot have such races, or the check is off."""
    before: Batch | None = None
    """An earlier batch of the launch; state that does not depend on the block is taken from it if the sizes agree."""
    lanes: Array | None = None
    """[active]: numbers of the active lanes; None: all."""
    count: int = 0
    total: int = 0
    place: Place = field(default_factory=lambda: Place(line=0, column=0, text=""))
    block_of: Array = field(init=False)
    thread_of: Array = field(init=False)
    warp_of: Array = field(init=False)
    shared_stride: int = field(init=False)
    shared_base: Array = field(init=False)
    special: dict[str, Array] = field(init=False)
    """Special registers that all blocks share."""
    shared: Array = field(init=False)
    shared_shadow: Array = field(init=False)
    local: Array = field(init=False)
    local_shadow: Array = field(init=False)
    warps_per_block: int = field(init=False)
    views: dict[tuple[str, Any], Array] = field(default_factory=dict)
    whole: dict[int, bool] = field(default_factory=dict)
    """Allocations by start: True if known to be completely written."""
    units: dict[str, Any] = field(default_factory=dict)
    """State of asynchronous copies, barriers and matrix units."""
    unwritten: dict[int, UnwrittenValue] = field(default_factory=dict)
    """By register: lanes that hold a value loaded from memory that was never written."""
    deferred: list[UnwrittenBytes] | None = None
    """Collects such bytes of a load for the caller that tracks them to their use."""
    state: Array = field(init=False)
    changes: int = 0
    """Number of events that may release a waiting lane."""
    steps: int = 0
    """Warp instructions so far."""
    whole_shared: bool = False
    looks: int = 0
    _warps: Warps | None = None
    _all_warps: Warps | None = None

    def __post_init__(self) -> None:
        threads, blocks = self.geometry.threads, len(self.blocks)
        self.total = self.count = threads * blocks
        self.warps_per_block = -(-threads // 32)
        self.shared_stride = -(-self.shared_bytes // 128) * 128
        before, self.before = self.before, None
        if before is not None and before.total == self.total:
            self.block_of, self.thread_of, self.warp_of = before.block_of, before.thread_of, before.warp_of
            self.shared_base, self.special, self._all_warps = before.shared_base, before.special, before._all_warps
        else:
            self.block_of = np.repeat(np.arange(blocks), threads)
            self.thread_of = np.tile(np.arange(threads), blocks)
            self.warp_of = self.block_of * self.warps_per_block + self.thread_of // 32
            self.shared_base, self.special = self.block_of * self.shared_stride, {}
        self.shared = np.full(blocks * self.shared_stride + GUARD_BYTES, 0xCD, np.uint8)
        self.shared_shadow = np.full(self.shared.size, UNWRITTEN, np.uint8)
        self.local = np.full(self.total * self.local_bytes + GUARD_BYTES, 0xCD, np.uint8)
        self.local_shadow = np.full(self.local.size, UNWRITTEN, np.uint8)
        self.state = np.full(self.total, RUNNABLE, np.uint8)

    def activate(self, lanes: Array | None) -> None:
        """Set the active lanes; None: all."""
        self.lanes = lanes
        self.count = self.total if lanes is None else len(lanes)
        self._warps = self._all_warps if lanes is None else None

    def shared_is_whole(self) -> bool:
        """Return whether all of the blocks' shared memory has been written; checked at increasing intervals."""
        if not self.whole_shared:
            self.looks += 1
            if self.looks % 32 == 0 or self.looks in (2, 4, 8, 16):
                used = self.shared_shadow[: len(self.blocks) * self.shared_stride].reshape(len(self.blocks), -1)
                self.whole_shared = bool((used[:, : self.shared_bytes] == WRITTEN).all())
        return self.whole_shared

    def of_active(self, per_lane: Array) -> Array:
        """Select the active lanes: [total] → [active]."""
        return per_lane if self.lanes is None else per_lane[self.lanes]

    def chosen(self, where: Array | None) -> Array:
        """Return the lane numbers of positions among the active ones; None: of all active ones."""
        if self.lanes is None:
            return np.arange(self.total) if where is None else where
        return self.lanes if where is None else self.lanes[where]

    def view(self, space: str, dtype: np.dtype[Any]) -> Array:
        """Return a whole memory ("global", "global-shadow", "shared", …) as elements of a type."""
        found = self.views.get((space, dtype))
        if found is None:
            source = {
                "global": self.memory.data,
                "global-shadow": self.memory.shadow,
                "shared": self.shared,
                "shared-shadow": self.shared_shadow,
                "local": self.local,
                "local-shadow": self.local_shadow,
            }[space]
            whole = source.size - source.size % dtype.itemsize
            found = self.views[space, dtype] = source[:whole].view(dtype)
        return found

    @property
    def warps(self) -> Warps:
        """Return the active lanes as warps."""
        if self._warps is None:
            self._warps = self._make_warps()
            if self.lanes is None:
                self._all_warps = self._warps
        return self._warps

    def _make_warps(self) -> Warps:
        lanes = self.chosen(None)
        numbers, columns = self.warp_of[lanes], self.thread_of[lanes] % 32
        rows, row = np.unique(numbers, return_inverse=True)
        present = np.zeros((len(rows), 32), bool)
        present[row, columns] = True
        return Warps(full=len(lanes) == 32 * len(rows), rows=rows, row=row, column=columns, present=present)

    def block_index(self, lane: int) -> tuple[int, int, int]:
        """Return %ctaid of a lane."""
        number = self.blocks[int(self.block_of[lane])]
        x, y, _ = self.geometry.grid
        return number % x, number // x % y, number // (x * y)

    def thread_index(self, lane: int) -> tuple[int, int, int]:
        """Return %tid of a lane."""
        number = int(self.thread_of[lane])
        x, y, _ = self.geometry.block
        return number % x, number // x % y, number // (x * y)

    def fault(
        self,
        kind: str,
        place: Place,
        lane: int,
        message: str,
        *,
        count: int = 1,
        address: int | None = None,
        space: str = "",
    ) -> None:
        """Record a finding at a lane (a number in the batch)."""
        self.log.add(
            kind,
            place,
            block=self.block_index(lane),
            thread=self.thread_index(lane),
            message=message,
            address=address,
            space=space,
            count=count,
        )

    def select(self, keep: Array | None) -> tuple[Array | None, bool]:
        """Return the positions where an instruction is executed (None: everywhere), and whether there are any."""
        if keep is None:
            return None, True
        if keep.all():
            return None, True
        if keep.shape[0] == 1:
            return None, False
        where = np.flatnonzero(keep)
        return where, bool(where.size)


def special_registers(batch: Batch, names: Sequence[str]) -> dict[str, Array]:
    """Return the values of special registers: [1] if all lanes have the same, else [lanes]."""
    found = {}
    for name in names:
        if name.startswith("%ctaid"):
            found[name] = _special_register(batch, name)
            continue
        if name not in batch.special:
            batch.special[name] = _special_register(batch, name)
        found[name] = batch.special[name]
    return found


def _special_register(batch: Batch, name: str) -> Array:
    base, _, axis = name.lstrip("%").partition(".")
    if base in ("tid", "ctaid") and axis in _AXES:
        return _index(batch, base, _AXES[axis])
    one = np.uint32(1)
    sizes = batch.geometry.block if base == "ntid" else batch.geometry.grid
    if base in ("ntid", "nctaid") and axis in _AXES:
        return np.array([sizes[_AXES[axis]]], np.uint32)
    lane = batch.thread_of.astype(np.uint32) & np.uint32(31)
    below = (one << lane) - one
    per_lane = {
        "laneid": lane,
        "lanemask_eq": one << lane,
        "lanemask_lt": below,
        "lanemask_le": below | (one << lane),
        "lanemask_gt": ~(below | (one << lane)),
        "lanemask_ge": ~below,
    }
    if base in per_lane:
        return per_lane[base]
    if base == "warpid":
        return batch.thread_of.astype(np.uint32) >> np.uint32(5)
    plain = {
        "nwarpid": batch.warps_per_block,
        "nsmid": 1,
        "gridid": 1,
        "total_smem_size": batch.shared_bytes,
        "aggr_smem_size": batch.shared_bytes,
        "dynamic_smem_size": batch.shared_bytes - batch.static_shared_bytes,
    }
    return np.array([plain.get(base, 0)], np.uint64 if base in ("clock64", "globaltimer", "gridid") else np.uint32)


_AXES = {"x": 0, "y": 1, "z": 2}


def _index(batch: Batch, base: str, axis: int) -> Array:
    """Return a component of %tid or %ctaid."""
    geometry = batch.geometry
    x, y, z = geometry.block if base == "tid" else geometry.grid
    if (x, y, z)[axis] == 1:
        return np.zeros(1, np.uint32)
    numbers = batch.thread_of if base == "tid" else np.asarray(batch.blocks)
    if axis == 0 and y * z > 1:
        numbers = numbers % x
    elif axis == 1:
        numbers = numbers // x % y
    elif axis == 2:
        numbers = numbers // (x * y)
    index: Array = numbers.astype(np.uint32)
    return index if base == "tid" else index[batch.block_of]


__all__ = ["Batch", "Geometry", "Registers", "Warps", "special_registers"]
