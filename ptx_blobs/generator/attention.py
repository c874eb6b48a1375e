"""Attention in f32 with a mask, in the manner of flash attention: scores are never stored in memory."""

from __future__ import annotations

from .rows import float_bits
from .text import module

HEAD, QUERIES, KEYS, THREADS = 64, 32, 32, 128
ROW = 4 * (HEAD + 4)
"""Bytes of a row of Q, K or V in shared memory: four words of padding."""
WEIGHTS = 4 * (KEYS + 1)
K_AT, V_AT, P_AT = QUERIES * ROW, (QUERIES + KEYS) * ROW, (QUERIES + 2 * KEYS) * ROW

NOTHING = float_bits(float("-inf"))

_COMMENT = """o[m, h, :] = softmax over n of (q[m, h, :] . k[n, h, :] / 8, where mask[h, m, n]) times v[n, h, :]

All f32, heads of 64, any strides; mask: bytes, of which the lowest bit counts. A block of 128 threads has 32 queries
of one head, four threads a query. It goes over the keys in tiles of 32, with K, V and the queries in shared memory:

  scores   thread t of a query's four has those of keys t, t + 4, ..., t + 28
  weights  a tile's largest score updates the row's; what was summed so far is scaled to it (the online softmax), and
           the tile's weights go to shared memory
  sums     thread t has 16 of the 64 results: 16 t to 16 t + 15

Keys outside of the matrix and those that are masked get no weight; a query without any gives NaN.
Not tuned: no tensor cores, no copies in flight, and bytes of the mask one by one.

The canonical ABI: pointers q, k, v, mask, o, the axes M, H, D, N, and the strides of q, k, v, mask, o in elements."""


def _place(pointer: str, name: str, indices: tuple[str, ...], shift: int) -> str:
    """Return code for `pointer` = the operand's address at these indices; its elements have 2^shift bytes."""
    lines = [f"ld.param.u64 {pointer}, [{name}_base];"]
    for number, index in enumerate(indices):
        lines += [
            f"ld.param.u64 stride, [stride_{name}_{number}];",
            f"cvt.u64.u32 wide, {index};",
            "mul.lo.u64 wide, wide, stride;",
            f"shl.b64 wide, wide, {shift};",
            f"add.u64 {pointer}, {pointer}, wide;",
        ]
    return "\n".join(lines)


