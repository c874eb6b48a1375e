"""Matrix multiplication of f16 or bf16 on sm_90a: a warpgroup's wgmma, operands in swizzled shared memory."""

from __future__ import annotations

from .matmul_mma import Half, fragment
from .text import module, slot

ROWS, COLUMNS, DEPTH, THREADS = 64, 128, 64, 128
A_BYTES = 2 * ROWS * DEPTH
PANEL = 2 * DEPTH * 64
"""Bytes of 64 depths of 64 columns of B."""
STAGE = A_BYTES + 2 * PANEL

SWIZZLE_128 = 1 << 62
A_DESCRIPTOR = SWIZZLE_128 | (1024 >> 4) << 32 | 1 << 16
B_DESCRIPTOR = SWIZZLE_128 | (1024 >> 4) << 32 | (PANEL >> 4) << 16

_COMMENT = f"""c[b, m, n] = sum over k of a[b, m, k] * b[b, k, n]; a and b {{half}}, sums f32, c {{result}}; row-major

For sm_90a. A block is one warpgroup of 128 threads and has 64 x 128 results: wgmma m64n128k16, 64 sums in a thread.
Blocks: x over rows of results, y over columns, z over the batch. It goes along K in steps of 64. One stage holds

  A           64 rows of 64 halves, 128 bytes a row (8 KiB); depths are contiguous ("K-major")
  B, 2 panels of 64 columns each: 64 depths of 64 halves, 128 bytes a depth (8 KiB); columns are contiguous, which wgmma
              takes from 16-bit types with tnspB = 1

in the 128-byte swizzle: bits 4 to 6 of an address are xored with bits 7 to 9, that is, chunk c of row r lies at
place c ^ (r % 8). Stages begin at multiples of 1024 bytes, so that this is so of the whole address, as the hardware
takes it. Descriptors (PTX ISA, "Matrix Descriptor Format") count 16-byte units:

  bits 0-13   where the operand begins; 16 depths further is 32 bytes for A, 16 * 128 bytes for B
  bits 16-29  leading offset: for A none (1); for B from a panel to the next, {PANEL} bytes
  bits 32-45  stride offset: from 8 rows (A) or 8 depths (B) to the next 8, 1024 bytes
  bits 62-63  1: the 128-byte swizzle

Two stages: while wgmma works on one, cp.async fills the other. What lies outside of the matrices is filled with zeros.
cp.async copies 16 aligned bytes: K and N have to be multiples of 8, M may be anything.
Not tuned: no GPU was at hand. No bulk copies (TMA), no specialised warps, one warpgroup, blocks in plain order.

The canonical ABI: pointers a, b, c, then the axes B, M, K, N."""

_REGISTERS = f""".reg .pred inside, in_a<4>, in_column, in_row, always, done;
.reg .b32 thread, lane, warp, m0, n0, rows, columns, depth, batch, row, chunk, i, j, k, at_k, at_m, at_n, bytes;
.reg .b32 base, put, get, put_a, put_b, to, pair;
.reg .b64 source_a, source_b, result, address, wide, jump_a, jump_b, step_b, at_a, at_b, a, b;
.reg .f32 sum<64>;
.shared .align 1024 .b8 tiles[{2 * STAGE}];
"""

