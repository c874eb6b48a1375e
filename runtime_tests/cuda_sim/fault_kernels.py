"""Small kernels that are right, and what to change in each to plant a fault.

Every kernel takes an input and an output of 4-byte words (`%in`, `%out`: their addresses of this thread) and a count.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime_tests.cuda_sim.lane_programs import HEADER

PROLOGUE = """
.visible .entry k(.param .u64 pin, .param .u64 pout, .param .u32 pcount) {
.reg .b64 %in, %out, %w, %gin, %gout; .reg .b32 %t, %n, %i, %a, %s, %v, %x, %y; .reg .pred %p, %q, %e; .reg .b64 %st;
ld.param.u64 %gin, [pin]; ld.param.u64 %gout, [pout]; ld.param.u32 %n, [pcount];
mov.u32 %t, %tid.x; mov.u32 %x, %ctaid.x; mov.u32 %y, %ntid.x; mad.lo.u32 %i, %x, %y, %t;
mul.wide.u32 %w, %i, 4; add.u64 %in, %gin, %w; add.u64 %out, %gout, %w; shl.b32 %a, %t, 2;
"""

BODIES = {
    "copy": """
setp.ge.u32 %p, %i, %n;
@%p ret;
ld.global.u32 %v, [%in];
st.global.u32 [%out], %v;
ret;
""",
    "reverse": """
.shared .align 16 .b32 tile[128];
mov.u32 %s, tile; add.u32 %s, %s, %a;
ld.global.u32 %v, [%in];
st.shared.u32 [%s], %v;
bar.sync 0;
sub.u32 %x, 127, %t; shl.b32 %x, %x, 2; mov.u32 %s, tile; add.u32 %s, %s, %x;
ld.shared.u32 %v, [%s];
st.global.u32 [%out], %v;
ret;
""",
    "ahead": """
.shared .align 16 .b32 stages[1024];
mov.u32 %s, stages; add.u32 %s, %s, %a; ld.global.u32 %v, [%in];
st.shared.u32 [%s], %v;
bar.sync 0;
ld.shared.u32 %v, [%s];
ld.shared.u32 %x, [%s+2048]; // the next stage, which is not there any more
and.b32 %y, %a, 508; shl.b32 %y, %y, 2; mov.u32 %s, stages; add.u32 %s, %s, %y; add.u32 %s, %s, 1024;
ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%y}, [%s];
xor.b32 %y, %y, %i; add.u32 %v, %v, 0; mov.b32 %i, %x;
setp.eq.u32 %e, %t, %t; selp.b32 %v, %v, %x, %e;
setp.ge.u32 %p, %t, 0;
@!%p bra OVER;
st.global.u32 [%out], %v;
OVER: ret;
""",
    "rounds": """
.shared .align 16 .b32 tile[128];
mov.u32 %y, 0; mov.u32 %x, 0;
LOOP:
mov.u32 %s, tile; add.u32 %s, %s, %a; add.u32 %v, %t, %y;
st.shared.u32 [%s], %v;
bar.sync 0;
xor.b32 %s, %a, 256; mov.u32 %v, tile; add.u32 %s, %s, %v;
ld.shared.u32 %v, [%s];
add.u32 %x, %x, %v;
bar.sync 1;
add.u32 %y, %y, 1; setp.lt.u32 %p, %y, 4;
@%p bra LOOP;
st.global.u32 [%out], %x;
ret;
""",
    "sum": """
ld.global.u32 %v, [%in];
shfl.sync.down.b32 %x, %v, 16, 31, 0xffffffff; add.u32 %v, %v, %x;
shfl.sync.bfly.b32 %x, %v, 1, 31, 0xffffffff; add.u32 %v, %v, %x;
st.global.u32 [%out], %v;
ret;
""",
    "warp": """
.shared .align 16 .b32 tile[128];
mov.u32 %s, tile; add.u32 %s, %s, %a;
st.shared.u32 [%s], %t;
bar.warp.sync 0xffffffff;
xor.b32 %s, %s, 4;
ld.shared.u32 %v, [%s];
st.global.u32 [%out], %v;
ret;
""",
    "async": """
