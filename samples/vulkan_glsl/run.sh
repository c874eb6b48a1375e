#!/usr/bin/env bash
# A GLSL kernel with an epilogue slot, run on a Vulkan device (a software one is enough).
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
iree-substitute compile model.mlir -o "$out/model.vmfb" --no-builtin --kernels kernels --require small_matmul \
  --iree-hal-target-device=vulkan
iree-substitute run "$out/model.vmfb" --device=vulkan --input=48x96xf32=1 --input=96x80xf32=0.5 --input=80xf32=-8 \
  --expected_output=48x80xf32=40
iree-substitute validate model.mlir --quick --device=vulkan --no-builtin --kernels kernels
