"""Products with few rows, such as a matrix with a vector, in f32."""

from __future__ import annotations

from .text import address, module, slot

WARPS = 8
THREADS = 32 * WARPS

_COMMENT = """c[b, m, n] = sum over k of a[b, m, k] * b[b, k, n], any sizes and any strides, for few rows m

A block of 8 warps has 32 columns of one row, a lane one column: neighbours read neighbouring columns of b, and all of a
warp the same element of a. Warp w has the depths w, w + 8, w + 16 and so on; the eight sums of a column meet in shared
memory. Blocks: x over columns, y over rows, z over the batch. Not tuned: b is read once for each row, and two loads of
each thread are on their way at a time.

The canonical ABI: pointers a, b, c, the axes B, M, K, N, and each operand's strides in elements."""

_REGISTERS = f""".reg .pred inside, more, first;
.reg .b32 thread, lane, warp, row, column, columns, k, depth, batch, put;
.reg .b64 source_a, source_b, result, stride, wide, step_a, step_b;
.reg .f32 x, y, sum;
.shared .align 16 .b8 sums[{4 * THREADS}];
"""


def matvec() -> str:
    """Return the text of the kernel."""
    body = "\n".join(
        [
            _REGISTERS,
            "mov.u32 thread, %tid.x;\nand.b32 lane, thread, 31;\nshr.u32 warp, thread, 5;",
            "mov.u32 column, %ctaid.x;\nmad.lo.u32 column, column, 32, lane;",
            "mov.u32 row, %ctaid.y;\nmov.u32 batch, %ctaid.z;",
            "ld.param.u32 depth, [K];\nld.param.u32 columns, [N];",
            "setp.lt.u32 inside, column, columns;",
            address("source_a", "a", ("batch", "row", "warp")),
            address("source_b", "b", ("batch", "warp", "column")),
            f"ld.param.u64 step_a, [stride_a_2];\nmul.lo.u64 step_a, step_a, {4 * WARPS};",
            f"ld.param.u64 step_b, [stride_b_1];\nmul.lo.u64 step_b, step_b, {4 * WARPS};",
            "\nmov.f32 sum, 0f00000000;\nmov.u32 k, warp;\nmov.f32 y, 0f00000000;",
            "next:",
            "setp.lt.u32 more, k, depth;\n@!more bra summed;",
            "ld.global.f32 x, [source_a];",
            "@inside ld.global.f32 y, [source_b];     // beyond the last column it stays 0",
            "fma.rn.f32 sum, x, y, sum;",
            f"add.u64 source_a, source_a, step_a;\nadd.u64 source_b, source_b, step_b;\nadd.u32 k, k, {WARPS};",
            "bra next;",
            "summed:",
            "mov.u32 put, sums;\nmad.lo.u32 put, thread, 4, put;",
            "st.shared.f32 [put], sum;\nbar.sync 0;",
            "setp.eq.u32 first, warp, 0;\n@!first bra done;",
            *(f"ld.shared.f32 x, [put + {128 * w}];\nadd.f32 sum, sum, x;" for w in range(1, WARPS)),
            address("result", "c", ("batch", "row", "column")),
            slot("store c[batch, row, column]"),
            "@inside st.global.f32 [result], sum;",
            "done:",
            "ret;",
        ]
    )
    strides = [f"u64 stride_{name}_{d}" for name in "abc" for d in range(3)]
    return module(
        _COMMENT,
        version="7.0",
        target="sm_80",
        entry="matvec_f32",
        threads=THREADS,
        body=body,
        parameters=("u64 a_base", "u64 b_base", "u64 c_base", "u32 B", "u32 M", "u32 K", "u32 N", *strides),
    )
