"""Checks of opcodes: the modifiers that an instruction may have, and that each of them was read.

A builder asks for the modifiers that it supports. One that is never asked for would be dropped silently, so the decoder
refuses it by name (`Words.unasked`). `HARMLESS` lists those that may be dropped here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, SupportsIndex, overload

from .faults import Refused
from .types import DTYPES


class Words(tuple[str, ...]):
    """An opcode's words. `word in words` and `words[1]` mark a word as read; slices and loops do not."""

    asked: set[str]

    def __new__(cls, words: Iterable[str]) -> Words:
        """Return the words, of which only the first is marked as read."""
        self = super().__new__(cls, words)
        self.asked = set(tuple(self)[:1])
        return self

    def __contains__(self, word: object) -> bool:
        found = super().__contains__(word)
        if found:
            self.asked.add(str(word))
        return found

    @overload
    def __getitem__(self, at: SupportsIndex) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[str, ...]: ...
    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        if isinstance(found, str):
            self.asked.add(found)
        return found

    def unasked(self) -> list[str]:
        """Return the modifiers that no builder has read and that have an effect."""
        harmless = HARMLESS.get(tuple.__getitem__(self, 0), frozenset())
        return [word for word in self if word not in self.asked and word not in harmless]


def note(opcode: tuple[str, ...], words: Iterable[str]) -> None:
    """Mark words as read."""
    if isinstance(opcode, Words):
        opcode.asked.update(words)


class Modifiers(set[str]):
    """The modifiers of an opcode; asking for one marks it as read."""

    opcode: tuple[str, ...] = ()

    def __contains__(self, word: object) -> bool:
        found = super().__contains__(word)
        if found:
            note(self.opcode, (str(word),))
        return found


def split(
    opcode: tuple[str, ...],
    allowed: Iterable[str] = (),
    types: Iterable[str] | None = None,
    *,
    count: int = 1,
    types_first: bool = False,
) -> Modifiers:
    """Return the modifiers between an opcode's name and its `count` types, or after these (`types_first`).

    Raises `Refused` for one that is not allowed.
    """
    found = Modifiers(opcode[1 + count :] if types_first else opcode[1:-count])
    found.opcode = opcode
    kinds = opcode[1 : 1 + count] if types_first else opcode[-count:]
    note(opcode, kinds)
    for modifier in sorted(set(found) - set(allowed)):
        raise Refused(f"the modifier .{modifier} of {opcode[0]}.{'.'.join(kinds)}")
    for kind in kinds:
        if kind not in (DTYPES if types is None else set(types)):
            raise Refused(f"the type .{kind} of {opcode[0]}")
    return found


_TYPES_LAST = {
    "add",
    "sub",
    "mul",
    "mad",
    "fma",
    "div",
    "addc",
    "subc",
    "madc",
    "min",
    "max",
    "abs",
    "neg",
    "rcp",
    "sqrt",
    "cvt",
}


def in_order(opcode: tuple[str, ...]) -> tuple[str, ...]:
    """Return the opcode with its types last, as in the ISA; ptxas accepts modifiers after them too."""
    if opcode[0] not in _TYPES_LAST:
        return opcode
    return (*(word for word in opcode if word not in DTYPES), *(word for word in opcode if word in DTYPES))


INTEGERS = tuple(f"{letter}{bits}" for letter in "usb" for bits in (8, 16, 32, 64))
FLOATS = ("f16", "bf16", "f32", "f64")
PACKED = ("f16x2", "bf16x2")


def _of(text: str) -> frozenset[str]:
    return frozenset(text.split())


_APPROXIMATE = _of("approx full rn")
"""Approximations are computed exactly and rounded to nearest, the rounding of all instructions that name none."""
_ORDER = _of("relaxed acquire release acq_rel sc weak mmio cta gpu sys volatile")
"""Memory order has no effect: the simulated memory is sequential."""
_CACHES = _of(
    "ca cg cs lu cv wb wt nc unified L1::evict_normal L1::evict_unchanged L1::evict_first L1::evict_last "
    "L1::no_allocate L2::64B L2::128B L2::256B L2::evict_first L2::evict_last L2::evict_normal L2::cache_hint"
)
_SPACES = _of("global shared shared::cta shared::cluster local const param param::func param::entry")
_WHOLE_WARP = _of("sync aligned")
"""All lanes of a warp execute it together, which is checked while it runs."""
_COPIES = _of("async ca cg async_group bulk bulk_group mbarrier mbarrier::complete_tx::bytes read b64 arrive")
_FENCES = _of(
    "gl proxy async alias generic sync_restrict mbarrier_init cluster async.global async::generic tensormap::generic "
    "sync_restrict::shared::cta sync_restrict::shared::cluster async.shared::cta"
)
_HINTS = _of("L1 L2 fractional range cvt b64")
HARMLESS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("add", "sub", "mul", "mad", "fma", "div", "ex2", "lg2", "sin", "cos", "tanh"), _APPROXIMATE),
    **dict.fromkeys(("rcp", "sqrt", "rsqrt"), _APPROXIMATE),
    **dict.fromkeys(("ld", "ldu", "st"), _ORDER | _CACHES | _SPACES | _of("v2 v4 v8")),
    **dict.fromkeys(("atom", "red"), _ORDER | _CACHES | _SPACES | _of("noftz")),
    **dict.fromkeys(("bra", "brx", "ret", "call"), _of("uni idx")),
    **dict.fromkeys(("bar", "barrier"), _WHOLE_WARP | _of("cta")),
    **dict.fromkeys(("ldmatrix", "stmatrix"), _WHOLE_WARP | _SPACES | _of("m8n8 x1 x2 x4")),
    **dict.fromkeys(("vote", "match", "redux", "shfl", "elect"), _WHOLE_WARP),
    **dict.fromkeys(("fence", "membar"), _ORDER | _SPACES | _FENCES),
    **dict.fromkeys(("prefetch", "prefetchu", "discard", "applypriority"), _CACHES | _SPACES | _HINTS),
    "createpolicy": _CACHES | _SPACES | _HINTS,
    "mma": _WHOLE_WARP | _of("row col kind::f8f6f4"),
    "movmatrix": _WHOLE_WARP | _of("m8n8 trans b16"),
    "wgmma": _WHOLE_WARP,
    "wmma": _WHOLE_WARP | _SPACES,
    "cp": _COPIES | _CACHES | _SPACES,
    "mbarrier": _ORDER | _SPACES | _of("b64 noComplete"),
    "cvta": _SPACES,
    "isspacep": _SPACES,
    "nanosleep": _of("u32"),
    "setmaxnreg": _WHOLE_WARP | _of("inc dec u32"),
    "griddepcontrol": _of("wait launch_dependents"),
    "activemask": _of("b32"),
}
"""Modifiers without an effect here, by instruction."""