.shared .align 16 .b32 tile[512];
mov.u32 %s, tile; shl.b32 %x, %t, 4; add.u32 %s, %s, %x; mul.wide.u32 %w, %t, 16; add.u64 %w, %gin, %w;
cp.async.cg.shared.global [%s], [%w], 16;
cp.async.commit_group;
cp.async.wait_group 0;
bar.sync 0;
mov.u32 %s, tile; xor.b32 %x, %a, 64; add.u32 %s, %s, %x;
ld.shared.u32 %v, [%s];
st.global.u32 [%out], %v;
ret;
""",
    "stages": """
.shared .align 16 .b32 tile[1024];
mov.u32 %s, tile; shl.b32 %x, %t, 4; add.u32 %s, %s, %x; mul.wide.u32 %w, %t, 16; add.u64 %w, %gin, %w;
cp.async.cg.shared.global [%s], [%w], 16;
cp.async.commit_group;
cp.async.cg.shared.global [%s+2048], [%w], 16;
cp.async.commit_group;
cp.async.wait_group 1;
bar.sync 0;
mov.u32 %s, tile; add.u32 %s, %s, %a;
ld.shared.u32 %v, [%s];
bar.sync 0;
st.shared.u32 [%s], %t;
cp.async.wait_group 0;
bar.sync 0;
ld.shared.u32 %x, [%s+2048];
add.u32 %v, %v, %x; st.global.u32 [%out], %v;
ret;
""",
    "bulk": """
.shared .align 128 .b32 tile[128]; .shared .align 8 .b64 full;
setp.eq.u32 %e, %t, 0; mov.u32 %s, full; mov.u32 %x, tile;
@%e mbarrier.init.shared.b64 [%s], 1;
bar.sync 0;
@!%e bra WAIT;
mbarrier.arrive.expect_tx.shared.b64 %st, [%s], 512;
cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%x], [%gin], 512, [%s];
WAIT:
mbarrier.try_wait.parity.shared.b64 %p, [%s], 0;
@!%p bra WAIT;
add.u32 %x, %x, %a;
ld.shared.u32 %v, [%x];
st.global.u32 [%out], %v;
ret;
""",
    "named": """
.shared .align 16 .b32 tile[64];
setp.ge.u32 %p, %t, 64; mov.u32 %s, tile;
@%p bra CONSUMER;
add.u32 %s, %s, %a;
st.shared.u32 [%s], %t;
bar.arrive 1, 128;
bra DONE;
CONSUMER:
bar.sync 1, 128;
add.u32 %s, %s, %a;
ld.shared.u32 %v, [%s+-256];
st.global.u32 [%out], %v;
DONE:
setp.lt.u32 %p, %t, 64; @%p st.global.u32 [%out], %t;
ret;
""",
    "histogram": """
.shared .align 16 .b32 bins[4];
mov.u32 %s, bins; setp.lt.u32 %p, %t, 4; add.u32 %x, %s, %a;
@%p st.shared.u32 [%x], 0;
bar.sync 0;
and.b32 %x, %t, 3; shl.b32 %x, %x, 2; add.u32 %s, %s, %x;
atom.shared.add.u32 %v, [%s], 1;
bar.sync 0;
ld.shared.u32 %v, [%s];
st.global.u32 [%out], %v;
ret;
""",
    "tiles": """
.shared .align 128 .b32 tile[512]; .reg .b32 %f0, %f1, %f2, %f3;
mov.u32 %s, tile; shl.b32 %x, %t, 4; add.u32 %s, %s, %x;
st.shared.v4.u32 [%s], {%t, %t, %t, %t};
bar.sync 0;
xor.b32 %s, %s, 1024;
ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%f0, %f1, %f2, %f3}, [%s];
mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%f0, %f1}, {%f0, %f1, %f2, %f3}, {%f0, %f1}, {%f2, %f3};
st.global.u32 [%out], %f0;
ret;
""",
    "registers": """
mov.u32 %y, 3;
LOOP:
setp.eq.u32 %p, %t, 5;
@%p bra SKIP;
mov.u32 %v, %t;
SKIP:
@%p mov.u32 %v, 9;
mov.u32 %x, %v;
st.global.u32 [%out], %x;
ret;
""",
    "selection": """
