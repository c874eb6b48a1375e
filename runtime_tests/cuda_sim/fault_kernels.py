"""Small correct kernels, which `planted_faults` changes.

Every kernel takes an input and an output of 4-byte words (`%in`, `%out`: their addresses of this thread) and a count.
"""

from __future__ import annotations

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


def text(body: str) -> str:
    """A whole module."""
    table = ".const .align 4 .b32 table[4] = {1, 2, 3, 4};\n"
    return HEADER.format(target="sm_90a") + table + PROLOGUE + body + "}\n"
