"""Matrix multiplication of f16 or bf16 on the tensor cores of sm_80: cp.async, ldmatrix, mma.sync."""

from __future__ import annotations

from typing import Literal

from .text import module, slot

Half = Literal["f16", "bf16"]
TILE, DEPTH, THREADS, STAGES = 128, 32, 256, 3
A_BYTES, STAGE = 2 * TILE * DEPTH, 4 * TILE * DEPTH
"""Bytes of A's tile, and of both: B's has the same size and follows it."""

_COMMENT = """c[b, m, n] = sum over k of a[b, m, k] * b[b, k, n]; a and b {half}, sums f32, c {result}; all row-major

A block of 8 warps has 128 x 128 results: warps in 2 rows of 4, each with 64 x 32, which are 4 x 4 products m16n8.
Blocks: x over rows of results, y over columns, z over the batch. It goes along K in steps of 32. One stage holds

  A  128 rows of 32 halves:  64 bytes a row, 4 chunks of 16 bytes; chunk c of row r lies at place c ^ (r / 2 % 4)
  B   32 rows of 128 halves: 256 bytes a row, 16 chunks;           chunk c of row r lies at place c ^ (r % 8)

so that the eight 16-byte rows which ldmatrix reads at a time are in different banks. Three stages are in turn: while
one is computed, cp.async fills the next two. What lies outside of the matrices is filled with zeros (source size 0).
cp.async copies 16 aligned bytes: K and N have to be multiples of 8, M may be anything.
Not tuned: no GPU was at hand. Blocks come in plain order, results go to memory straight from the registers.

The canonical ABI: pointers a, b, c, then the axes B, M, K, N."""

_REGISTERS = f""".reg .pred inside, in_a<2>, in_column, more, in_row, upper;
.reg .b32 thread, lane, warp, warp_m, warp_n, m0, n0, rows, columns, depth, batch;
.reg .b32 row, chunk, i, j, k, at_k, at_m, at_n, bytes, base, put, get, put_a, put_b, get_a0, get_a1, get_b0, get_b1;
.reg .b32 from, to, a<16>, b<8>, pair;
.reg .b64 source_a, source_b, result, address, wide, jump_a, jump_b, step_b;
.reg .f32 sum<64>;
.shared .align 128 .b8 tiles[{STAGES * STAGE}];
"""

_START = f"""mov.u32 thread, %tid.x;
and.b32 lane, thread, 31;
shr.u32 warp, thread, 5;
shr.u32 warp_m, warp, 2;
and.b32 warp_n, warp, 3;
mov.u32 m0, %ctaid.x;
shl.b32 m0, m0, 7;                       // the block's first row and column
mov.u32 n0, %ctaid.y;
shl.b32 n0, n0, 7;
mov.u32 batch, %ctaid.z;
ld.param.u32 rows, [M];
ld.param.u32 depth, [K];
ld.param.u32 columns, [N];
mov.u32 base, tiles;

// A: this thread copies chunk thread % 4 of rows thread / 4 and 64 below; k0 = 8 * chunk
shr.u32 row, thread, 2;
and.b32 chunk, thread, 3;
shr.u32 i, row, 1;
and.b32 i, i, 3;
xor.b32 i, i, chunk;
shl.b32 i, i, 4;
mad.lo.u32 put_a, row, 64, i;
shl.b32 at_k, chunk, 3;                  // the first depth that it copies
add.u32 at_m, row, m0;
setp.lt.u32 in_a0, at_m, rows;
add.u32 i, at_m, 64;
setp.lt.u32 in_a1, i, rows;
ld.param.u64 source_a, [a_base];         // a + 2 * ((batch * M + at_m) * K + at_k)
mul.wide.u32 address, batch, rows;
cvt.u64.u32 wide, at_m;
add.u64 address, address, wide;
cvt.u64.u32 wide, depth;
mul.lo.u64 address, address, wide;
shl.b64 jump_a, wide, 7;                 // 64 rows of 2 * K bytes
cvt.u64.u32 wide, at_k;
add.u64 address, address, wide;
shl.b64 address, address, 1;
add.u64 source_a, source_a, address;

// B: chunk thread % 16 of depths thread / 16 and 16 below
shr.u32 row, thread, 4;
and.b32 chunk, thread, 15;
and.b32 i, row, 7;
xor.b32 i, i, chunk;
shl.b32 i, i, 4;
mad.lo.u32 put_b, row, 256, i;
add.u32 put_b, put_b, {A_BYTES};
mov.u32 j, row;                          // the first depth that it copies of B
shl.b32 at_n, chunk, 3;
add.u32 at_n, at_n, n0;
setp.lt.u32 in_column, at_n, columns;
ld.param.u64 source_b, [b_base];         // b + 2 * ((batch * K + j) * N + at_n)
mul.wide.u32 address, batch, depth;
cvt.u64.u32 wide, j;
add.u64 address, address, wide;
cvt.u64.u32 wide, columns;
mul.lo.u64 address, address, wide;
shl.b64 jump_b, wide, 5;                 // 16 rows of 2 * N bytes
shl.b64 step_b, wide, 6;                 // 32 of them
cvt.u64.u32 wide, at_n;
add.u64 address, address, wide;
shl.b64 address, address, 1;
add.u64 source_b, source_b, address;

// ldmatrix of A: lanes 0 to 15 have the rows' first 8 depths, 16 to 31 the next 8; the other 16 depths are 32 bytes
// away, and as the place of a chunk is an exclusive or, so is the way there
and.b32 row, lane, 15;
shr.u32 chunk, lane, 4;
shr.u32 i, row, 1;
and.b32 i, i, 3;
xor.b32 i, i, chunk;
shl.b32 i, i, 4;
mad.lo.u32 i, row, 64, i;
mad.lo.u32 get_a0, warp_m, {64 * 64}, i;
xor.b32 get_a1, get_a0, 32;

// ldmatrix of B, turned: lanes 0 to 15 have 16 depths of 8 columns, 16 to 31 the same of the next 8 columns
and.b32 i, row, 7;
shl.b32 j, warp_n, 2;
or.b32 j, j, chunk;
xor.b32 i, i, j;
shl.b32 i, i, 4;
mad.lo.u32 get_b0, row, 256, i;
add.u32 get_b0, get_b0, {A_BYTES};
xor.b32 get_b1, get_b0, 32;              // 16 columns on
shr.u32 j, thread, 4;
"""


