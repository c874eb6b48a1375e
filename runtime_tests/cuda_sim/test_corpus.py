"""PTX that compilers make: nvcc's (its sources are in `substitute/bench/ptx/`), llvmlite's and IREE's (on the fly)."""

import numpy as np
import pytest

from runtime_tests.cuda_sim.lane_programs import Out, run_kernel
from substitute.bench.simulator import read_ptx, run_once, workloads
from substitute.device.cuda_sim.launch import Limits, launch
from substitute.device.cuda_sim.memory import Memory
from substitute.device.cuda_sim.program import load

RANDOM = np.random.default_rng(2)


def corpus(name: str) -> str:
    return read_ptx(name)


def run(name: str, entry: str, arguments, **geometry):
    found, report = run_kernel(corpus(name), entry, arguments, target="sm_80", **geometry)
    assert not report.findings, "\n".join(map(str, report.findings))
    return found


def test_saxpy():
    x, y = RANDOM.standard_normal((2, 1000)).astype("f4")
    arguments = [x, y, Out((1000,), "f4"), np.float32(2), np.int32(1000)]
    (z,) = run("plain", "saxpy", arguments, grid=(4, 1, 1), block=(256, 1, 1))
    assert (z == (x.astype("f8") * 2 + y).astype("f4")).all()


@pytest.mark.parametrize("races", [True, False])
def test_softmax(races):
    x = RANDOM.standard_normal((5, 300)).astype("f4")
    (y,) = run(
        "plain",
        "softmax",
        [x, Out(x.shape, "f4"), np.int32(300)],
        grid=(5, 1, 1),
        block=(128, 1, 1),
        limits=Limits(races=races),
    )
    e = np.exp(x.astype("f8") - x.max(axis=1, keepdims=True))
    assert np.abs(y - e / e.sum(axis=1, keepdims=True)).max() < 1e-6


def test_matmul_f32():
    a, b = RANDOM.integers(-4, 5, (2, 48, 48)).astype("f4")
    (c,) = run("plain", "matmul", [a, b, Out((48, 48), "f4"), np.int32(48)], grid=(3, 3, 1), block=(16, 16, 1))
    assert (c == a @ b).all()


def test_histogram():
    x = RANDOM.integers(0, 256, 3000).astype("u1")
    bins = np.zeros(256, "u4")
    memory, program = Memory(1 << 20), load(corpus("plain"), "sm_80")
    at, to = memory.allocate(3000), memory.allocate(1024)
    memory.write(at, x)
    memory.write(to, bins)
    packed = program.entries["histogram"].pack(
        [at.to_bytes(8, "little"), to.to_bytes(8, "little"), (3000).to_bytes(4, "little")]
    )
    report = launch(program, "histogram", grid=(3, 1, 1), block=(128, 1, 1), parameters=packed, memory=memory)
    assert not report.findings, [str(f) for f in report.findings]
    assert (np.frombuffer(memory.read(to, 1024), "u4") == np.bincount(x, minlength=256)).all()


def test_transpose_with_dynamic_shared_memory():
    x = RANDOM.standard_normal((64, 64))
    (y,) = run(
        "plain",
        "transpose",
        [x, Out((64, 64), "f8"), np.int32(64)],
        grid=(2, 2, 1),
        block=(32, 32, 1),
        shared=32 * 33 * 8,
    )
    assert (y == x.T).all()


