#!/usr/bin/env bash
# PTX and CUDA C in modules for CUDA, run on the simulated CUDA device: this needs no GPU, and says nothing about its speed.
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
cuda=(--iree-hal-target-device=cuda --iree-cuda-target=sm_80)
iree-substitute compile model.mlir -o "$out/model.vmfb" --no-builtin --kernels kernels --require saxpy "${cuda[@]}"
# the entry has the name of IREE's export now: that is what the driver will look for
grep --text --only-matching --max-count=1 '\.visible \.entry [A-Za-z0-9_]*' "$out/model.vmfb"

# A kernel against the canonical ABI lands in any dispatch that computes the same, wherever its tensors lie. CUDA C is
# compiled for the module's architecture where NVRTC or nvcc is there; else IREE's own code stays in.
kernels=(--no-builtin --kernels kernels)
required=(--require sample_matmul)
if python -c 'import sys; from substitute.payload.ptx.cuda_c import can_compile; sys.exit(not can_compile())'; then
  kernels+=(--kernels cuda_c)
  required+=(--require sample_scale_rows)
else
  echo "left out: CUDA C (neither NVRTC nor nvcc is installed)"
fi
echo
iree-substitute compile layers.mlir -o "$out/layers.vmfb" "${kernels[@]}" "${required[@]}" "${cuda[@]}"
echo
iree-substitute validate layers.mlir --quick --device=cuda-sim "${kernels[@]}" "${cuda[@]}"

# IREE embeds any text as PTX without a look at it; mistakes that would only show on the GPU, or never
plant() {  # plant WHAT MODEL FILE SED-SCRIPT
  cp -r kernels "$out/wrong"
  sed -i "$4" "$out/wrong/$3"
  echo
  echo "planted: $1"
  if iree-substitute compile "$2" -o "$out/wrong.vmfb" --no-builtin --kernels "$out/wrong" "${cuda[@]}"; then
    echo "this should have failed"
    exit 1
  fi
  rm -r "$out/wrong"
}
plant "a parameter less than IREE passes" model.mlir saxpy/kernel.ptx '/\.param \.u64 y,/d'
plant "a 32-bit pointer" model.mlir saxpy/kernel.ptx 's/\.param \.u64 y,/.param .u32 y,/'
plant "blocks of another size than the launch" model.mlir saxpy/kernel.ptx 's/\.reqntid 256/.reqntid 128/'
plant "a register that nothing wrote" layers.mlir matmul/kernel.ptx '/mov.f32 sum, 0f00000000;/d'
plant "a parameter's address instead of its value" layers.mlir matmul/kernel.ptx 's/ld.param.u64 row, \[a\];/mov.u64 row, a;/'
