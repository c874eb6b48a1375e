"""Right kernels as PTX against the canonical ABI, for sm_80: run on the simulated CUDA device."""

from __future__ import annotations

from runtime_tests.faults.kernel import Variant

_MATMUL = """\
.version 7.0
.target sm_80
.address_size 64

.visible .entry kernel(
  .param .u64 a, .param .u64 b, .param .u64 c, .param .u32 M, .param .u32 K, .param .u32 N
)
{
  .reg .pred outside, more;
  .reg .b32 m, n, k, rows, depth, columns, id;
  .reg .b64 row, column, out, offset, step;
  .reg .f32 sum, x, y;
  ld.param.u32 rows, [M];
  ld.param.u32 depth, [K];
  ld.param.u32 columns, [N];
  mov.u32 id, %ctaid.x;
  mov.u32 n, %tid.x;
  mad.lo.u32 n, id, 32, n;
  mov.u32 id, %ctaid.y;
  mov.u32 m, %tid.y;
  mad.lo.u32 m, id, 4, m;
  setp.ge.u32 outside, m, rows;
  @outside ret;
  setp.ge.u32 outside, n, columns;
  @outside ret;
  ld.param.u64 row, [a];
  mul.wide.u32 offset, m, depth;
  shl.b64 offset, offset, 2;
  add.u64 row, row, offset;
  ld.param.u64 column, [b];
  mul.wide.u32 offset, n, 4;
  add.u64 column, column, offset;
  mul.wide.u32 step, columns, 4;
  mov.f32 sum, 0f00000000;
  mov.u32 k, 0;
next:
  setp.lt.u32 more, k, depth;
  @!more bra store;
  ld.global.f32 x, [row];
  ld.global.f32 y, [column];
  fma.rn.f32 sum, x, y, sum;
  add.u64 row, row, 4;
  add.u64 column, column, step;
  add.u32 k, k, 1;
  bra next;
store:
  ld.param.u64 out, [c];
  mul.wide.u32 offset, m, columns;
  cvt.u64.u32 step, n;
  add.u64 offset, offset, step;
  shl.b64 offset, offset, 2;
  add.u64 out, out, offset;
  st.global.f32 [out], sum;
  ret;
}
"""
_TILED = """\
.version 7.0
.target sm_80
.address_size 64

.visible .entry kernel(
  .param .u64 a, .param .u64 b, .param .u64 c, .param .u32 M, .param .u32 K, .param .u32 N
)
{
  .shared .align 4 .b8 left[256];
  .shared .align 4 .b8 right[256];
  .reg .pred inside, p, more;
  .reg .b32 m, n, k, t, tx, ty, rows, depth, columns, id, at, mine, lrow, rcol, other;
  .reg .b64 pa, pb, out, offset, step;
  .reg .f32 sum, x, y;
  ld.param.u32 rows, [M];
  ld.param.u32 depth, [K];
  ld.param.u32 columns, [N];
  ld.param.u64 pa, [a];
  ld.param.u64 pb, [b];
  mov.u32 tx, %tid.x;
  mov.u32 ty, %tid.y;
  mov.u32 id, %ctaid.x;
  mad.lo.u32 n, id, 8, tx;
  mov.u32 id, %ctaid.y;
  mad.lo.u32 m, id, 8, ty;
  mad.lo.u32 mine, ty, 8, tx;
  shl.b32 mine, mine, 2;
  shl.b32 lrow, ty, 5;
  shl.b32 rcol, tx, 2;
  mov.u32 at, left;
  add.u32 lrow, lrow, at;
  mov.u32 at, right;
  add.u32 rcol, rcol, at;
  mov.f32 sum, 0f00000000;
  mov.u32 t, 0;
tile:
  setp.lt.u32 more, t, depth;
  @!more bra store;
  mov.f32 x, 0f00000000;
  add.u32 k, t, tx;
  setp.lt.u32 inside, m, rows;
  setp.lt.and.u32 inside, k, depth, inside;
  mul.wide.u32 offset, m, depth;
  cvt.u64.u32 step, k;
  add.u64 offset, offset, step;
  shl.b64 offset, offset, 2;
  add.u64 offset, offset, pa;
  @inside ld.global.f32 x, [offset];
  mov.f32 y, 0f00000000;
  add.u32 k, t, ty;
  setp.lt.u32 inside, n, columns;
  setp.lt.and.u32 inside, k, depth, inside;
  mul.wide.u32 offset, k, columns;
  cvt.u64.u32 step, n;
  add.u64 offset, offset, step;
  shl.b64 offset, offset, 2;
  add.u64 offset, offset, pb;
  @inside ld.global.f32 y, [offset];
  mov.u32 at, left;
  add.u32 at, at, mine;
  st.shared.f32 [at], x;
  mov.u32 at, right;
  add.u32 at, at, mine;
  st.shared.f32 [at], y;
  bar.sync 0;
  mov.u32 k, 0;
  mov.u32 at, lrow;
  mov.u32 other, rcol;
inner:
  ld.shared.f32 x, [at];
  ld.shared.f32 y, [other];
  fma.rn.f32 sum, x, y, sum;
  add.u32 at, at, 4;
  add.u32 other, other, 32;
  add.u32 k, k, 1;
  setp.lt.u32 p, k, 8;
  @p bra inner;
  bar.sync 0;
  add.u32 t, t, 8;
  bra tile;
store:
  setp.lt.u32 inside, m, rows;
  setp.lt.and.u32 inside, n, columns, inside;
  @!inside ret;
  ld.param.u64 out, [c];
  mul.wide.u32 offset, m, columns;
  cvt.u64.u32 step, n;
  add.u64 offset, offset, step;
  shl.b64 offset, offset, 2;
  add.u64 out, out, offset;
  st.global.f32 [out], sum;
  ret;
}
"""
_ROW_SUM = """\
.version 7.0
.target sm_80
.address_size 64

.visible .entry kernel(
  .param .u64 input, .param .u64 output, .param .u32 M, .param .u32 N
)
{
  .reg .pred more, first;
  .reg .b32 m, n, lane, rows, columns;
  .reg .b64 base, out, offset, place;
  .reg .f32 sum, x;
  ld.param.u32 columns, [N];
  mov.u32 m, %ctaid.x;
  ld.param.u32 rows, [M];
  setp.ge.u32 more, m, rows;
  @more ret;
  mov.u32 lane, %tid.x;
  ld.param.u64 base, [input];
  mul.wide.u32 offset, m, columns;
  shl.b64 offset, offset, 2;
  add.u64 base, base, offset;
  mov.f32 sum, 0f00000000;
  mov.u32 n, lane;
next:
  setp.lt.u32 more, n, columns;
  @!more bra fold;
  mul.wide.u32 place, n, 4;
  add.u64 place, place, base;
  ld.global.f32 x, [place];
  add.f32 sum, sum, x;
  add.u32 n, n, 32;
  bra next;
fold:
  shfl.sync.down.b32 x, sum, 16, 31, 0xffffffff;
  add.f32 sum, sum, x;
  shfl.sync.down.b32 x, sum, 8, 31, 0xffffffff;
  add.f32 sum, sum, x;
  shfl.sync.down.b32 x, sum, 4, 31, 0xffffffff;
  add.f32 sum, sum, x;
  shfl.sync.down.b32 x, sum, 2, 31, 0xffffffff;
  add.f32 sum, sum, x;
  shfl.sync.down.b32 x, sum, 1, 31, 0xffffffff;
  add.f32 sum, sum, x;
  setp.ne.u32 first, lane, 0;
  @first ret;
  ld.param.u64 out, [output];
  mul.wide.u32 offset, m, 4;
  add.u64 out, out, offset;
  st.global.f32 [out], sum;
  ret;
}
"""
_ELEMENTS = """\
.version 7.0
.target sm_80
.address_size 64

.visible .entry kernel(
  .param .u64 a, .param .u64 b, .param .u64 c, .param .u32 N
)
{
  .reg .pred outside;
  .reg .b32 n, id, size;
  .reg .b64 pa, pb, out, offset;
  .reg .f32 x, y;
  ld.param.u32 size, [N];
  mov.u32 id, %ctaid.x;
  mov.u32 n, %tid.x;
  mad.lo.u32 n, id, 64, n;
  setp.ge.u32 outside, n, size;
  @outside ret;
  mul.wide.u32 offset, n, 4;
  ld.param.u64 pa, [a];
  add.u64 pa, pa, offset;
  ld.param.u64 pb, [b];
  add.u64 pb, pb, offset;
  ld.param.u64 out, [c];
  add.u64 out, out, offset;
  ld.global.f32 x, [pa];
  ld.global.f32 y, [pb];
  mul.f32 x, x, 0f40000000;
  sub.f32 x, x, y;
  st.global.f32 [out], x;
  ret;
}
"""
_NARROWED = """\
.version 7.0
.target sm_80
.address_size 64

.visible .entry kernel(
  .param .u64 a, .param .u64 c, .param .u32 N
)
{
  .reg .pred outside;
  .reg .b16 h;
  .reg .b32 n, id, size;
  .reg .b64 pa, out, offset;
  .reg .f32 x;
  ld.param.u32 size, [N];
  mov.u32 id, %ctaid.x;
  mov.u32 n, %tid.x;
  mad.lo.u32 n, id, 64, n;
  setp.ge.u32 outside, n, size;
  @outside ret;
  mul.wide.u32 offset, n, 4;
  ld.param.u64 pa, [a];
  add.u64 pa, pa, offset;
  mul.wide.u32 offset, n, 2;
  ld.param.u64 out, [c];
  add.u64 out, out, offset;
  ld.global.f32 x, [pa];
  cvt.rn.f16.f32 h, x;
  st.global.b16 [out], h;
  ret;
}
"""


