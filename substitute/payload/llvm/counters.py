"""Counters in LLVM IR: a byte for each block and for each edge of each branch, set when the code is executed.

Where the code stores into memory that stays from launch to launch (static variables), it is held up for a while: other
threads come by meanwhile, and see what is only half done.

The bytes are at a fixed address, which the process that runs the code has to map (`device.counted`). So the code's
arguments do not change, and no symbol has to be looked up in the library that IREE builds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from ...model.coverage import Code, Way
from .definitions import SLOTS_BELOW

ADDRESS = 0x2A00_0000_0000
"""An address far from where Linux maps programs, heaps, libraries and stacks, on x86-64 and AArch64."""
SIZE = 1 << 22
"""Bytes of counters; behind them lies the number of pauses that are left."""
PAUSES = ADDRESS + SIZE
PAUSE_STEPS = 1 << 19
"""Steps of a pause, of about a nanosecond each."""
_VARIABLE = re.compile(r'^(@"[^"]*"|@[\w.$-]+) = (?:[\w-]+ |[\w-]+\(\w*\) )*?global ', re.MULTILINE)
_POINTER = re.compile(r'(%"[^"]*"|%[\w.$-]+) = (?:getelementptr|bitcast|addrspacecast|select|phi)\b(.*)')
_CHANGE = re.compile(r"^\s+(?:store (?:atomic |volatile )*|(?:%\S+ = )?(?:atomicrmw|cmpxchg) )(.*)")
_NAME = re.compile(r'[%@](?:"[^"]*"|[\w.$-]+)')
_PAUSE = f"""
define internal void @substitute.pause() noinline {{
entry:
  %left = load volatile i32, ptr inttoptr (i64 {PAUSES} to ptr)
  %any = icmp sgt i32 %left, 0
  br i1 %any, label %begin, label %done
begin:
  %fewer = sub i32 %left, 1
  store volatile i32 %fewer, ptr inttoptr (i64 {PAUSES} to ptr)
  %at = alloca i32
  br label %spin
spin:
  %step = phi i32 [ 0, %begin ], [ %next, %spin ]
  store volatile i32 %step, ptr %at
  %next = add i32 %step, 1
  %more = icmp ult i32 %next, {PAUSE_STEPS}
  br i1 %more, label %spin, label %done
done:
  ret void
}}
"""
_LABEL = re.compile(r'^("[^"]*"|[\w.$-]+):')
_BRANCH = re.compile(r"^\s+br i1 (.+), label (%\"[^\"]*\"|%[\w.$-]+), label (%\"[^\"]*\"|%[\w.$-]+)")
_SWITCH_TARGET = re.compile(r"label (%\"[^\"]*\"|%[\w.$-]+)")
_MEMORY = re.compile(r"\s*\bmemory\([^()]*\)")
_OLD_MEMORY = re.compile(r"\b(?:readnone|readonly|writeonly|argmemonly|inaccessiblememonly|speculatable)\b")
_ALIGNED = re.compile(r'^\s+(?:%\S+ = )?(?:load|store) .*, ptr (%"[^"]*"|%[\w.$-]+),(?: .*,)? align (\d+)')
MOST_NATURAL = 4
"""Alignment in bytes up to which nothing is checked: that of the elements of most operands."""
_PLACE = re.compile(r"!dbg !(\d+)")
_LOCATION = re.compile(r"^!(\d+) = (?:distinct )?!DILocation\(line: (\d+)", re.MULTILINE)


@dataclass(slots=True)
class Counters:
    """Counters of several pieces of code; the same text gets the same ones. A class, because it allocates them."""

    codes: dict[str, Code] = field(default_factory=dict)
    _texts: dict[str, tuple[str, str]] = field(default_factory=dict)
    _next: int = 0

    @property
    def used(self) -> int:
        """Number of allocated bytes."""
        return self._next

    def put_into(self, text: str, name: str) -> tuple[str, str]:
        """Return a module's text with counters, and the key of its code in `codes`."""
        if text not in self._texts:
            key = f"{name} #{len(self.codes) + 1}" if name in self.codes else name
            counted, code = self._count(text)
            counted, changed = _with_pauses(counted)
            self.codes[key] = replace(code, state=changed)
            self._texts[text] = counted, key
        return self._texts[text]

    def _take(self) -> int:
        at = self._next
        self._next += 1
        return at

    def _count(self, text: str) -> tuple[str, Code]:
        text, below, rest = text.partition(SLOTS_BELOW)
        lines = text.splitlines()
        places = dict(_LOCATION.findall(text))
        dead = _ends(lines)
        done: list[str] = []
        ways: list[Way] = []
        blocks: list[Way] = []
        entries: set[int] = set()
        aligned: list[Way] = []
        inside, pending, function, in_switch = False, "", 0, False
        targets: set[tuple[int, str]] = set()
        for line in lines:
            function += line.startswith("define ")
            if in_switch or line.lstrip().startswith("switch "):
                targets |= {(function, label[1:]) for label in _SWITCH_TARGET.findall(line)}
                in_switch = "]" not in line
        in_switch, function, unique = False, 0, 0
        for number, line in enumerate(lines, start=1):
            if line.startswith("define "):
                inside, function = True, function + 1
                entries.add(self._next)
                pending = _mark(self._take())
                done.append(_without_effects(line))
                continue
            if line.startswith("attributes #"):
                done.append(_OLD_MEMORY.sub("", _MEMORY.sub("", line)))
                continue
            if not inside:
                done.append(line)
                continue
            if line == "}":
                inside = False
                done.append(line)
                continue
            label = _LABEL.match(line)
            if label is not None:
                name = label[1]
                done.append(line)
                if (function, name) in targets and (function, name) not in dead:
                    at = self._take()
                    blocks.append(Way(at=at, line=number, text=f"block {name}", way=""))
                    pending = _mark(at)
                continue
            if (
                pending
                and line.strip() not in ("", "{")
                and " = phi " not in line
                and not line.lstrip().startswith(";")
            ):
                done.append(pending)
                pending = ""
            branch = _BRANCH.match(line)
            if branch is not None and branch[2] != branch[3]:
                taken, other = self._take(), self._take()
                place = _PLACE.search(line)
                at_line = int(places[place[1]]) if place is not None and place[1] in places else number
                shown = line.partition(", !")[0].strip()
                unique += 1
                for at, target, way in ((taken, branch[2], "true"), (other, branch[3], "false")):
                    if (function, target[1:]) not in dead:
                        ways.append(Way(at=at, line=at_line, text=shown, way=way, branch=unique))
                done.append(
                    f"  %count.{unique} = select i1 {branch[1]}, ptr inttoptr (i64 {ADDRESS + taken} to ptr), "
                    f"ptr inttoptr (i64 {ADDRESS + other} to ptr)"
                )
                done.append(f"  store i8 1, ptr %count.{unique}, align 1")
            access = _ALIGNED.match(line)
            if access is not None and int(access[2]) > MOST_NATURAL:
                at, no = self._take(), self._take()
                place = _PLACE.search(line)
                at_line = int(places[place[1]]) if place is not None and place[1] in places else number
                aligned.append(Way(at=at, line=at_line, text=line.partition(", !")[0].strip(), way=""))
                done += _check_alignment(access[1], int(access[2]), at, no)
            done.append(_MEMORY.sub("", line) if " call " in line else line)
        code = Code(ways=tuple(ways), blocks=tuple(blocks), entries=frozenset(entries), aligned=tuple(aligned))
        return "\n".join(done) + f"\n{below}{rest}", code


