"""Tiling of each kind of contraction."""

from __future__ import annotations

import pytest

pytest.importorskip("llvmlite.binding")
from kernels.contraction.tiling import PANEL_BYTES, SUMS_BYTES, WIDE_PANEL_BYTES, Tiling, choose
from kernels.contraction.views import Contraction, read
from runtime_tests.payload.contraction_programs import OLD, Case, build, target
from substitute.errors import PayloadError

AVX2 = target("+avx2,+fma,+avx,+f16c")
AVX512 = target("+avx512f,+avx2,+fma,+avx")
NEON = target("+neon", "aarch64-unknown-unknown-eabi-elf")


def tiling_of(case: Case, features: str = "avx2", **tuning: int) -> Tiling:
    contraction = read(build(case))
    assert isinstance(contraction, Contraction)
    return choose(contraction, {"avx2": AVX2, "avx512": AVX512, "neon": NEON, "old": OLD}[features], tuning)


def matmul(m: int, n: int, k: int, spec: str = "m,k;k,n->m,n") -> Case:
    return Case(spec=spec, sizes=dict(m=m, n=n, k=k))


@pytest.mark.parametrize(
    ("case", "mode"),
    [
        (matmul(512, 512, 512), "packed"),
        (matmul(512, 512, 512, "m,k;n,k->m,n"), "packed"),
        (matmul(4, 512, 512), "direct"),
        (matmul(1, 512, 512), "stream"),
        (matmul(1, 512, 512, "m,k;n,k->m,n"), "dot"),
        (matmul(4, 512, 512, "m,k;n,k->m,n"), "dot"),
        (Case(spec="c,h+y,w+x;c,y,x->c,h,w", sizes=dict(h=56, w=56, c=32, y=3, x=3)), "direct"),
        (Case(spec="h+y,w+x,c;y,x,c->h,w,c", sizes=dict(h=56, w=56, c=32, y=3, x=3)), "direct"),
    ],
    ids=str,
)
def test_mode(case: Case, mode: str) -> None:
    assert tiling_of(case).mode == mode


@pytest.mark.parametrize("features", ["avx2", "avx512", "neon", "old"])
@pytest.mark.parametrize("size", [(512, 512, 512), (1024, 64, 64), (33, 1000, 7)])
def test_a_packed_tile_fits_the_registers_and_its_buffers_the_stack(size: tuple[int, int, int], features: str) -> None:
    tiling = tiling_of(matmul(*size), features)
    registers = {"avx2": 16, "avx512": 32, "neon": 32, "old": 16}[features]
    assert tiling.row_tile * tiling.vectors + tiling.vectors + 1 <= registers
    width = 4 * tiling.vectors * tiling.lanes
    waits = tiling.partial == "buffer"
    assert width * tiling.depth_panel <= (PANEL_BYTES if waits or features != "avx512" else WIDE_PANEL_BYTES)
    assert width * tiling.row_block <= SUMS_BYTES or not waits
    assert tiling.row_block % tiling.row_tile == 0


@pytest.mark.parametrize(
    ("size", "features", "partial"),
    [
        ((512, 500, 128), "avx512", "nowhere"),
        ((512, 500, 1000), "avx512", "result"),
        ((512, 500, 1000), "avx2", "result"),
        # 502 is no multiple of four lanes, and without masks a part of a vector is stored lane by lane
        ((512, 502, 1000), "neon", "buffer"),
        ((512, 504, 1000), "neon", "result"),
        # rows of the result are a multiple of 4 KB apart
        ((512, 1024, 1000), "avx512", "buffer"),
        ((512, 1024, 128), "avx512", "buffer"),
        # too few depths to hide the stores
        ((512, 500, 16), "avx512", "buffer"),
    ],
    ids=str,
)
def test_where_sums_wait_between_panels(size: tuple[int, int, int], features: str, partial: str) -> None:
    assert tiling_of(matmul(*size), features).partial == partial


def test_sums_wait_in_a_buffer_where_much_work_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tiling_of(matmul(512, 500, 128)).partial == "nowhere"
    monkeypatch.setattr("kernels.contraction.tiling.MOST_WORK", -1)
    assert tiling_of(matmul(512, 500, 128)).partial == "buffer"


def test_a_tuned_tile_is_taken() -> None:
    tiling = tiling_of(matmul(512, 512, 512), row_tile=4, vectors=1, order=1)
    assert (tiling.row_tile, tiling.vectors) == (4, 1)
    assert tiling.vector != tiling_of(matmul(512, 512, 512)).vector


@pytest.mark.parametrize(
    "tuning", [{"row_tile": 0}, {"vectors": 0}, {"row_tile": 16}, {"order": -1}, {"order": 9}, {"vectors": -2}], ids=str
)
def test_a_tile_that_cannot_be_is_refused(tuning: dict[str, int]) -> None:
    with pytest.raises(PayloadError, match="the contraction has no such tiling"):
        tiling_of(matmul(512, 512, 512), **tuning)


def test_lanes_follow_the_features() -> None:
    case = matmul(512, 512, 512)
    assert [tiling_of(case, f).lanes for f in ("avx512", "avx2", "neon", "old")] == [16, 8, 4, 4]


def test_vectors_run_along_the_output_where_that_is_cheap() -> None:
    plain = tiling_of(matmul(64, 64, 64))
    turned = tiling_of(matmul(64, 64, 64, "k,m;k,n->n,m"))
    assert (plain.vector, turned.vector) == (1, 0)


def test_rows_of_a_depthwise_convolution_share_a_tile() -> None:
    case = Case(spec="c,h+y,w+x;c,y,x->c,h,w", sizes=dict(h=56, w=56, c=32, y=3, x=3))
    assert tiling_of(case).stacked and tiling_of(case).vectors == 8
    assert not tiling_of(Case(spec="c,p+t;c,t->c,p", sizes=dict(p=56, c=32, t=3))).stacked


def test_the_summary_says_the_tile() -> None:
    assert str(tiling_of(matmul(512, 512, 512))) == "6×16 tiles of 8-lane f32, packed columns, panels of 256"
