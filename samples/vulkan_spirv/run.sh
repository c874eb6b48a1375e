#!/usr/bin/env bash
# A SPIR-V binary with specialization constants, run on a Vulkan device (a software one is enough).
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
cp -r kernels "$out"
kernel="$out/kernels/rank_one"
glslangValidator --quiet -V --target-env vulkan1.1 "$kernel/kernel.comp" -o "$kernel/kernel.spv"
iree-substitute compile model.mlir -o "$out/model.vmfb" --no-builtin --kernels "$out/kernels" --require rank_one \
  --iree-hal-target-device=vulkan
iree-substitute run "$out/model.vmfb" --device=vulkan --input=40xf32=3 --input=72xf32=2 --input=56xf32=-0.5 \
  --expected_output=40x72xf32=6 --expected_output=40x56xf32=-1.5
iree-substitute validate model.mlir --quick --device=vulkan --no-builtin --kernels "$out/kernels"