def ptx_controls() -> list[Variant]:
    """All right kernels in PTX."""
    line = ("max(ceildiv(N, 64), 1)", "1", "1")  # CUDA has no empty grid
    row_max = _ROW_SUM.replace("mov.f32 sum, 0f00000000;", "mov.f32 sum, 0fFF800000;").replace("add.f32", "max.NaN.f32")
    kernels = (
        ("matmul", "matmul", _MATMUL, ("max(ceildiv(N, 32), 1)", "max(ceildiv(M, 4), 1)", "1"), (32, 4, 1)),
        ("matmul_tiled", "matmul", _TILED, ("max(ceildiv(N, 8), 1)", "max(ceildiv(M, 8), 1)", "1"), (8, 8, 1)),
        ("row_sum", "row_sum", _ROW_SUM, ("max(M, 1)", "1", "1"), (32, 1, 1)),
        ("row_max", "row_max", row_max, ("max(M, 1)", "1", "1"), (32, 1, 1)),
        ("difference", "difference", _ELEMENTS, line, (64, 1, 1)),
        ("narrowed", "narrowed", _NARROWED, line, (64, 1, 1)),
    )
    return [
        Variant(name=f"{n}.ptx", definition=d, kind="ptx", source=s, workgroup_count=c, workgroup_size=w)
        for n, d, s, c, w in kernels
    ]
