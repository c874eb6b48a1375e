"""Kernels with a block of 128 threads for each row: softmax, RMS norm, layer norm."""

from __future__ import annotations

import struct

from .text import ROW_REGISTERS, ROW_START, WARPS, module, over_block, over_row, slot

THREADS = 32 * WARPS


def float_bits(value: float) -> str:
    """Return PTX's spelling of a float, bit by bit."""
    return f"0f{struct.pack('>f', value).hex().upper()}"


_EXPONENTIAL = f"""sub.f32 x, x, largest;
mul.f32 z, x, {float_bits(1.4426950408889634)};              // e^x = 2^(x log2 e); ex2.approx is good to 2 ulp,
neg.f32 low, z;                          // but z is rounded: what was lost is put back by
fma.rn.f32 low, x, {float_bits(1.4426950408889634)}, low;    // 2^(z + low) = 2^z (1 + low ln 2)
mul.f32 low, low, {float_bits(0.6931471805599453)};
ex2.approx.f32 e, z;
fma.rn.f32 low, e, low, e;
abs.f32 z, z;
setp.lt.f32 finite, z, {float_bits(126.0)};         // beyond, low may be NaN, and e is 0 or next to it
@finite mov.f32 e, low;"""


def softmax(*, zero_for_nan: bool) -> str:
    """Return the text of softmax. `zero_for_nan`: a row that gives NaN (all of it masked with -inf) gives zeros."""
    entry = "softmax_or_zero" if zero_for_nan else "softmax"
    last = ",\nand 0 where that is no number, as torch's attention has it" if zero_for_nan else ""
    comment = f"""y[r, c] = exp(x[r, c] - max x[r, :]) / sum over c of exp(x[r, c] - max x[r, :]){last}

A block of 128 threads has one row of any width: neighbours read neighbouring words. It goes over the row three times,
for the largest, for the sum and to write; rows of up to some thousand floats come from the caches after the first time.
x may hold -inf (masked). Not tuned: no vector loads (rows may begin at any word), and short rows leave threads idle.

The canonical ABI: pointers x and y, then the axes R and C."""
    zero = (
        """setp.nan.f32 nan, e, e;
@nan mov.f32 e, 0f00000000;
"""
        if zero_for_nan
        else ""
    )
    mark = "" if zero_for_nan else slot("store y[row, c]") + "\n"
    body = "\n".join(
        [
            ROW_REGISTERS.format(shared=32),
            f".reg .pred finite{', nan' if zero_for_nan else ''};",
            ".reg .f32 largest, sum, z, low, e;\n",
            ROW_START,
            "mov.f32 largest, 0fFF800000;             // -inf",
            over_row(
                "add.u64 at, source, offset;\nld.global.f32 x, [at];\nmax.f32 largest, largest, x;", label="maximum"
            ),
            over_block("max", "largest", part=0),
            "\nmov.f32 sum, 0f00000000;",
            over_row(
                f"add.u64 at, source, offset;\nld.global.f32 x, [at];\n{_EXPONENTIAL}\nadd.f32 sum, sum, e;",
                label="total",
            ),
            over_block("add", "sum", part=1),
            "\nrcp.rn.f32 sum, sum;",
            over_row(
                f"add.u64 at, source, offset;\nld.global.f32 x, [at];\n{_EXPONENTIAL}\nmul.f32 e, e, sum;\n{zero}"
                f"add.u64 at, result, offset;\n{mark}st.global.f32 [at], e;",
                label="write",
            ),
            "ret;",
        ]
    )
    return module(
        comment,
        version="7.0",
        target="sm_80",
        entry=entry,
        threads=THREADS,
        body=body,
        parameters=("u64 x_base", "u64 y_base", "u32 R", "u32 C"),
    )