_START = f"""mov.u32 thread, %tid.x;
and.b32 lane, thread, 31;
shr.u32 warp, thread, 5;
mov.u32 m0, %ctaid.x;
shl.b32 m0, m0, 6;                       // the block's first row and column
mov.u32 n0, %ctaid.y;
shl.b32 n0, n0, 7;
mov.u32 batch, %ctaid.z;
ld.param.u32 rows, [M];
ld.param.u32 depth, [K];
ld.param.u32 columns, [N];
mov.u32 base, tiles;
setp.eq.u32 always, base, base;

// A: this thread copies chunk thread % 8 of rows thread / 8 and 16, 32, 48 below; its first depth is 8 * chunk
shr.u32 row, thread, 3;
and.b32 chunk, thread, 7;
and.b32 i, row, 7;
xor.b32 i, i, chunk;
shl.b32 i, i, 4;
mad.lo.u32 put_a, row, 128, i;
shl.b32 at_k, chunk, 3;
add.u32 at_m, row, m0;
setp.lt.u32 in_a0, at_m, rows;
add.u32 i, at_m, 16;
setp.lt.u32 in_a1, i, rows;
add.u32 i, at_m, 32;
setp.lt.u32 in_a2, i, rows;
add.u32 i, at_m, 48;
setp.lt.u32 in_a3, i, rows;
ld.param.u64 source_a, [a_base];         // a + 2 * ((batch * M + at_m) * K + at_k)
mul.wide.u32 address, batch, rows;
cvt.u64.u32 wide, at_m;
add.u64 address, address, wide;
cvt.u64.u32 wide, depth;
mul.lo.u64 address, address, wide;
shl.b64 jump_a, wide, 5;                 // 16 rows of 2 * K bytes
cvt.u64.u32 wide, at_k;
add.u64 address, address, wide;
shl.b64 address, address, 1;
add.u64 source_a, source_a, address;

// B: chunk thread % 8 of panel thread / 8 % 2, depths thread / 16 and 8, 16, ... below
shr.u32 j, thread, 4;
and.b32 i, j, 7;
xor.b32 i, i, chunk;
shl.b32 i, i, 4;
mad.lo.u32 put_b, j, 128, i;
and.b32 i, row, 1;
mad.lo.u32 put_b, i, {PANEL}, put_b;
add.u32 put_b, put_b, {A_BYTES};
and.b32 at_n, thread, 15;
mad.lo.u32 at_n, at_n, 8, n0;
setp.lt.u32 in_column, at_n, columns;
ld.param.u64 source_b, [b_base];         // b + 2 * ((batch * K + j) * N + at_n)
mul.wide.u32 address, batch, depth;
cvt.u64.u32 wide, j;
add.u64 address, address, wide;
cvt.u64.u32 wide, columns;
mul.lo.u64 address, address, wide;
shl.b64 jump_b, wide, 4;                 // 8 rows of 2 * N bytes
shl.b64 step_b, wide, 7;                 // 64 of them
cvt.u64.u32 wide, at_n;
add.u64 address, address, wide;
shl.b64 address, address, 1;
add.u64 source_b, source_b, address;
"""


def _copy() -> str:
    """Return code that starts the copies of the next 64 depths into the stage at `put`, and switches to the other
    stage.
    """
    lines = ["setp.lt.u32 inside, at_k, depth;", "mov.u64 address, source_a;", "add.u32 to, put, put_a;"]
    for q in range(4):
        lines += [
            f"selp.b32 bytes, 16, 0, in_a{q};",
            "selp.b32 bytes, bytes, 0, inside;",
            f"cp.async.cg.shared.global [to + {16 * 128 * q}], [address], 16, bytes;",
            *(["add.u64 address, address, jump_a;"] if q < 3 else []),
        ]
    lines += ["mov.u64 address, source_b;", "add.u32 to, put, put_b;"]
    for q in range(8):
        lines += [
            f"add.u32 i, j, {8 * q};",
            "setp.lt.and.u32 inside, i, depth, in_column;",
            "selp.b32 bytes, 16, 0, inside;",
            f"cp.async.cg.shared.global [to + {8 * 128 * q}], [address], 16, bytes;",
            *(["add.u64 address, address, jump_b;"] if q < 7 else []),
        ]
    lines += [
        "cp.async.commit_group;",
        f"add.u32 at_k, at_k, {DEPTH};",
        f"add.u32 j, j, {DEPTH};",
        f"add.u64 source_a, source_a, {2 * DEPTH};",
        "add.u64 source_b, source_b, step_b;",
        *_other("put"),
    ]
    return "\n".join(lines)


def _other(register: str) -> list[str]:
    """Return code that switches a register to the other stage."""
    return [
        f"setp.eq.u32 inside, {register}, base;",
        f"mov.u32 {register}, base;",
        f"@inside add.u32 {register}, {register}, {STAGE};",
    ]


