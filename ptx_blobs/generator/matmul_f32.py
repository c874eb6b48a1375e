"""Matrix multiplication in f32: tiles in shared memory, 4 x 4 results in each thread's registers."""

from __future__ import annotations

from .text import address, module, slot

TILE, DEPTH, THREADS = 64, 16, 256
ROW = 4 * (TILE + 4)
"""Bytes of a row of a tile: four words of padding spread the writes of A over the banks."""
B_TILE = DEPTH * ROW

_COMMENT = """c[b, m, n] = sum over k of a[b, m, k] * b[b, k, n], any sizes and any strides

A block of 256 threads has 64 x 64 results, a thread 4 x 4 of them: rows 4 * (thread / 16), columns 4 * (thread % 16).
Blocks: x over rows of results, y over columns, z over the batch. It goes along K in steps of 16:

  tile_a[k][m]  16 x 64 floats, turned, so that a thread's four rows are one 16-byte load
  tile_b[k][n]  16 x 64 floats

both with rows of 68 words. While a step is computed, the next one's 8 floats of each thread are on their way into
registers. What lies outside of the matrices is not read and counts as 0. Sums are made in the order of k.
Not tuned: plain loads, one buffer and two barriers a step.

The canonical ABI: pointers a, b, c, the axes B, M, K, N, and each operand's strides in elements."""

_REGISTERS = """.reg .pred more, inside, in_row<4>, in_column, in_depth;
.reg .b32 thread, m0, n0, k, i, j, rows, columns, depth, at_k, at_m, at_n, batch;
.reg .b32 put_a, put_b, get_a, get_b, base;
.reg .b64 source_a, source_b, result, stride, address, step_a, step_b, wide, jump_a, jump_b;
.reg .f32 next_a<4>, next_b<4>, x<4>, y<4>;
.reg .f32 sum<16>;
.shared .align 16 .b8 tiles[{bytes}];
"""


def _loads() -> str:
    """Return loads of the next step's floats into registers: 4 of A (rows 16 apart), 4 of B (depths 4 apart)."""
    lines = [
        "// A: thread has depth k + thread % 16 of rows thread / 16 + 0, 16, 32, 48",
        "add.u32 at_k, k, i;",
        "setp.lt.u32 in_depth, at_k, depth;",
        "mov.u64 address, source_a;",
    ]
    for q in range(4):
        lines += [
            f"and.pred inside, in_depth, in_row{q};",
            f"mov.f32 next_a{q}, 0f00000000;",
            f"@inside ld.global.f32 next_a{q}, [address];",
            *(["add.u64 address, address, jump_a;"] if q < 3 else []),
        ]
    lines += [
        "// B: thread has column thread % 64 of depths k + thread / 64 + 0, 4, 8, 12",
        "mov.u64 address, source_b;",
    ]
    for q in range(4):
        lines += [
            f"add.u32 at_k, k, {4 * q};",
            "add.u32 at_k, at_k, j;",
            "setp.lt.and.u32 inside, at_k, depth, in_column;",
            f"mov.f32 next_b{q}, 0f00000000;",
            f"@inside ld.global.f32 next_b{q}, [address];",
            *(["add.u64 address, address, jump_b;"] if q < 3 else []),
        ]
    lines += ["add.u64 source_a, source_a, step_a;", "add.u64 source_b, source_b, step_b;"]
    return "\n".join(lines)


def _products() -> str:
    lines = []
    for k in range(DEPTH):
        lines.append(f"ld.shared.v4.f32 {{x0, x1, x2, x3}}, [get_a + {k * ROW}];       // k + {k}")
        lines.append(f"ld.shared.v4.f32 {{y0, y1, y2, y3}}, [get_b + {k * ROW}];")
        lines += [f"fma.rn.f32 sum{4 * m + n}, x{m}, y{n}, sum{4 * m + n};" for m in range(4) for n in range(4)]
    return "\n".join(lines)


def _step(register: str, name: str, number: int, elements: int) -> str:
    return f"ld.param.u64 {register}, [stride_{name}_{number}];\nmul.lo.u64 {register}, {register}, {4 * elements};"


