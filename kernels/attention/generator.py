"""Attention in f32, f16 and bf16: softmax(scale · Q Kᵀ + mask) V, whose scores never reach memory.

Kernel `attention` uses this generator. Read the files in this order:

    shape.py      the operation as loops: which are rows, batch, keys, inner and columns, and how they move operands
    generator.py  this file: the blocks of rows and keys of one workgroup
    block.py      the three steps of one block: scores, weights, sums

The idea is the online softmax (Milakov and Gimelshein, "Online normalizer calculation for softmax") in blocks, as in
FlashAttention (Dao et al.): for each row of queries the largest score so far, the sum of weights so far and the
weighted sum of values so far are kept; a block of keys that has a larger score scales what came before.

    for block of ROWS rows                             grid x;   batch: grid y
      for block of KEYS keys                           K and V of it stay in the first-level cache for all rows
        for tile of R rows
          scores    S[r][key] = Σ query[r][·] · key[key][·]         R × 4 dot products at a time
          weights   S = exp(scale · S + mask − max), row by row      vectors along the keys
          sums      O[r][·] = O[r][·] · exp(old max − max) + Σ S[r][key] · value[key][·]
      out = O / sum of weights

**Scores** are dot products: queries and keys both lie contiguous along `inner`, so neither is packed or transposed. A
step loads R vectors of queries and 4 of keys for 4 R multiply-adds; with R = 2 these are 8 sums in registers, which a
multiply-add's latency of four cycles on two units asks for, and 14 of 16 registers. The lanes of four sums are added by
shuffles that end in one vector of four scores.

**Sums** hold R rows × 4 vectors of columns in registers over the keys of a block: each step loads 4 vectors of values
and broadcasts R weights for 4 R multiply-adds.

**Blocks.** 32 keys of 64 elements are 8 KB, and as much of values: half of a 32 KB first-level cache. 16 rows share
them. The sums of 16 rows take 16 · 4 · columns bytes of the stack, at most 16 KB (`shape.MOST_COLUMNS`).

**Narrow types** are widened as they are loaded, and all sums are f32: a score of f16 would overflow at 65,504.

A row without any key that counts gives NaN, as 0 / 0 does. NaN in a score makes its row NaN.
"""

from __future__ import annotations

from substitute.codegen.unsupported import Unsupported
from substitute.errors import PayloadError
from substitute.model.dispatch import Program
from substitute.model.index import apply
from substitute.model.plan import Generated, Request

from .block import Block
from .shape import read_attention

ROWS = 16
"""Rows of a workgroup."""


def can_generate(program: Program) -> str:
    """Return why this program is no attention that `generate` can do; empty if it is one."""
    try:
        read_attention(program)
    except Unsupported as why:
        return str(why)
    return ""


def generate(request: Request) -> Generated:
    """Return the code. Raises `PayloadError` where `can_generate` gives a reason."""
    try:
        attention = read_attention(request.program)
    except Unsupported as why:
        raise PayloadError(
            f"no code for this attention: {why}", where=request.substitution.dispatch.name, next_step="leave it to IREE"
        ) from why
    count = attention.count(attention.rows)
    block = Block(request, attention, rows=min(ROWS, count) if isinstance(count, int) else ROWS)
    function, builder = block.function, block.builder
    first = builder.mul(function.workgroup[0], function.index(block.rows), flags=("nsw",))
    base = block.split(function.workgroup[1], attention.batch)
    block.begin()
    with function.loop(0, function.index(attention.sizes[attention.keys]), block.keys) as keys:
        block.set_keys(keys.index)
        with function.loop(0, block.rows, block.tile) as loop:
            block.scores(base, first, loop.index)
            block.weights(base, first, loop.index)
            block.sums(base, loop.index)
    block.store(base, first)
    grid = (apply("ceildiv", count, block.rows), attention.count(attention.batch), 1)
    return Generated(text=function.finish(), workgroup_count=grid, finished=True, summary=str(block))
