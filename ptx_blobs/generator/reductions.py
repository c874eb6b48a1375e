"""Reductions over rows, with slots for their input and for the use of their result."""

from __future__ import annotations

from typing import Literal

from .rows import THREADS
from .text import ROW_REGISTERS, ROW_START, module, over_block, over_row, slot

_WORDS = {"sum": "sum over c of x[r, c]", "max": "the largest x[r, c] over c, NaN if there is one"}
_COMMENT = """y[r] = {words}

A block of 128 threads has one row of any width. The element that is reduced is a slot: it may be a product or anything
else that a dispatch computes, read with any strides. What is made of the result is one too: the 128 threads share the
loops that it has besides, such as those of a normalisation, which goes over the row again. Not tuned: where neighbours
in a row are not neighbours in memory, each load is a transaction of its own.

The canonical ABI: pointers x and y, then the axes R and C."""


def reduction(kind: Literal["sum", "max"]) -> str:
    """Return the text of the kernel."""
    operation, start = ("add", "0f00000000") if kind == "sum" else ("max.NaN", "0fFF800000")
    load = f"add.u64 at, source, offset;\n{slot('load x[row, c]')}\nld.global.f32 x, [at];\n"
    body = "\n".join(
        [
            ROW_REGISTERS.format(shared=16),
            ".reg .f32 total;\n.reg .pred first;\n",
            ROW_START,
            "setp.eq.u32 first, thread, 0;",
            f"mov.f32 total, {start};",
            over_row(f"{load}{operation}.f32 total, total, x;", label="reduce"),
            over_block(operation, "total", part=0),
            "\nld.param.u64 result, [y_base];\nmul.wide.u32 start, row, 4;\nadd.u64 result, result, start;",
            slot(f"store y[row] by thread of {THREADS}"),
            "@first st.global.f32 [result], total;",
            "ret;",
        ]
    )
    return module(
        _COMMENT.format(words=_WORDS[kind]),
        version="7.0",
        target="sm_80",
        entry=f"row_{kind}",
        threads=THREADS,
        body=body,
        parameters=("u64 x_base", "u64 y_base", "u32 R", "u32 C"),
    )
