"""Common parts of the texts: header, entry, parameters, and sums over a block of four warps."""

from __future__ import annotations

from collections.abc import Sequence

WARPS = 4
"""Warps of a block in the kernels that have a block for each row."""

_NAMES = {"max": "the largest", "max.NaN": "the largest, or no number", "add": "the sum"}


def module(
    comment: str,
    *,
    version: str,
    target: str,
    entry: str,
    parameters: Sequence[str],
    threads: int,
    body: str,
    declarations: str = "",
) -> str:
    """Return a module with one entry. `comment` and `body` are not indented."""
    remarks = "\n".join(f"// {line}".rstrip() for line in comment.strip().splitlines())
    listed = ",\n".join(f"  .param .{parameter}" for parameter in parameters)
    return (
        f"{remarks}\n.version {version}\n.target {target}\n.address_size 64\n\n{declarations}"
        f".visible .entry {entry}(\n{listed}\n)\n.reqntid {threads}, 1, 1\n{{\n{indented(body)}\n}}\n"
    )


def indented(body: str) -> str:
    """Indent instructions by two spaces, labels by none."""
    lines = body.strip("\n").splitlines()
    return "\n".join(line if line.endswith(":") or not line else f"  {line}" for line in lines)


def address(pointer: str, name: str, indices: Sequence[str]) -> str:
    """Return code for `pointer` = the operand of f32 + 4 * (index * stride, summed): one 32-bit register for each
    stride.
    """
    lines = [f"ld.param.u64 {pointer}, [{name}_base];"]
    for number, index in enumerate(indices):
        lines += [
            f"ld.param.u64 stride, [stride_{name}_{number}];",
            f"cvt.u64.u32 wide, {index};",
            "mul.lo.u64 wide, wide, stride;",
            "shl.b64 wide, wide, 2;",
            f"add.u64 {pointer}, {pointer}, wide;",
        ]
    return "\n".join(lines)


def slot(words: str) -> str:
    """Return a mark: the access after it is a slot for the work that a dispatch fuses with the kernel's own."""
    return f'.pragma "slot {words}";'


def over_block(operation: str, register: str, *, part: int) -> str:
    """Return code after which all threads have `operation` (`max`, `max.NaN`, `add`) over everyone's `register`.

    `part` numbers the calls of a kernel: each has its own four words of `parts`, so that one barrier is enough.
    """
    lines = [
        f"// {_NAMES[operation]} of the block: over the lanes by butterfly, then over the four warps in shared memory"
    ]
    for distance in (16, 8, 4, 2, 1):
        lines += [
            f"shfl.sync.bfly.b32 other, {register}, {distance}, 31, 0xffffffff;",
            f"{operation}.f32 {register}, {register}, other;",
        ]
    lines += [
        f"@first_lane st.shared.f32 [slot + {16 * part}], {register};",
        "bar.sync 0;",
        f"ld.shared.v4.f32 {{p0, p1, p2, p3}}, [parts + {16 * part}];",
        f"{operation}.f32 p0, p0, p1;",
        f"{operation}.f32 p2, p2, p3;",
        f"{operation}.f32 {register}, p0, p2;",
    ]
    return "\n".join(lines)


def over_row(work: str, *, label: str) -> str:
    """Return code that runs `work` for each element of the row: thread t has columns t, t + 128, …; `offset` is in
    bytes.
    """
    step = 32 * WARPS
    return f"""mov.u32 c, thread;
cvt.u64.u32 offset, thread;
shl.b64 offset, offset, 2;
{label}:
setp.ge.u32 done, c, columns;
@done bra {label}_done;
{work.strip()}
add.u32 c, c, {step};
add.u64 offset, offset, {4 * step};
bra {label};
{label}_done:"""


ROW_REGISTERS = """.reg .pred done, first_lane;
.reg .b32 thread, columns, row, c, slot, lane, warp;
.reg .b64 source, result, offset, start, at;
.reg .f32 x, other, p0, p1, p2, p3;
.shared .align 16 .b8 parts[{shared}];
"""

ROW_START = """mov.u32 thread, %tid.x;
mov.u32 row, %ctaid.x;
ld.param.u32 columns, [C];
ld.param.u64 source, [x_base];
ld.param.u64 result, [y_base];
mul.wide.u32 start, row, columns;        // the row's first byte: 4 * row * C, in 64 bits
shl.b64 start, start, 2;
add.u64 source, source, start;
add.u64 result, result, start;
and.b32 lane, thread, 31;
shr.u32 warp, thread, 5;
setp.eq.u32 first_lane, lane, 0;
mov.u32 slot, parts;                     // this warp's word of each group of four
mad.lo.u32 slot, warp, 4, slot;
"""
"""Registers and addresses of a block that has the row `%ctaid.x`."""
