"""Faults planted in the kernels of `fault_kernels`: a changed text, and the finding that it has to cause."""

from __future__ import annotations

from dataclasses import dataclass


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