def _copy() -> str:
    """Return code that starts the copies of the next 32 depths into the stage at `put`, as a group."""
    lines = ["setp.lt.u32 inside, at_k, depth;", "mov.u64 address, source_a;", "add.u32 to, put, put_a;"]
    for q in range(2):
        lines += [
            f"selp.b32 bytes, 16, 0, in_a{q};",
            "selp.b32 bytes, bytes, 0, inside;",
            f"cp.async.cg.shared.global [to + {64 * 64 * q}], [address], 16, bytes;",
            *(["add.u64 address, address, jump_a;"] if q == 0 else []),
        ]
    lines += ["mov.u64 address, source_b;", "add.u32 to, put, put_b;"]
    for q in range(2):
        lines += [
            f"add.u32 i, j, {16 * q};",
            "setp.lt.and.u32 inside, i, depth, in_column;",
            "selp.b32 bytes, 16, 0, inside;",
            f"cp.async.cg.shared.global [to + {256 * 16 * q}], [address], 16, bytes;",
            *(["add.u64 address, address, jump_b;"] if q == 0 else []),
        ]
    lines += [
        "cp.async.commit_group;",
        f"add.u32 at_k, at_k, {DEPTH};",
        f"add.u32 j, j, {DEPTH};",
        f"add.u64 source_a, source_a, {2 * DEPTH};",
        "add.u64 source_b, source_b, step_b;",
        *_turn("put"),
    ]
    return "\n".join(lines)


def _turn(register: str) -> list[str]:
    """Return code that advances a register to the next of three stages."""
    last = (STAGES - 1) * STAGE
    return [
        f"add.u32 i, base, {last};",
        f"setp.eq.u32 inside, {register}, i;",
        f"add.u32 {register}, {register}, {STAGE};",
        f"@inside mov.u32 {register}, base;",
    ]


def fragment(name: str, first: int, count: int) -> str:
    """Return a list of registers: `{a0, a1, a2, a3}`."""
    return "{" + ", ".join(f"{name}{first + n}" for n in range(count)) + "}"