def test_odds_and_ends():
    x = RANDOM.integers(-(2**31), 2**31, 64).astype("i4")
    h = RANDOM.integers(-50, 50, (64, 2)).astype("f2")
    y, g, d = run("plain", "odds", [x, h, Out((64,), "i4"), Out((64, 2), "f2"), Out((64,), "f8")], block=(64, 1, 1))
    assert (g == h * np.float16(3)).all()
    assert np.allclose(d, np.sqrt(x.astype("f8") ** 2 + 1) / 3 + 2.0 ** (np.arange(64) & 3), rtol=1e-15, atol=0)
    for i in range(64):
        v, u = int(x[i]), int(x[i]) & 0xFFFFFFFF
        source = u.to_bytes(4, "little") + i.to_bytes(4, "little")
        dot = sum(
            a * b
            for a, b in zip(
                np.array([v], "i4").view("i1").tolist(), np.array([i], "i4").view("i1").tolist(), strict=True
            )
        )
        brev = int(f"{u:032b}"[::-1], 2)
        cases = {
            0: u.bit_count(),
            1: 32 - u.bit_length(),
            2: brev,
            3: v >> 3,
            4: (u & -u).bit_length(),
            5: int(np.trunc(np.float32(v) * np.float32(0.5) + np.float32(-2))),
            6: int.from_bytes(bytes(source[n] for n in (0, 4, 1, 5)), "little"),
            7: dot + 7,
        }
        warp = x[i // 32 * 32 : i // 32 * 32 + 32]
        total = cases[v & 7] + int((warp & 15).sum()) + int((warp & 1).sum())
        assert (int(y[i]) - total) % 2**32 == 0, (i, v & 7)


@pytest.mark.parametrize("entry, tile, block", [("matmul_f16", (64, 64), 128), ("matmul_wmma", (16, 8), 32)])
def test_tensor_cores(entry, tile, block):
    m, n, k = 128, 64, 96
    a, b = RANDOM.integers(-4, 5, (m, k)).astype("f2"), RANDOM.integers(-4, 5, (k, n)).astype("f2")
    grid = (n // tile[1], m // tile[0], 1)
    (c,) = run("tensor", entry, [a, b, Out((m, n), "f4"), np.int32(n), np.int32(k)], grid=grid, block=(block, 1, 1))
    assert (c == a.astype("f4") @ b.astype("f4")).all()


@pytest.mark.parametrize("removed", [r"bar.sync", r"cp.async.wait_group"])
def test_what_is_taken_out_of_the_tensor_kernel_is_missed(removed):
    """Every one of its barriers and waits is needed, and its absence found, whatever the numbers say."""
    lines = corpus("tensor").splitlines()
    start = next(n for n, line in enumerate(lines) if ".entry matmul_f16" in line)
    places = [n for n in range(start, len(lines)) if removed in lines[n]]
    assert places
    m, n, k = 64, 64, 96
    a, b = RANDOM.integers(-4, 5, (m, k)).astype("f2"), RANDOM.integers(-4, 5, (k, n)).astype("f2")
    for place in places:
        ptx = "\n".join([*lines[:place], "", *lines[place + 1 :]])
        arguments = [a, b, Out((m, n), "f4"), np.int32(n), np.int32(k)]
        _, report = run_kernel(ptx, "matmul_f16", arguments, target="sm_80", block=(128, 1, 1))
        assert {f.kind for f in report.findings} & {"race", "unfinished-copy"}, lines[place]


def test_llvmlite():
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = llvm.parse_assembly(
        """
target triple = "nvptx64-nvidia-cuda"
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare void @llvm.nvvm.barrier0()
@tile = internal addrspace(3) global [64 x float] undef
define ptx_kernel void @flip(ptr addrspace(1) %x, ptr addrspace(1) %y, i64 %n) {
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %p = getelementptr float, ptr addrspace(1) %x, i32 %t
  %v = load float, ptr addrspace(1) %p
  %s = getelementptr [64 x float], ptr addrspace(3) @tile, i32 0, i32 %t
  store float %v, ptr addrspace(3) %s
  call void @llvm.nvvm.barrier0()
  %r = sub i32 63, %t
  %q = getelementptr [64 x float], ptr addrspace(3) @tile, i32 0, i32 %r
  %w = load float, ptr addrspace(3) %q
  %z = call float @llvm.sqrt.f32(float %w)
  %o = getelementptr float, ptr addrspace(1) %y, i32 %t
  store float %z, ptr addrspace(1) %o
  ret void
}
declare float @llvm.sqrt.f32(float)
"""
    )
    machine = llvm.Target.from_triple("nvptx64-nvidia-cuda").create_target_machine(cpu="sm_80", opt=3)
    ptx = machine.emit_assembly(module)
    x = np.arange(64, dtype="f4")
    found, report = run_kernel(ptx, "flip", [x, Out((64,), "f4"), np.int64(64)], block=(64, 1, 1), target="sm_80")
    assert not report.findings, [str(f) for f in report.findings]
    assert (found[0] == np.sqrt(x[::-1])).all()


@pytest.mark.parametrize("workload", workloads(quick=True), ids=lambda workload: workload.entry)
def test_what_the_benchmark_runs(workload):
    lanes, seconds = run_once(workload, races=True)
    assert lanes > 0 and seconds > 0


@pytest.mark.compile
def test_iree_output(tmp_path):
    """Every dispatch of a small model that IREE itself generates code for is decoded; one is run."""
    from iree.compiler import compile_str

    source = """
func.func @model(%a: tensor<64x96xf32>, %b: tensor<96x32xf32>) -> (tensor<64x32xf32>, tensor<64xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<64x32xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<64x32xf32>) -> tensor<64x32xf32>
  %m = linalg.matmul ins(%a, %b : tensor<64x96xf32>, tensor<96x32xf32>)
    outs(%f : tensor<64x32xf32>) -> tensor<64x32xf32>
  %v = tensor.empty() : tensor<64xf32>
  %w = linalg.fill ins(%zero : f32) outs(%v : tensor<64xf32>) -> tensor<64xf32>
  %s = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>],
    iterator_types = ["parallel", "reduction"]} ins(%a : tensor<64x96xf32>) outs(%w : tensor<64xf32>) {
    ^bb0(%x: f32, %y: f32): %z = arith.addf %x, %y : f32  linalg.yield %z : f32 } -> tensor<64xf32>
  return %m, %s : tensor<64x32xf32>, tensor<64xf32>
}"""
    compile_str(
        source,
        target_backends=["cuda"],
        extra_args=["--iree-cuda-target=sm_80", f"--iree-hal-dump-executable-binaries-to={tmp_path}"],
    )
    found = sorted(tmp_path.glob("*.ptx"))
    assert found
    for file in found:
        program = load(file.read_text(), "sm_80")
        assert program.entries
        for entry in program.entries.values():
            assert not entry.code.suspects, f"{entry.name} reads registers that it may not have written"
