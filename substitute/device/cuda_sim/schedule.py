"""Execution of a batch, and the choice of the lanes that run next.

While all lanes are at one position they run as one vector. After a divergence, those at the lowest position run first,
so that lanes meet again where their paths join (PTX positions follow the program's order). Lanes that spin yield after
a while; lanes that wait for a barrier, for the rest of their warp or on an mbarrier do not run until it may help.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .barriers import Barriers, BarrierUse, reduce_votes
from .batch import AT_BARRIER, AT_WARP, EXITED, RUNNABLE, WAITING, YIELDED, Batch, special_registers
from .code import Code, Segment
from .faults import Place, Stop
from .types import Array, Registers
from .unwritten import run_with_unwritten

PATIENCE = 2048
"""Number of backward jumps of lanes before others get a turn."""
_EFFORT_OF_LOOKING = 64
"""Cost of an iteration of a polling loop in such jumps: spinning does not help it."""
_FAR = np.int32(2**31 - 1)


@dataclass(slots=True)
class Run:
    """A batch during its execution."""

    code: Code
    batch: Batch
    registers: Registers
    step_limit: int
    pc: Array
    """[lanes] int32, meaningful while lanes diverge."""
    barriers: Barriers
    lane_instructions: int = 0
    spins: int = 0
    released_at: int = -1
    """`batch.changes` when waiting lanes were last released."""
    owned: set[int] = field(default_factory=set)
    """Slots whose arrays are not shared, so that they can be written in place."""
    forced: bool = False
    """True if a warp-level instruction runs with the lanes that are present, as the others never arrive."""

    def execute(self) -> None:
        """Run to the end. Raises `Stop` if the lanes cannot go on."""
        at: int | None = 0
        while at is not None:
            at = self._together(at)
            if at == len(self.code.steps):
                return
            if at is None:
                at = self._apart()

    # -- all lanes at one position ----------------------------------------------------------------------------------
    def _together(self, at: int) -> int | None:
        """Run until lanes diverge (None) or all have ended (the position after the last step)."""
        m, r, code = self.batch, self.registers, self.code
        m.activate(None)
        self.owned.clear()
        warps = len(m.blocks) * m.warps_per_block
        while at < len(code.steps):
            segment = code.segment(at, divergent=False)
            self._run_steps(segment, r)
            length = segment.end - segment.start
            m.steps += length * warps
            self.lane_instructions += length * m.total
            if m.steps > self.step_limit:
                self._too_long(segment.place)
            following = self._decide_together(segment)
            if following is None:
                return None
            at = following
        m.state[:] = EXITED
        return at

    def _decide_together(self, segment: Segment) -> int | None:
        """Return the position where all go on; None if they diverge, with their positions in `pc` and the states."""
        control, m, r = segment.control, self.batch, self.registers
        if control is None:
            return segment.end
        if control.kind == "barrier":
            return self._barrier_together(segment, control.data)
        if control.kind == "yield":
            assert control.index is not None
            waits = np.broadcast_to(control.index(r), (m.total,))
            if not waits.any():
                return segment.end
            self.pc[:] = segment.end
            m.state[waits] = WAITING
            return None
        if control.kind == "switch":
            assert control.index is not None
            choice = np.broadcast_to(control.index(r), (m.total,)).astype(np.int64)
            to = self._switch(control.targets, choice, segment)
        else:
            taken = None if control.guard is None else control.guard(r)
            target = control.targets[0] if control.kind == "branch" else len(self.code.steps)
            if control.kind == "trap" and (taken is None or taken.any()):
                self._trap(segment.place, taken)
            if taken is None or taken.all():
                return target
            if not taken.any():
                return segment.end
            to = np.where(taken, np.int32(target), np.int32(segment.end))
        if control.kind == "switch" and control.guard is not None:
            to = np.where(control.guard(r), to, np.int32(segment.end))
        to = np.broadcast_to(to, (m.total,))
        if (to == to[0]).all():
            return int(to[0])
        self.pc[:] = to
        m.state[self.pc >= len(self.code.steps)] = EXITED
        return None

    def _barrier_together(self, segment: Segment, use: BarrierUse) -> int | None:
        m, r = self.batch, self.registers
        guard = segment.control.guard if segment.control else None
        number = use.number(r)
        everyone = use.threads is None
        if use.threads is not None:
            threads = use.threads(r)
            everyone = bool((threads == 32 * m.warps_per_block).all())
        whole = guard is None or bool(guard(r).all())
        if guard is not None and not guard(r).any():
            return segment.end
        same = bool((number == number[0]).all())
        if everyone and whole and same and use.mode != "arrive" and not self.barriers.waiting:
            if m.hazards is not None:
                m.hazards.join_all()
            if use.store is not None and use.predicate is not None:
                votes = np.broadcast_to(use.predicate(r), (m.total,)).reshape(len(m.blocks), -1)
                results = np.concatenate([reduce_votes(use.reduction, row) for row in votes])
                use.store(r, np.repeat(results, m.geometry.threads), np.arange(m.total), m.total)
            return segment.end
        self.pc[:] = segment.end
        if whole:
            self.barriers.arrive(m, use, r, segment.place, r)
        else:
            assert guard is not None
            self._arrive_some(use, segment, r, guard(r))
        return None

    def _arrive_some(self, use: BarrierUse, segment: Segment, r: Registers, keep: Array) -> None:
        """Record the arrival of the lanes that a guard selects."""
        m = self.batch
        lanes = m.chosen(np.flatnonzero(np.broadcast_to(keep, (m.count,))))
        before = m.lanes
        m.activate(lanes)
        local = self._gather(segment.gathers, lanes)
        self.barriers.arrive(m, use, local, segment.place, self.registers)
        m.activate(before)

    # -- lanes at several positions ---------------------------------------------------------------------------------
    def _apart(self) -> int | None:
        """Run groups of lanes until all are at one position again (which is returned), or have ended (None)."""
        m, code = self.batch, self.code
        end = len(code.steps)
        while True:
            running = m.state == RUNNABLE
            at = int(np.where(running, self.pc, _FAR).min())
            if at == _FAR:
                if (m.state == EXITED).all():
                    return None
                self._wake()
                continue
            joint = code.steps[at].members is not None if at < end else False
            lanes = np.flatnonzero((self.pc == at) & ((running | (m.state == AT_WARP)) if joint else running))
            if at >= end:
                m.state[lanes] = EXITED
                continue
            if len(lanes) == m.total:
                m.state[:] = RUNNABLE
                return at
            if joint:
                if not self._gathered(at, lanes):
                    continue
                m.state[lanes] = RUNNABLE
            self._stretch(at, lanes, running)

    def _stretch(self, at: int, lanes: Array, running: Array | None = None) -> None:
        """Run one segment for some lanes; `running`: all runnable lanes, which a spinning loop keeps waiting.

        A segment that is a loop goes on with the lanes that stay in it: they are still the lowest ones.
        """
        m = self.batch
        segment = self.code.segment(at, divergent=True)
        control = segment.control
        m.activate(lanes)
        local = self._gather(segment.gathers, lanes)
        warps = self._count_warps(lanes)
        others = running is None or int(np.count_nonzero(running)) > len(lanes)
        loop = control is not None and control.kind == "branch" and control.targets[0] == at
        effort = _EFFORT_OF_LOOKING if segment.awaits else 1
        turns = loop and control is not None and control.guard is not None and self.code.steps[at].members is None
        while True:
            self._run_segment(segment, local, len(lanes), warps)
            if not turns:
                break
            assert control is not None and control.guard is not None
            self.spins += others * effort
            taken = np.broadcast_to(control.guard(local), lanes.shape)
            if self.spins > PATIENCE or not taken.any():
                break
            if not taken.all():
                self._leave(segment, lanes, local, np.flatnonzero(~taken))
                stay = np.flatnonzero(taken)
                lanes, local = lanes[stay], self._narrowed(segment.gathers, local, stay)
                warps, others = self._count_warps(lanes), True
                m.activate(lanes)
        self._scatter(segment.scatters, lanes, local)
        self._decide_apart(segment, lanes, local)
        back = control is not None and any(target <= at for target in control.targets)
        # a loop may have several segments, so that going forward is no sign of having left it
        if back and not turns:
            self.spins += others * effort
        if self.spins > PATIENCE:
            m.state[lanes[m.state[lanes] == RUNNABLE]] = YIELDED
            self.spins = 0

    def _run_segment(self, segment: Segment, local: Registers, lanes: int, warps: int) -> None:
        m = self.batch
        self._run_steps(segment, local)
        length = segment.end - segment.start
        m.steps += length * warps
        self.lane_instructions += length * lanes
        if m.steps > self.step_limit:
            self._too_long(segment.place)

    def _run_steps(self, segment: Segment, registers: Registers) -> None:
        m = self.batch
        if not m.unwritten and not segment.loads_early:
            for run in segment.runs:
                run(m, registers)
            return
        names = self.code.slots.names
        for step in segment.steps:
            if m.unwritten:
                run_with_unwritten(m, registers, step, names)
            elif step.run is not None:
                step.run(m, registers)

    def _count_warps(self, lanes: Array) -> int:
        numbers = self.batch.warp_of[lanes]
        return 1 + int(np.count_nonzero(numbers[1:] != numbers[:-1]))

    def _leave(self, segment: Segment, lanes: Array, local: Registers, out: Array) -> None:
        """Write back the registers of lanes that leave a loop, and set their position after it."""
        gone = lanes[out]
        self._scatter(segment.scatters, gone, self._narrowed(segment.scatters, local, out))
        self.pc[gone] = segment.end

    def _narrowed(self, slots: tuple[int, ...], local: Registers, keep: Array) -> Registers:
        """Return registers of some of the active lanes, by position."""
        narrow: Registers = list(local)
        for slot in slots:
            value = narrow[slot]
            if value.shape[0] != 1:
                narrow[slot] = value[keep]
        return narrow

    def _decide_apart(self, segment: Segment, lanes: Array, local: Registers) -> None:
        control, m, end = segment.control, self.batch, len(self.code.steps)
        if control is not None and control.kind == "branch" and max(control.targets[0], segment.end) < end:
            if control.guard is None:
                self.pc[lanes] = control.targets[0]
            else:
                taken = control.guard(local)
                self.pc[lanes] = np.where(taken, np.int32(control.targets[0]), np.int32(segment.end))
            return
        self.pc[lanes] = segment.end
        if control is None:
            return
        guard = None if control.guard is None else np.broadcast_to(control.guard(local), lanes.shape)
        if control.kind == "barrier":
            if guard is None:
                self.barriers.arrive(m, control.data, local, segment.place, self.registers)
            elif guard.any():
                self._arrive_some(control.data, segment, local, guard)
            return
        if control.kind == "yield":
            assert control.index is not None
            waits = np.broadcast_to(control.index(local), lanes.shape)
            m.state[lanes[waits]] = WAITING
            return
        chosen = lanes if guard is None else lanes[guard]
        if control.kind == "branch":
            self.pc[chosen] = control.targets[0]
        elif control.kind == "switch":
            assert control.index is not None
            choice = np.broadcast_to(control.index(local), lanes.shape).astype(np.int64)
            to = self._switch(control.targets, choice, segment)
            self.pc[lanes] = to if guard is None else np.where(guard, to, segment.end)
        else:
            if control.kind == "trap" and chosen.size:
                self._trap(segment.place, guard)
            self.pc[chosen] = end
        m.state[lanes[self.pc[lanes] >= end]] = EXITED

    def _gather(self, slots: tuple[int, ...], lanes: Array) -> Registers:
        local: Registers = list(self.registers)
        for slot in slots:
            value = local[slot]
            if value.shape[0] != 1:
                local[slot] = value[lanes]
        return local

    def _scatter(self, slots: tuple[int, ...], lanes: Array, local: Registers) -> None:
        for slot in slots:
            whole = self.registers[slot]
            if slot not in self.owned:
                # other slots may hold the same array after a `mov`
                whole = np.repeat(whole, self.batch.total) if whole.shape[0] == 1 else whole.copy()
                self.registers[slot] = whole
                self.owned.add(slot)
            whole[lanes] = local[slot]

    # -- waiting ----------------------------------------------------------------------------------------------------
    def _gathered(self, at: int, lanes: Array) -> bool:
        """Return whether all lanes named by a warp-level instruction are present; those of incomplete warps wait."""
        m, step = self.batch, self.code.steps[at]
        if self.forced:
            self.forced = False
            return True
        assert step.members is not None
        local = self._gather(tuple(sorted(step.uses)), lanes)
        masks = np.broadcast_to(step.members(local), lanes.shape).astype(np.uint32)
        width = step.width
        group_of = m.warp_of // (width // 32)
        groups, row = np.unique(group_of[lanes], return_inverse=True)
        present = np.zeros((len(groups), width), bool)
        present[row, m.thread_of[lanes] % width] = True
        alive = np.zeros((int(group_of.max()) + 1, width), bool)
        alive[group_of, m.thread_of % width] = m.state != EXITED
        named = np.zeros(len(groups), np.uint32)
        np.bitwise_or.at(named, row, masks)
        wanted = ((named[:, None] >> (np.arange(width, dtype=np.uint32) % 32)) & 1).astype(bool) & alive[groups]
        incomplete = (wanted & ~present).any(axis=1)
        if not incomplete.any():
            return True
        m.state[lanes[incomplete[row]]] = AT_WARP
        complete = lanes[~incomplete[row]]
        if complete.size:
            m.state[complete] = RUNNABLE
            self._stretch(at, complete)
        return False

    def _gathered_late(self, waiting: Array) -> bool:
        """Release warps whose missing lanes have exited since the others arrived; return whether there are any."""
        m = self.batch
        for at in np.unique(self.pc[waiting]).tolist():
            lanes = np.flatnonzero(waiting & (self.pc == at))
            if self._gathered(at, lanes):
                m.state[lanes] = RUNNABLE
                self._stretch(at, lanes)
                return True
            if (m.state[lanes] != AT_WARP).any():
                return True
        return False

    def _wake(self) -> None:
        """Release lanes when none can run, or report the deadlock."""
        m = self.batch
        yielded = m.state == YIELDED
        if yielded.any():
            m.state[yielded] = RUNNABLE
            return
        deliver = m.units.get("deliver")
        if deliver is not None and deliver(m):
            m.changes += 1
        waiting = m.state == WAITING
        if waiting.any() and m.changes != self.released_at:
            self.released_at = m.changes
            m.state[waiting] = RUNNABLE
            return
        warps = m.state == AT_WARP
        if warps.any():
            if self._gathered_late(warps):
                return
            at = int(self.pc[warps].min())
            lane = int(np.flatnonzero(warps & (self.pc == at))[0])
            m.fault(
                "warp",
                self.code.steps[at].place,
                lane,
                "lanes that the mask names never come here: they have gone another way or wait elsewhere",
                count=int(np.count_nonzero(warps)),
            )
            m.state[warps & (self.pc == at)] = RUNNABLE
            self.forced = True
            return
        if self.barriers.stuck(m, self.registers):
            return
        self._deadlock()

    def _deadlock(self) -> None:
        m = self.batch
        lanes = np.flatnonzero((m.state == AT_BARRIER) | (m.state == WAITING))
        words = []
        for at in np.unique(self.pc[lanes])[:4].tolist():
            place = self.code.steps[max(int(at) - 1, 0)].place
            words.append(f"{int(np.count_nonzero(self.pc[lanes] == at))} at line {place.line} ({place.text})")
        first = int(lanes[0])
        place = self.code.steps[max(int(self.pc[first]) - 1, 0)].place
        m.fault("deadlock", place, first, "threads wait for each other for ever: " + ", ".join(words), count=len(lanes))
        raise Stop

    # -- ends -------------------------------------------------------------------------------------------------------
    def _switch(self, targets: tuple[int, ...], choice: Array, segment: Segment) -> Array:
        m = self.batch
        bad = choice >= len(targets)
        if bad.any():
            lane = int(m.chosen(None)[int(bad.argmax())])
            words = f"branch {int(choice[bad.argmax()])} of a table of {len(targets)}"
            m.fault("trap", segment.place, lane, words, count=int(bad.sum()))
            raise Stop
        return np.asarray(targets, np.int32)[choice]

    def _trap(self, place: Place, taken: Array | None) -> None:
        m = self.batch
        lanes = m.chosen(None)
        first = 0 if taken is None else int(np.broadcast_to(taken, lanes.shape).argmax())
        m.fault("trap", place, int(lanes[first]), "the kernel traps")
        raise Stop

    def _too_long(self, place: Place) -> None:
        m = self.batch
        words = f"more than {self.step_limit:,} warp instructions: an endless loop, or a limit that is too low"
        m.fault("step-limit", place, int(m.chosen(None)[0]), words)
        raise Stop


def start(code: Code, batch: Batch, addresses: dict[str, int], step_limit: int) -> Run:
    """Return a batch ready to run; `addresses`: those of the module's variables."""
    slots = code.slots
    registers = code.initial_registers()
    for slot, (name, offset) in slots.symbols.items():
        raw = np.array([addresses[name] + offset], np.int64).astype(np.uint64)
        registers[slot] = raw.astype(f"u{slots.dtypes[slot].itemsize}").view(slots.dtypes[slot])
    special = special_registers(batch, tuple(slots.special))
    for name, slot in slots.special.items():
        registers[slot] = special[name]
    batch.units["written"] = {slot: np.zeros(batch.total, bool) for slot in code.suspects}
    return Run(
        code=code,
        batch=batch,
        registers=registers,
        step_limit=step_limit,
        pc=np.zeros(batch.total, np.int32),
        barriers=Barriers(),
    )