def _products(half: Half) -> str:
    lines = []
    for part in range(2):
        lines.append(f"// depths {16 * part} to {16 * part + 15} of the stage: A's four 16 x 16, B's four 16 x 8")
        lines.append(f"add.u32 from, get, get_a{part};")
        for m in range(4):
            registers = fragment("a", 4 * m, 4)
            lines.append(f"ldmatrix.sync.aligned.m8n8.x4.shared.b16 {registers}, [from + {16 * 64 * m}];")
        for n in range(2):
            lines.append(f"add.u32 from, get, get_b{n};")
            registers = fragment("b", 4 * n, 4)
            lines.append(f"ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {registers}, [from + {16 * 256 * part}];")
        for m in range(4):
            for n in range(4):
                sums = fragment("sum", 4 * (4 * m + n), 4)
                lines.append(
                    f"mma.sync.aligned.m16n8k16.row.col.f32.{half}.{half}.f32 {sums}, "
                    f"{fragment('a', 4 * m, 4)}, {fragment('b', 2 * n, 2)}, {sums};"
                )
    return "\n".join(lines)


def _write(half: Half, narrow: bool) -> str:
    """Return the stores: lane (g, t) = (lane / 4, lane % 4) has columns 2 t, 2 t + 1 of rows g and g + 8 of each 16 x
    8.
    """
    size = 1 if narrow else 2
    lines = [
        "shl.b32 at_m, warp_m, 6;\nadd.u32 at_m, at_m, m0;\nshr.u32 i, lane, 2;\nadd.u32 at_m, at_m, i;",
        "shl.b32 at_n, warp_n, 5;\nadd.u32 at_n, at_n, n0;\nand.b32 i, lane, 3;\nmad.lo.u32 at_n, i, 2, at_n;",
        f"ld.param.u64 result, [c_base];           // c + {2 * size} * ((batch * M + at_m) * N + at_n)",
        "mul.wide.u32 address, batch, rows;\ncvt.u64.u32 wide, at_m;\nadd.u64 address, address, wide;",
        "cvt.u64.u32 wide, columns;\nmul.lo.u64 address, address, wide;",
        f"shl.b64 jump_a, wide, {3 + size};                 // 8 rows",
        f"cvt.u64.u32 wide, at_n;\nadd.u64 address, address, wide;\nshl.b64 address, address, {size};",
        "add.u64 result, result, address;",
    ]
    for m in range(4):
        for below in range(2):
            lines += [f"add.u32 row, at_m, {16 * m + 8 * below};", "setp.lt.u32 in_row, row, rows;"]
            for n in range(4):
                first = 4 * (4 * m + n) + 2 * below
                lines += [f"add.u32 i, at_n, {8 * n};", "setp.lt.and.u32 inside, i, columns, in_row;"]
                if narrow:
                    lines.append(f"cvt.rn.{half}x2.f32 pair, sum{first + 1}, sum{first};")
                    lines.append(f"@inside st.global.b32 [result + {16 * n}], pair;")
                else:
                    lines.append(slot("store c[batch, row, i]"))
                    lines.append(f"@inside st.global.v2.f32 [result + {32 * n}], {{sum{first}, sum{first + 1}}};")
            lines += ["add.u64 result, result, jump_a;"] if (m, below) != (3, 1) else []
    return "\n".join(lines)


def matmul(half: Half, *, narrow: bool) -> str:
    """Return the text for one type of a and b. `narrow`: c is of that type too, else f32."""
    body = "\n".join(
        [
            _REGISTERS,
            _START,
            *(f"mov.f32 sum{s}, 0f00000000;" for s in range(64)),
            "mov.u32 put, base;\nmov.u32 get, base;\nmov.u32 k, 0;",
            "\n// the first two stages",
            _copy(),
            _copy(),
            "next:",
            "setp.ge.u32 more, k, depth;\n@more bra write;",
            "cp.async.wait_group 1;                   // all groups but the newest have landed: this stage is there,",
            "bar.sync 0;                              // everyone's part of it, and everyone is done with the one before",  # noqa: E501
            _copy(),
            _products(half),
            *_turn("get"),
            f"add.u32 k, k, {DEPTH};\nbra next;\n",
            "write:",
            "cp.async.wait_all;                       // zeros from beyond K that nobody reads",
            _write(half, narrow),
            "ret;",
        ]
    )
    return module(
        _COMMENT.format(half=half, result=half if narrow else "f32"),
        version="7.0",
        target="sm_80",
        entry=f"matmul_{half}_{half if narrow else 'f32'}",
        threads=THREADS,
        body=body,
        parameters=(
            *(f"u64 .ptr .global .align 16 {name}_base" for name in "abc"),
            *(f"u32 {axis}" for axis in "BMKN"),
        ),
    )
