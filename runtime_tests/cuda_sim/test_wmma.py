"""wmma: tiles loaded, multiplied and stored, in every layout of the operands."""

import numpy as np
import pytest

from runtime_tests.cuda_sim.lane_programs import HEADER, Out, run_kernel

pytestmark = pytest.mark.unit
RANDOM = np.random.default_rng(6)
TYPES = {
    # type: (shape, registers of a and b, of c, result)
    "f16": ((16, 16, 16), 8, 8, "f32"),
    "bf16": ((32, 8, 16), 8, 8, "f32"),
    "s8": ((16, 16, 16), 2, 8, "s32"),
    "u8": ((8, 32, 16), 4, 8, "s32"),
    "tf32": ((16, 16, 8), 4, 8, "f32"),
    "f64": ((8, 8, 4), 1, 2, "f64"),
}
REGISTERS = {"bf16": {(32, 8, 16): (8, 2)}, "u8": {(8, 32, 16): (1, 4)}}


def kernel(type_: str, a_layout: str, b_layout: str, strides: tuple[int, int]) -> str:
    shape, both, c_count, result = TYPES[type_]
    a_count, b_count = REGISTERS.get(type_, {}).get(shape, (both, both))
    m, n, k = shape
    name, held = f"m{m}n{n}k{k}", "b64" if type_ == "f64" else "b32"
    names = {
        x: ", ".join(f"%{x}{i}" for i in range(count))
        for x, count in zip("abc", (a_count, b_count, c_count), strict=True)
    }
    zero = "".join(f"mov.{held} %c{i}, 0;" for i in range(c_count))
    types = f"{result}.{result}" if type_ == "f16" else f"{result}.{type_}.{type_}.{result}"
    return f"""{HEADER.format(target="sm_80")}.visible .entry k(.param .u64 pa, .param .u64 pb, .param .u64 pc)
{{ .reg .b64 %pa, %pb, %pc; .reg .{held} %a<16>, %b<16>, %c<16>;
ld.param.u64 %pa, [pa]; ld.param.u64 %pb, [pb]; ld.param.u64 %pc, [pc]; {zero}
wmma.load.a.sync.aligned.{a_layout}.{name}.global.{type_} {{{names["a"]}}}, [%pa], {strides[0]};
wmma.load.b.sync.aligned.{b_layout}.{name}.global.{type_} {{{names["b"]}}}, [%pb], {strides[1]};
wmma.mma.sync.aligned.{a_layout}.{b_layout}.{name}.{types} {{{names["c"]}}}, {{{names["a"]}}}, {{{names["b"]}}},
  {{{names["c"]}}};
wmma.store.d.sync.aligned.row.{name}.global.{result} [%pc], {{{names["c"]}}}, {n};
ret; }}"""


def held(values: np.ndarray, type_: str) -> np.ndarray:
    if type_ == "bf16":
        return (values.astype("f4").view("u4") >> 16).astype("u2")
    return values.astype({"f16": "f2", "s8": "i1", "u8": "u1", "tf32": "f4", "f64": "f8"}[type_])


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("layouts", [("row", "col"), ("col", "row")])
def test_products(type_, layouts):
    (m, n, k), _, _, result = TYPES[type_]
    low = 0 if type_ == "u8" else -4
    a, b = RANDOM.integers(low, 5, (m, k)), RANDOM.integers(low, 5, (k, n))
    first, second = (x.T if layout == "col" else x for x, layout in zip((a, b), layouts, strict=True))
    strides = (first.shape[1], second.shape[1])
    arguments = [np.ascontiguousarray(held(first, type_)), np.ascontiguousarray(held(second, type_))]
    out = Out((m, n), {"f32": "f4", "s32": "i4", "f64": "f8"}[result])
    (found,), report = run_kernel(kernel(type_, *layouts, strides), "k", [*arguments, out], target="sm_80")
    assert not report.findings and (found == a @ b).all()
    # the twin: with the other layout of `a` the same memory is another matrix
    other = ("col" if layouts[0] == "row" else "row", layouts[1])
    (wrong,), _ = run_kernel(
        kernel(type_, *other, (m if other[0] == "col" else k, strides[1])), "k", [*arguments, out], target="sm_80"
    )
    assert (wrong != a @ b).any()