setp.eq.u32 %p, %t, 5;
@!%p mov.u32 %v, %t;
mov.u32 %y, %v;
selp.b32 %x, 7, %y, %p;
st.global.u32 [%out], %x;
ret;
""",
    "loop": """
.reg .b32 %z;
mov.u32 %z, 0;
LOOP:
add.u32 %z, %z, 1;
setp.lt.u32 %p, %z, %n;
@%p bra LOOP;
st.global.u32 [%out], %z;
ret;
""",
    "local": """
.local .align 4 .b32 stack[4]; .reg .b64 %l;
mov.u64 %l, stack;
st.local.u32 [%l], %t; st.local.u32 [%l+4], %i;
ld.local.u32 %v, [%l+4];
st.global.u32 [%out], %v;
ret;
""",
    "constant": """
ld.const.u32 %v, [table+4];
st.global.u32 [%out], %v;
ret;
""",
}


@dataclass(frozen=True)
class Fault:
    """A change to one of the kernels, and what must be found at which line."""

    name: str
    kernel: str
    old: str
    new: str
    kind: str
    line: str
    """A part of the text of the line that the finding must name (of the changed kernel)."""


FAULTS = (
    Fault(
        "bound off by one",
        "copy",
        "setp.ge.u32 %p, %i, %n",
        "setp.gt.u32 %p, %i, %n",
        "out-of-bounds",
        "ld.global.u32 %v",
    ),
    Fault("no bound", "copy", "@%p ret;", "", "out-of-bounds", "ld.global.u32 %v"),
    Fault("write past the end", "copy", "[%out], %v", "[%out+4], %v", "out-of-bounds", "[%out+4]"),
    Fault("misaligned read", "copy", "[%in]", "[%in+2]", "misaligned", "[%in+2]"),
    Fault(
        "null pointer",
        "copy",
        "ld.global.u32 %v",
        "mov.u64 %in, 0;\nld.global.u32 %v",
        "out-of-bounds",
        "ld.global.u32 %v",
    ),
    Fault(
        "wild pointer",
        "copy",
        "ld.global.u32 %v",
        "shl.b64 %in, %in, 7;\nld.global.u32 %v",
        "out-of-bounds",
        "ld.global.u32 %v",
    ),
    Fault(
        "output read", "copy", "ld.global.u32 %v, [%in]", "ld.global.u32 %v, [%out]", "uninitialised-memory", "[%out];"
    ),
    Fault("barrier removed", "reverse", "bar.sync 0;", "", "race", "ld.shared.u32"),
    Fault(
        "index off by one", "reverse", "sub.u32 %x, 127, %t", "sub.u32 %x, 128, %t", "out-of-bounds", "ld.shared.u32"
    ),
    Fault(
        "element never stored",
        "reverse",
        "st.shared.u32 [%s], %v",
        "setp.ne.u32 %p, %t, 7;\n@%p st.shared.u32 [%s], %v",
        "uninitialised-memory",
        "st.global.u32",
    ),
    Fault(
        "misaligned in shared memory",
        "reverse",
        "ld.shared.u32 %v, [%s]",
        "ld.shared.u32 %v, [%s+1]",
        "misaligned",
        "[%s+1]",
    ),
    Fault(
        "barrier for some",
        "reverse",
        "bar.sync 0;",
        "setp.lt.u32 %p, %t, 64;\n@%p bar.sync 0;",
        "race",
        "ld.shared.u32",
    ),
    Fault(
        "exit before the barrier",
        "reverse",
        "bar.sync 0;",
        "setp.lt.u32 %p, %t, 32; @%p ret;\nbar.sync 0, 128;",
        "barrier",
        "\nbar.sync 0",
    ),
    Fault(
        "two barriers for one",
        "reverse",
        "bar.sync 0;",
        "setp.lt.u32 %p, %t, 64; @%p bra L1;\nbar.sync 0;\nbra L2;\nL1:\nbar.sync 0; // other\nL2:",
        "barrier",
        "bar.sync 0",
    ),
    Fault(
        "two values in one place",
        "reverse",
        "st.shared.u32 [%s], %v",
        "and.b32 %s, %s, 0xfffffff7;\nst.shared.u32 [%s], %v",
        "race",
        "st.shared.u32",
    ),
    Fault("second barrier removed", "rounds", "bar.sync 1;", "", "race", "st.shared.u32"),
    Fault("first barrier removed", "rounds", "bar.sync 0;", "", "race", "ld.shared.u32"),
    Fault("lane not in the mask", "sum", "16, 31, 0xffffffff", "16, 31, 0xffff", "warp", "shfl.sync.down"),
    Fault(
        "shuffle in a branch",
        "sum",
        "shfl.sync.bfly.b32 %x, %v, 1, 31, 0xffffffff;",
        "setp.gt.u32 %p, %t, 9; @%p bra OVER;\nshfl.sync.bfly.b32 %x, %v, 1, 31, 0xffffffff;\n"
        "OVER:\nbar.warp.sync 0xffffffff;",
        "warp",
        "shfl.sync.bfly",
    ),
    Fault(
        "reads a lane that has left",
        "sum",
        "shfl.sync.down",
        "and.b32 %y, %t, 31; setp.gt.u32 %p, %y, 19; @%p ret;\nshfl.sync.down",
        "warp",
        "shfl.sync.down",
    ),
    Fault("no bar.warp.sync", "warp", "bar.warp.sync 0xffffffff;", "", "race", "ld.shared.u32"),
    Fault(
        "bar.warp.sync for half", "warp", "bar.warp.sync 0xffffffff", "bar.warp.sync 0xffff", "warp", "bar.warp.sync"
    ),
    Fault("no wait_group", "async", "cp.async.wait_group 0;", "", "unfinished-copy", "ld.shared.u32"),
    Fault(
        "wait_group too early",
        "async",
        "cp.async.wait_group 0;",
        "cp.async.wait_group 1;",
        "unfinished-copy",
        "ld.shared.u32",
    ),
    Fault("no commit_group", "async", "cp.async.commit_group;", "", "unfinished-copy", "ld.shared.u32"),
    Fault("no barrier after the wait", "async", "bar.sync 0;", "", "race", "ld.shared.u32"),
    Fault("copy misaligned", "async", "[%w], 16", "[%w+4], 16", "misaligned", "[%w+4]"),
    Fault("copy past the end", "async", "[%w], 16", "[%w+2048], 16", "out-of-bounds", "[%w+2048]"),
    Fault(
        "one group too few",
        "stages",
        "cp.async.wait_group 0;",
        "cp.async.wait_group 1;",
        "unfinished-copy",
        "ld.shared.u32 %x",
    ),
    Fault(
        "stage read too early",
        "stages",
        "cp.async.wait_group 1;",
        "cp.async.wait_group 2;",
        "unfinished-copy",
        "ld.shared.u32 %v",
    ),
    Fault("second copy onto the first", "stages", "[%s+2048], [%w]", "[%s], [%w]", "unfinished-copy", "cp.async.cg"),
    Fault("no wait on the mbarrier", "bulk", "@!%p bra WAIT;", "", "race|unfinished-copy", "ld.shared.u32"),
    Fault("too many bytes expected", "bulk", "[%s], 512;", "[%s], 528;", "deadlock", "mbarrier.try_wait"),
    Fault("an arrival is missing", "bulk", "[%s], 1;", "[%s], 2;", "deadlock", "mbarrier.try_wait"),
    Fault(
        "mbarrier not initialised",
        "bulk",
        "@%e mbarrier.init.shared.b64 [%s], 1;",
        "",
        "uninitialised-memory",
        "mbarrier.",
    ),
    Fault(
        "wrong parity",
        "bulk",
        "[%s], 0;\n@",
        "[%s], 1;\n@",
        "unfinished-copy|race|uninitialised-memory",
        "ld.shared.u32",
    ),
    Fault("bulk copy misaligned", "bulk", "[%x], [%gin], 512", "[%x], [%gin+8], 512", "misaligned", "cp.async.bulk"),
    Fault("nobody arrives", "named", "bar.arrive 1, 128;", "", "deadlock|barrier", "bar.sync 1"),
    Fault("too few arrivals", "named", "bar.sync 1, 128;", "bar.sync 1, 160;", "barrier", "bar."),
    Fault(
        "no barrier after zeroing", "histogram", "bar.sync 0;\nand", "and", "race|uninitialised-memory", "atom.shared"
    ),
    Fault("no barrier before reading", "histogram", "bar.sync 0;\nld", "ld", "race", "ld.shared.u32"),
    Fault(
        "no atomic operation",
        "histogram",
        "atom.shared.add.u32 %v, [%s], 1;",
        "ld.shared.u32 %v, [%s]; add.u32 %v, %v, %t;\nst.shared.u32 [%s], %v;",
        "race",
        "st.shared.u32",
    ),
    Fault("no barrier before ldmatrix", "tiles", "bar.sync 0;", "", "race", "ldmatrix"),
    Fault("matrix address misaligned", "tiles", "[%s];", "[%s+8];", "misaligned", "ldmatrix"),
    Fault("mma by half a warp", "tiles", "mma.sync", "setp.lt.u32 %p, %t, 16;\n@%p mma.sync", "warp", "mma.sync"),
    Fault("register never written", "registers", "@%p mov.u32 %v, 9;", "", "uninitialised-register", "st.global.u32"),
    Fault("register written for others", "registers", "@%p mov", "@!%p mov", "uninitialised-register", "st.global.u32"),
    Fault(
        "the one that was not written selected",
        "selection",
        "7, %y",
        "%y, 7",
        "uninitialised-register",
        "st.global.u32",
    ),
    Fault(
        "selected by others",
        "selection",
        "setp.eq.u32 %p, %t, 5;\n@!%p",
        "setp.eq.u32 %p, %t, 5;\n@%p",
        "uninitialised-register",
        "st.global.u32",
    ),
    Fault("counter never set", "loop", "mov.u32 %z, 0;", "", "uninitialised-register", "add.u32 %z"),
    Fault("endless loop", "loop", "@%p bra LOOP", "bra LOOP", "step-limit", "LOOP"),
    Fault("trap", "loop", "st.global", "trap;\nst.global", "trap", "trap;"),
    Fault(
        "local memory never written",
        "local",
        "ld.local.u32 %v, [%l+4]",
        "ld.local.u32 %v, [%l+8]",
        "uninitialised-memory",
        "st.global.u32",
    ),
    Fault("stored ahead of time", "ahead", "[%out], %v", "[%out], %x", "uninitialised-memory", "st.global.u32"),
    Fault(
        "computed with ahead of time", "ahead", "add.u32 %v, %v, 0", "add.u32 %v, %v, %y", "uninitialised-memory", "st."
    ),
    Fault(
        "ahead: an address",
        "ahead",
        "OVER: ret",
        "OVER: ld.shared.u32 %v, [%x]; ret",
        "uninitialised-memory|out-of-bounds",
        "ld.",
    ),
    Fault("selected ahead of time", "ahead", "%v, %x, %e", "%x, %v, %e", "uninitialised-memory", "st.global.u32"),
    Fault("a condition ahead of time", "ahead", "%p, %t, 0;", "%p, %x, 0;", "uninitialised-memory", "bra"),
    Fault(
        "of a matrix ahead of time",
        "ahead",
        "xor.b32 %y, %y, %i",
        "add.u32 %v, %v, %y",
        "uninitialised-memory",
        "st.gl",
    ),
    Fault(
        "past the local array",
        "local",
        "ld.local.u32 %v, [%l+4]",
        "ld.local.u32 %v, [%l+16]",
        "out-of-bounds",
        "ld.local",
    ),
    Fault(
        "constant written",
        "constant",
        "st.global",
        "mov.u64 %w, table; st.global.u32 [%w], %t;\nst.global",
        "read-only",
        "[%w], %t",
    ),
    Fault("past the table", "constant", "[table+4]", "[table+16]", "out-of-bounds", "ld.const"),
)


def text(body: str) -> str:
    """A whole module."""
    table = ".const .align 4 .b32 table[4] = {1, 2, 3, 4};\n"
    return HEADER.format(target="sm_90a") + table + PROLOGUE + body + "}\n"