def _fetch(name: str, at: int, first: str, limit: str, indices: str) -> str:
    """Return loads of 32 rows of 64 floats into shared memory: thread t has column t % 64 of rows t / 64, t / 64 + 2,
    ...
    """
    lines = [
        f"// {name}'s tile; rows outside are zeros",
        f"add.u32 i, {first}, half;",
        _place("address", name, tuple(indices.replace("row", "i").split()), 2),
        f"ld.param.u64 stride, [stride_{name}_0];",
        "shl.b64 stride, stride, 3;            // two rows",
    ]
    for q in range(QUERIES // 2):
        lines += [
            f"setp.lt.u32 inside, i, {limit};",
            "mov.f32 x, 0f00000000;",
            "@inside ld.global.f32 x, [address];",
            f"st.shared.f32 [put + {at + 2 * q * ROW}], x;",
            "add.u32 i, i, 2;",
            "add.u64 address, address, stride;",
        ]
    return "\n".join(lines)


def _scores() -> str:
    lines = [f"mov.f32 s{j}, 0f00000000;" for j in range(8)]
    for d in range(0, HEAD, 4):
        lines.append(f"ld.shared.v4.f32 {{x0, x1, x2, x3}}, [get_q + {4 * d}];       // d = {d} to {d + 3}")
        for j in range(8):
            lines.append(f"ld.shared.v4.f32 {{y0, y1, y2, y3}}, [get_k + {K_AT + 4 * j * ROW + 4 * d}];")
            lines += [f"fma.rn.f32 s{j}, x{e}, y{e}, s{j};" for e in range(4)]
    lines += ["add.u32 i, key, quarter;", "mov.u64 address, masks;", "mov.f32 above, top;"]
    for j in range(8):
        lines += [
            f"mul.f32 s{j}, s{j}, {float_bits(0.125 * 1.4426950408889634)};             // / 8, and for powers of 2",
            "setp.lt.and.u32 inside, i, keys, in_row;",
            "mov.u32 byte, 0;",
            "@inside ld.global.u8 byte, [address];",
            "and.b32 byte, byte, 1;",
            "setp.ne.u32 inside, byte, 0;",
            f"selp.f32 s{j}, s{j}, {NOTHING}, inside;",
            f"max.f32 above, above, s{j};",
            "add.u32 i, i, 4;",
            "add.u64 address, address, mask_step;",
        ]
    lines += ["mov.u64 masks, address;"]
    for distance in (1, 2):
        lines += [f"shfl.sync.bfly.b32 x, above, {distance}, 31, 0xffffffff;", "max.f32 above, above, x;"]
    lines += [
        "sub.f32 x, top, above;",
        "ex2.approx.f32 x, x;                  // what came before counts this much",
        "mov.f32 top, above;",
        "mul.f32 total, total, x;",
        *(f"mul.f32 sum{e}, sum{e}, x;" for e in range(16)),
    ]
    for j in range(8):
        lines += [
            f"sub.f32 x, s{j}, top;",
            "ex2.approx.f32 x, x;",
            "add.f32 total, total, x;",
            f"st.shared.f32 [put_p + {16 * j}], x;",
        ]
    return "\n".join(lines)


def _sums() -> str:
    lines = []
    for n in range(KEYS):
        lines.append(f"ld.shared.f32 x, [get_p + {4 * n}];                  // key {n}")
        for part in range(4):
            lines.append(f"ld.shared.v4.f32 {{y0, y1, y2, y3}}, [get_v + {V_AT + n * ROW + 16 * part}];")
            lines += [f"fma.rn.f32 sum{4 * part + e}, x, y{e}, sum{4 * part + e};" for e in range(4)]
    return "\n".join(lines)


def attention() -> str:
    """Return the text of the kernel."""
    lowest = float_bits(-1e38)
    body = "\n".join(
        [
            ".reg .pred inside, in_row, more;",
            ".reg .b32 thread, i, key, keys, queries, head, first, query, quarter, half, byte;",
            ".reg .b32 d, put, put_p, get_q, get_k, get_v, get_p, base;",
            ".reg .b64 address, stride, wide, masks, mask_step;",
            ".reg .f32 x, x0, x1, x2, x3, y0, y1, y2, y3, s<8>, sum<16>, top, above, total;",
            f".shared .align 16 .b8 tiles[{P_AT + QUERIES * WEIGHTS}];\n",
            "mov.u32 thread, %tid.x;",
            "mov.u32 first, %ctaid.x;\nshl.b32 first, first, 5;                 // the first query",
            "mov.u32 head, %ctaid.y;\nld.param.u32 queries, [M];\nld.param.u32 keys, [N];\nmov.u32 base, tiles;",
            "and.b32 d, thread, 63;\nshr.u32 half, thread, 6;",
            f"mad.lo.u32 put, half, {ROW}, base;\nmad.lo.u32 put, d, 4, put;",
            "shr.u32 query, thread, 2;\nand.b32 quarter, thread, 3;",
            f"mad.lo.u32 get_q, query, {ROW}, base;\nmad.lo.u32 get_k, quarter, {ROW}, base;",
            "mad.lo.u32 get_v, quarter, 64, base;",
            f"mad.lo.u32 get_p, query, {WEIGHTS}, base;\nadd.u32 get_p, get_p, {P_AT};",
            "mad.lo.u32 put_p, quarter, 4, get_p;",
            _fetch("q", 0, "first", "queries", "row head d"),
            "add.u32 query, query, first;\nsetp.lt.u32 in_row, query, queries;",
            _place("masks", "mask", ("head", "query", "quarter"), 0),
            "ld.param.u64 mask_step, [stride_mask_2];\nshl.b64 mask_step, mask_step, 2;",
            *(f"mov.f32 sum{e}, 0f00000000;" for e in range(16)),
            "mov.f32 total, 0f00000000;",
            f"mov.f32 top, {lowest};             // not -inf, which would make NaN of -inf - -inf",
            "mov.u32 key, 0;",
            "next:",
            _fetch("k", K_AT, "key", "keys", "row head d"),
            _fetch("v", V_AT, "key", "keys", "row head d"),
            "bar.sync 0;                              // the tiles are there",
            _scores(),
            "bar.sync 0;                              // the weights are there",
            _sums(),
            "bar.sync 0;                              // nobody reads the tiles any more",
            f"add.u32 key, key, {KEYS};\nsetp.lt.u32 more, key, keys;\n@more bra next;\n",
            "shfl.sync.bfly.b32 x, total, 1, 31, 0xffffffff;\nadd.f32 total, total, x;",
            "shfl.sync.bfly.b32 x, total, 2, 31, 0xffffffff;\nadd.f32 total, total, x;",
            "shl.b32 d, quarter, 4;",
            _place("address", "o", ("query", "head", "d"), 2),
            "ld.param.u64 stride, [stride_o_2];\nshl.b64 stride, stride, 2;",
            *(
                f"div.rn.f32 x, sum{e}, total;\n@in_row st.global.f32 [address], x;\nadd.u64 address, address, stride;"
                for e in range(16)
            ),
            "ret;",
        ]
    )
    strides = [f"u64 stride_{name}_{d}" for name in ("q", "k", "v", "mask", "o") for d in range(3)]
    return module(
        _COMMENT,
        version="7.0",
        target="sm_80",
        entry="attention_f32",
        threads=THREADS,
        body=body,
        parameters=(
            *(f"u64 {name}_base" for name in ("q", "k", "v", "mask", "o")),
            *(f"u32 {axis}" for axis in "MHDN"),
            *strides,
        ),
    )
