#!/usr/bin/env bash
# A body in MLIR's SPIR-V dialect, run on a Vulkan device (a software one is enough).
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
iree-substitute compile model.mlir -o "$out/model.vmfb" --no-builtin --kernels kernels --require scaled_add_vulkan \
  --iree-hal-target-device=vulkan
iree-substitute run "$out/model.vmfb" --device=vulkan --input=40x48xf32=2 --input=40x48xf32=0.5 \
  --expected_output=40x48xf32=6.5
iree-substitute validate model.mlir --quick --device=vulkan --no-builtin --kernels kernels
