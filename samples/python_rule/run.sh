#!/usr/bin/env bash
# A rule in Python changes what IREE compiles, on the CPU and on a Vulkan device: ./run.sh, ./run.sh vulkan
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
device=local-task
flags=()
if [ "${1:-}" = vulkan ]; then
  device=vulkan
  flags=(--iree-hal-target-device=vulkan)
fi
iree-substitute compile model.mlir -o "$out/model.vmfb" --no-builtin --kernels kernels --require no_division \
  --plan-out "$out/plan.json" "${flags[@]}"
iree-substitute run "$out/model.vmfb" --device=$device --input=16x64xf32=6 --input=16xf32=4 \
  --expected_output=16x64xf32=0.5
iree-substitute validate model.mlir --quick --no-builtin --kernels kernels --device=$device
# with the built-in kernels, one of these takes what the rule left; a saved plan replays both
iree-substitute compile model.mlir -o "$out/both.vmfb" --kernels kernels --plan-out "$out/plan.json" "${flags[@]}"
iree-substitute compile model.mlir -o "$out/again.vmfb" --kernels kernels --plan "$out/plan.json" "${flags[@]}"
iree-substitute explain model.mlir --dispatch 0 --kernel no_division --kernels kernels "${flags[@]}"
