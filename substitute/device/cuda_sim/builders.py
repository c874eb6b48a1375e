"""Builders of all opcodes that the simulated device executes, and descriptions of those that it refuses."""

from __future__ import annotations

from . import (
    arithmetic,
    async_copy,
    atomics,
    bitwise,
    carry,
    comparison,
    control,
    conversion,
    matrix,
    mbarrier,
    movement,
    stack,
    video,
    warp,
    wgmma,
    wmma,
)
from .decode import Builder

BUILDERS: dict[str, Builder] = {
    **arithmetic.BUILDERS,
    **carry.BUILDERS,
    **bitwise.BUILDERS,
    **video.BUILDERS,
    **comparison.BUILDERS,
    **conversion.BUILDERS,
    **movement.BUILDERS,
    **stack.BUILDERS,
    **control.BUILDERS,
    **warp.BUILDERS,
    **atomics.BUILDERS,
    **async_copy.BUILDERS,
    **mbarrier.BUILDERS,
    **matrix.BUILDERS,
    **wgmma.BUILDERS,
    **wmma.BUILDERS,
}
"""Builders by the first part of the opcode."""
OPERANDS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("add", "sub", "addc", "subc", "mul", "mul24", "div", "rem", "and", "or", "xor", "shl"), (3,)),
    **dict.fromkeys(("mad", "mad24", "madc", "fma", "sad", "prmt", "dp4a", "dp2a", "shf", "bfe", "selp", "slct"), (4,)),
    **dict.fromkeys(("abs", "neg", "not", "cnot", "popc", "clz", "brev", "bfind", "testp", "rcp", "sqrt"), (2,)),
    **dict.fromkeys(("rsqrt", "ex2", "lg2", "sin", "cos", "tanh", "mov"), (2,)),
    **dict.fromkeys(("min", "max"), (3, 4)),
    "fns": (4,),
    "shr": (3,),
    "bfi": (5,),
    "lop3": (5, 6),
    "setp": (3, 4),
    "set": (3, 4),
    "copysign": (3,),
    "ld": (2, 3),
    "st": (2, 3),
}
"""Numbers of operands that an instruction may have."""

_REFUSED = {
    "tcgen05": "tensor memory (tcgen05)",
    "tex": "textures",
    "tld4": "textures",
    "txq": "textures",
    "suld": "surfaces",
    "sust": "surfaces",
    "sured": "surfaces",
    "suq": "surfaces",
    "mapa": "clusters (mapa)",
    "getctarank": "clusters (getctarank)",
    "multimem": "multimem (several devices)",
    "clusterlaunchcontrol": "clusters (clusterlaunchcontrol)",
    "tensormap": "tensor maps (tensormap.replace)",
    "istypep": "textures",
    "call": "calls",
}


def refusal(opcode: tuple[str, ...]) -> str:
    """Return the description of the feature that an unsupported opcode belongs to."""
    return _REFUSED.get(opcode[0], f"the instruction {'.'.join(opcode)}")
