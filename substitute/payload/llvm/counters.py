"""Counters in LLVM IR: a byte for each block and for each edge of each branch, set when the code is executed.

The bytes are at a fixed address, which the process that runs the code has to map (`device.counted`). So the code's
arguments do not change, and no symbol has to be looked up in the library that IREE builds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ...model.coverage import Code, Way

ADDRESS = 0x2A00_0000_0000
"""An address far from where Linux maps programs, heaps, libraries and stacks, on x86-64 and AArch64."""
SIZE = 1 << 22
_LABEL = re.compile(r'^("[^"]*"|[\w.$-]+):')
_BRANCH = re.compile(r"^\s+br i1 (.+), label (%\"[^\"]*\"|%[\w.$-]+), label (%\"[^\"]*\"|%[\w.$-]+)")
_SWITCH_TARGET = re.compile(r"label (%\"[^\"]*\"|%[\w.$-]+)")
_MEMORY = re.compile(r"\s*\bmemory\([^()]*\)")
_OLD_MEMORY = re.compile(r"\b(?:readnone|readonly|writeonly|argmemonly|inaccessiblememonly|speculatable)\b")
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
            counted, ways, blocks = self._count(text)
            self.codes[key] = Code(ways=tuple(ways), blocks=tuple(blocks))
            self._texts[text] = counted, key
        return self._texts[text]

    def _take(self) -> int:
        at = self._next
        self._next += 1
        return at

    def _count(self, text: str) -> tuple[str, list[Way], list[Way]]:
        lines = text.splitlines()
        places = dict(_LOCATION.findall(text))
        dead = _ends(lines)
        done: list[str] = []
        ways: list[Way] = []
        blocks: list[Way] = []
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
                inside, function, pending = True, function + 1, ""
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
                pending = name if (function, name) in targets and (function, name) not in dead else ""
                done.append(line)
                if pending:
                    at = self._take()
                    blocks.append(Way(at=at, line=number, text=f"block {name}", way=""))
                    pending = f"  store i8 1, ptr inttoptr (i64 {ADDRESS + at} to ptr), align 1"
                continue
            if pending and line.strip() and " = phi " not in line and not line.lstrip().startswith(";"):
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
            done.append(_MEMORY.sub("", line) if " call " in line else line)
        return "\n".join(done) + "\n", ways, blocks


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
