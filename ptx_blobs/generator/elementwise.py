"""Element-wise work of any kind: the whole kernel is a slot."""

from __future__ import annotations

from .text import module, slot

THREADS = 256
_COMMENT = """y[i] = x[i] for every i, where x[i] is whatever a dispatch computes element by element

A thread has one element. Both accesses are slots: as it stands, the text copies N words; in a dispatch x[i] is the
element's value, with all that it is computed from, and y[i] its place. A value of fewer bits stands in a word. Not
tuned: one element a thread, no vectors.

The canonical ABI: pointers x and y, then the axis N."""


def elementwise() -> str:
    """Return the text of the kernel."""
    body = "\n".join(
        [
            ".reg .pred beyond;\n.reg .b32 i, count, thread;\n.reg .b64 source, result, offset;\n.reg .f32 x;\n",
            f"mov.u32 thread, %tid.x;\nmov.u32 i, %ctaid.x;\nmad.lo.u32 i, i, {THREADS}, thread;",
            "ld.param.u32 count, [N];\nsetp.ge.u32 beyond, i, count;\n@beyond bra done;",
            "ld.param.u64 source, [x_base];\nld.param.u64 result, [y_base];\nmul.wide.u32 offset, i, 4;",
            "add.u64 source, source, offset;\nadd.u64 result, result, offset;",
            slot("load x[i]"),
            "ld.global.f32 x, [source];",
            slot("store y[i]"),
            "st.global.f32 [result], x;",
            "done:",
            "ret;",
        ]
    )
    return module(
        _COMMENT,
        version="7.0",
        target="sm_80",
        entry="elementwise",
        threads=THREADS,
        body=body,
        parameters=("u64 x_base", "u64 y_base", "u32 N"),
    )