def _check_alignment(pointer: str, alignment: int, at: int, no: int) -> list[str]:
    """Return instructions that set counter `at` where an address is no multiple of what the code takes it for."""
    return [
        f"  %address.{at} = ptrtoint ptr {pointer} to i64",
        f"  %rest.{at} = and i64 %address.{at}, {alignment - 1}",
        f"  %odd.{at} = icmp ne i64 %rest.{at}, 0",
        f"  %mark.{at} = select i1 %odd.{at}, ptr inttoptr (i64 {ADDRESS + at} to ptr), "
        f"ptr inttoptr (i64 {ADDRESS + no} to ptr)",
        f"  store i8 1, ptr %mark.{at}, align 1",
    ]


def _mark(at: int) -> str:
    """Return the instruction that sets a counter."""
    return f"  store i8 1, ptr inttoptr (i64 {ADDRESS + at} to ptr), align 1"


def _ends(lines: list[str]) -> set[tuple[int, str]]:
    """Return the blocks that end in `unreachable`: traps, which need not be entered."""
    found: set[tuple[int, str]] = set()
    function, name = 0, ""
    for line in lines:
        if line.startswith("define "):
            function, name = function + 1, ""
        label = _LABEL.match(line)
        if label is not None:
            name = label[1]
        if name and line.strip().partition(",")[0] == "unreachable":
            found.add((function, name))
    return found


def _without_effects(line: str) -> str:
    """Return a definition's line without the attributes that exclude writes to memory."""
    head, bracket, tail = line.rpartition(")")
    while bracket and "memory(" in head[-24:]:  # the last bracket is that of an attribute
        line = _MEMORY.sub("", line)
        head, bracket, tail = line.rpartition(")")
    return head + bracket + _OLD_MEMORY.sub("", tail)


def _with_pauses(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a module that pauses where it changes static variables, and their names."""
    variables = set(_VARIABLE.findall(text))
    changed: dict[str, None] = {}
    reach: dict[str, str] = {}
    done: list[str] = []
    for line in text.splitlines() if variables else ():
        done.append(line)
        if line.startswith("define "):
            reach = {}
        pointer = _POINTER.search(line)
        if pointer is not None:
            of = next((n for n in map(lambda n: reach.get(n, n), _NAME.findall(pointer[2])) if n in variables), None)
            if of is not None:
                reach[pointer[1]] = of
        change = _CHANGE.match(line)
        if change is not None:
            named = [reach.get(name, name) for name in _NAME.findall(change[1].partition(", align")[0])]
            of = next((name for name in named if name in variables), None)
            if of is not None:
                changed[of] = None
                done.append("  call void @substitute.pause()")
    if not changed:
        return text, ()
    return "\n".join(done) + "\n" + _PAUSE, tuple(changed)
