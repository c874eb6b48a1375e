"""Every opcode that the simulated device executes, and words for those that it does not."""

from __future__ import annotations

from . import (
    arithmetic,
    async_copy,
    atomics,
    comparison,
    control,
    conversion,
    matrix,
    mbarrier,
    movement,
    warp,
    wgmma,
)
from .decode import Builder

BUILDERS: dict[str, Builder] = {
    **arithmetic.BUILDERS, **comparison.BUILDERS, **conversion.BUILDERS, **movement.BUILDERS, **control.BUILDERS,
    **warp.BUILDERS,
    **atomics.BUILDERS, **async_copy.BUILDERS, **mbarrier.BUILDERS, **matrix.BUILDERS, **wgmma.BUILDERS,
}  # fmt: skip
"""By the first part of the opcode."""

_REFUSED = {
    "tcgen05": "tensor memory (tcgen05)", "tex": "textures", "tld4": "textures", "txq": "textures", "suld": "surfaces",
    "sust": "surfaces", "sured": "surfaces", "suq": "surfaces", "mapa": "clusters (mapa)",
    "getctarank": "clusters (getctarank)", "multimem": "multimem (several devices)",
    "clusterlaunchcontrol": "clusters (clusterlaunchcontrol)", "tensormap": "tensor maps (tensormap.replace)",
    "istypep": "textures", "alloca": "a stack of variable size (alloca)", "stacksave": "a stack of variable size",
    "stackrestore": "a stack of variable size", "wmma": "wmma (use mma.sync)",
    "call": "calls",
}  # fmt: skip


def refusal(opcode: tuple[str, ...]) -> str:
    """What an unknown opcode belongs to."""
    return _REFUSED.get(opcode[0], f"the instruction {'.'.join(opcode)}")