def _start() -> str:
    return "\n".join(
        [
            "mov.u32 thread, %tid.x;",
            "mov.u32 batch, %ctaid.z;",
            f"mov.u32 m0, %ctaid.x;\nshl.b32 m0, m0, {TILE.bit_length() - 1};          // the block's first row and column",  # noqa: E501
            f"mov.u32 n0, %ctaid.y;\nshl.b32 n0, n0, {TILE.bit_length() - 1};",
            "ld.param.u32 rows, [M];\nld.param.u32 depth, [K];\nld.param.u32 columns, [N];",
            "\n// what this thread fetches of A",
            "and.b32 i, thread, 15;\nshr.u32 at_m, thread, 4;",
            "mov.u32 base, tiles;",
            f"mad.lo.u32 put_a, i, {ROW}, base;\nmad.lo.u32 put_a, at_m, 4, put_a;",
            "add.u32 at_m, at_m, m0;",
            "setp.lt.u32 in_row0, at_m, rows;",
            *(f"add.u32 at_n, at_m, {16 * q};\nsetp.lt.u32 in_row{q}, at_n, rows;" for q in range(1, 4)),
            address("source_a", "a", ("batch", "at_m", "i")),
            _step("jump_a", "a", 1, 16),
            _step("step_a", "a", 2, DEPTH),
            "\n// what it fetches of B",
            "and.b32 at_n, thread, 63;\nshr.u32 j, thread, 6;",
            f"mad.lo.u32 put_b, j, {ROW}, base;\nmad.lo.u32 put_b, at_n, 4, put_b;",
            "add.u32 at_n, at_n, n0;\nsetp.lt.u32 in_column, at_n, columns;",
            address("source_b", "b", ("batch", "j", "at_n")),
            _step("jump_b", "b", 1, 4),
            _step("step_b", "b", 1, DEPTH),
            "\n// what it computes: rows at_m to at_m + 3, columns at_n to at_n + 3",
            "shr.u32 at_m, thread, 4;\nand.b32 at_n, thread, 15;",
            "mad.lo.u32 get_a, at_m, 16, base;\nmad.lo.u32 get_b, at_n, 16, base;",
            "shl.b32 at_m, at_m, 2;\nadd.u32 at_m, at_m, m0;",
            "shl.b32 at_n, at_n, 2;\nadd.u32 at_n, at_n, n0;",
            *(f"mov.f32 sum{s}, 0f00000000;" for s in range(16)),
        ]
    )


def _write() -> str:
    lines = [address("result", "c", ("batch", "at_m", "at_n"))]
    lines += [_step("jump_a", "c", 1, 1), _step("jump_b", "c", 2, 1)]
    for m in range(4):
        lines += [f"add.u32 i, at_m, {m};", "setp.lt.u32 more, i, rows;", "mov.u64 address, result;"]
        for n in range(4):
            lines += [
                f"add.u32 j, at_n, {n};",
                "setp.lt.and.u32 inside, j, columns, more;",
                slot("store c[batch, i, j]"),
                f"@inside st.global.f32 [address], sum{4 * m + n};",
                *(["add.u64 address, address, jump_b;"] if n < 3 else []),
            ]
        lines += ["add.u64 result, result, jump_a;"] if m < 3 else []
    return "\n".join(lines)


def matmul() -> str:
    """Return the text of the kernel."""
    body = "\n".join(
        [
            _REGISTERS.format(bytes=2 * B_TILE),
            _start(),
            "\nmov.u32 k, 0;",
            _loads(),
            "next:",
            *(f"st.shared.f32 [put_a + {64 * q}], next_a{q};" for q in range(4)),
            *(f"st.shared.f32 [put_b + {B_TILE + 4 * q * ROW}], next_b{q};" for q in range(4)),
            "bar.sync 0;                              // the tiles are there",
            f"add.u32 k, k, {DEPTH};",
            _loads(),
            _products().replace("[get_b + ", f"[get_b + {B_TILE} + "),
            "bar.sync 0;                              // nobody reads the tiles any more",
            "setp.lt.u32 more, k, depth;\n@more bra next;\n",
            _write(),
            "ret;",
        ]
    )
    strides = [f"u64 stride_{name}_{d}" for name in "abc" for d in range(3)]
    return module(
        _COMMENT,
        version="7.0",
        target="sm_80",
        entry="matmul_f32",
        threads=THREADS,
        body=body,
        parameters=("u64 a_base", "u64 b_base", "u64 c_base", "u32 B", "u32 M", "u32 K", "u32 N", *strides),
    )