def _products(half: Half) -> str:
    lines = [
        "shr.u32 i, get, 4;                       // the stage's descriptors: its address in units of 16 bytes",
        "cvt.u64.u32 wide, i;",
        f"add.u64 at_a, wide, {A_DESCRIPTOR:#x};",
        f"add.u64 at_b, wide, {B_DESCRIPTOR + (A_BYTES >> 4):#x};  // B lies {A_BYTES} bytes behind A",
        "wgmma.fence.sync.aligned;                // the sums were written by plain instructions",
    ]
    for part in range(DEPTH // 16):
        lines += [
            f"add.u64 a, at_a, {part * 32 >> 4};                      // depths {16 * part} to {16 * part + 15}",
            f"add.u64 b, at_b, {part * 16 * 128 >> 4};",
            f"wgmma.mma_async.sync.aligned.m64n128k16.f32.{half}.{half}",
            f"  {fragment('sum', 0, 64)}, a, b, always, 1, 1, 0, 1;",
        ]
    lines += ["wgmma.commit_group.sync.aligned;", "wgmma.wait_group.sync.aligned 0;"]
    return "\n".join(lines)


def _write(half: Half, narrow: bool) -> str:
    """Return the stores: warp w has rows 16 w to 16 w + 15; lane (g, t) columns 2 t, 2 t + 1 of rows g and g + 8 of
    each 16 x 8.
    """
    size = 1 if narrow else 2
    lines = [
        "shl.b32 at_m, warp, 4;\nadd.u32 at_m, at_m, m0;\nshr.u32 i, lane, 2;\nadd.u32 at_m, at_m, i;",
        "and.b32 i, lane, 3;\nmad.lo.u32 at_n, i, 2, n0;",
        f"ld.param.u64 result, [c_base];           // c + {2 * size} * ((batch * M + at_m) * N + at_n)",
        "mul.wide.u32 address, batch, rows;\ncvt.u64.u32 wide, at_m;\nadd.u64 address, address, wide;",
        "cvt.u64.u32 wide, columns;\nmul.lo.u64 address, address, wide;",
        f"shl.b64 jump_a, wide, {3 + size};                 // 8 rows",
        f"cvt.u64.u32 wide, at_n;\nadd.u64 address, address, wide;\nshl.b64 address, address, {size};",
        "add.u64 result, result, address;",
    ]
    for below in range(2):
        lines += [f"add.u32 row, at_m, {8 * below};", "setp.lt.u32 in_row, row, rows;"]
        for n in range(COLUMNS // 8):
            first = 4 * n + 2 * below
            lines += [f"add.u32 i, at_n, {8 * n};", "setp.lt.and.u32 inside, i, columns, in_row;"]
            if narrow:
                lines.append(f"cvt.rn.{half}x2.f32 pair, sum{first + 1}, sum{first};")
                lines.append(f"@inside st.global.b32 [result + {16 * n}], pair;")
            else:
                lines.append(slot("store c[batch, row, i]"))
                lines.append(f"@inside st.global.v2.f32 [result + {32 * n}], {{sum{first}, sum{first + 1}}};")
        lines += ["add.u64 result, result, jump_a;"] if not below else []
    return "\n".join(lines)


def matmul(half: Half, *, narrow: bool) -> str:
    """Return the text for one type of a and b. `narrow`: c is of that type too, else f32."""
    body = "\n".join(
        [
            _REGISTERS.replace(", pair;", ", pair;" if narrow else ";"),
            _START,
            *(f"mov.f32 sum{s}, 0f00000000;" for s in range(64)),
            "mov.u32 put, base;\nmov.u32 get, base;\nmov.u32 k, 0;",
            "\n// the first stage",
            _copy(),
            "next:",
            "setp.ge.u32 done, k, depth;\n@done bra write;",
            "cp.async.wait_group 0;                   // this step's stage has landed, as far as this thread copied it,",  # noqa: E501
            "fence.proxy.async;                       // and may be read by wgmma, which is of the async proxy;",
            "bar.sync 0;                              // so it is for everyone, and everyone is done with the other stage",  # noqa: E501
            _copy(),
            _products(half),
            *_other("get"),
            f"add.u32 k, k, {DEPTH};\nbra next;\n",
            "write:",
            "cp.async.wait_all;                       // zeros from beyond K that nobody reads",
            _write(half, narrow),
            "ret;",
        ]
    )
    return module(
        _COMMENT.format(half=half, result=half if narrow else "f32"),
        version="8.0",
        target="sm_90a",
        entry=f"matmul_{half}_{half if narrow else 'f32'}_sm90a",
        threads=THREADS,
        body=body,
        parameters=(
            *(f"u64 .ptr .global .align 16 {name}_base" for name in "abc"),
            *(f"u32 {axis}" for axis in "BMKN"),
        ),
    )
