"""PTX that compilers write here and now: llvmlite, IREE, NVRTC. The rules find nothing in it that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from substitute import compile_model
from substitute.model.index import push
from substitute.payload.ptx import parse, verify
from substitute.payload.ptx.adapt import Pointer, Scalar, adapt
from substitute.payload.ptx.cuda_c import can_compile, cuda_to_ptx
from substitute.payload.ptx.syntax import Instruction, Symbol
from substitute.payload.ptx.verification import find_entry

from .ptx_run import run_entry

LLVM = """
target triple = "nvptx64-nvidia-cuda"
@tile = internal addrspace(3) global [64 x float] undef, align 16
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare void @llvm.nvvm.barrier0()
define ptx_kernel void @reverse(ptr addrspace(1) %a, ptr addrspace(1) %c, i64 %n) {
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %i = zext i32 %t to i64
  %p = getelementptr float, ptr addrspace(1) %a, i64 %i
  %v = load float, ptr addrspace(1) %p
  %q = getelementptr [64 x float], ptr addrspace(3) @tile, i64 0, i64 %i
  store float %v, ptr addrspace(3) %q
  call void @llvm.nvvm.barrier0()
  %last = sub i64 %n, 1
  %j = sub i64 %last, %i
  %s = getelementptr [64 x float], ptr addrspace(3) @tile, i64 0, i64 %j
  %w = load float, ptr addrspace(3) %s
  %r = getelementptr float, ptr addrspace(1) %c, i64 %i
  store float %w, ptr addrspace(1) %r
  ret void
}
"""

CUDA = """
#include <cuda_fp16.h>
__constant__ float weights[4] = {1.f, 2.f, 3.f, 4.f};
__device__ int counter;
extern __shared__ float dynamic[];
__device__ __noinline__ float helper(float x, float *p) { *p += x; return x * weights[int(x) & 3]; }
extern "C" __global__ void __launch_bounds__(64) many(const float *a, float *c, int k) {
  __shared__ float sums[64];
  float local[8];
  for (int i = 0; i < 8; ++i) local[i] = a[i];
  local[k & 7] += 1;
  sums[threadIdx.x] = a[threadIdx.x];
  dynamic[threadIdx.x] = 0;
  __syncthreads();
  for (int step = 32; step; step >>= 1) {
    if (threadIdx.x < step) sums[threadIdx.x] += sums[threadIdx.x + step];
    __syncthreads();
  }
  switch (k) {
    case 0: c[0] = 1; break; case 1: c[1] = 7; break; case 2: c[2] = 9; break; case 3: c[3] = 4; break;
    case 4: c[4] = 8; break; case 5: c[5] = 1; break; default: c[6] = 0;
  }
  float total = helper(sums[0], &local[k & 7]);
  for (int mask = 16; mask; mask >>= 1) total += __shfl_xor_sync(~0u, total, mask);
  if (__any_sync(~0u, k > 3)) atomicAdd(&counter, __popc(k));
  c[7] = total + local[k & 7] + __half2float(__hadd(__float2half(a[1]), __float2half(a[2])));
}
"""


def emit_with_llvmlite(text: str) -> str:
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple("nvptx64-nvidia-cuda")
    machine = target.create_target_machine(cpu="sm_80", features="+ptx80")
    return str(machine.emit_assembly(llvm.parse_assembly(text)))


def unknown_names(text: str) -> list[str]:
    return [
        o.name
        for f in parse(text).functions
        for s in f.body or ()
        if isinstance(s, Instruction)
        for o in s.operands
        if isinstance(o, Symbol) and o.kind == "unknown"
    ]


def test_llvmlite() -> None:
    text = emit_with_llvmlite(LLVM)
    module = parse(text)
    arguments = (
        Pointer(name="a", binding=0, byte_offset=8),
        Pointer(name="c", binding=1),
        Scalar(name="n", value=push(0)),
    )
    bound = adapt(module, find_entry(module, "reverse"), arguments, bindings=2, constants=1, export_name="reversed_0")
    facts = verify(
        bound, entry="reversed_0", bindings=2, push_constants=1, target_arch="sm_80", workgroup_size=(64, 1, 1)
    )
    assert facts.shared_bytes == 256
    a = np.arange(66, dtype=np.float32)
    _, found = run_entry(bound, "reversed_0", [a, np.zeros(64, np.float32)], [64], block=(64, 1, 1))
    np.testing.assert_array_equal(found, a[2:][::-1])


@pytest.mark.skipif(not can_compile(), reason="neither NVRTC nor nvcc is installed")
@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
def test_nvrtc(arch: str) -> None:
    text = cuda_to_ptx(CUDA, arch=arch, name="many.cu")
    assert not unknown_names(text)
    facts = verify(
        text,
        entry="many",
        bindings=2,
        push_constants=1,
        target_arch=arch,
        workgroup_size=(64, 1, 1),
        shared_memory_bytes=256,
    )
    assert (facts.target, facts.notes) == (arch, ())
    assert facts.shared_bytes == 256


def test_iree(tmp_path: Path) -> None:
    model = Path(__file__).parents[2] / "samples" / "cuda_ptx" / "layers.mlir"
    flags = ("--iree-hal-target-device=cuda", "--iree-cuda-target=sm_80")
    compile_model(
        model,
        output=tmp_path / "x.vmfb",
        builtin=False,
        flags=(*flags, f"--iree-hal-dump-executable-binaries-to={tmp_path}"),
    )
    files = list(tmp_path.glob("*.ptx"))
    assert files
    for file in files:
        text = file.read_text()
        assert not unknown_names(text)
        for entry in parse(text).entries:
            pointers = sum(p.type == "u64" for p in entry.parameters)
            size = next(d.values for d in entry.directives if d.name in ("maxntid", "reqntid"))
            facts = verify(
                text,
                entry=entry.name,
                bindings=pointers,
                push_constants=len(entry.parameters) - pointers,
                target_arch="sm_80",
                workgroup_size=(size[0], size[1], size[2]),
                shared_memory_bytes=65536,
            )
            assert re.match(r"\d+\.\d+", ".".join(map(str, facts.version)))
