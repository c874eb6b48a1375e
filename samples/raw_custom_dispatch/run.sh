#!/usr/bin/env bash
# Kernels that take IREE's own layout as it is: no definition, no adaptation, chosen by name.
#   ./run.sh           on the CPU
#   ./run.sh vulkan    on a Vulkan device
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
case "${1:-cpu}" in
  cpu) kernel=raw_mul device=local-task flags=() ;;
  vulkan) kernel=raw_mul_vulkan device=vulkan flags=(--iree-hal-target-device=vulkan) ;;
  *) echo "usage: $0 [cpu|vulkan]" >&2; exit 2 ;;
esac
iree-substitute compile model.mlir -o "$out/model.vmfb" --no-builtin --kernels kernels --require "$kernel" "${flags[@]}"
iree-substitute run "$out/model.vmfb" --device="$device" --input=4096xf32=3 --input=4096xf32=-2 \
  --expected_output=4096xf32=-6
iree-substitute validate model.mlir --quick --no-builtin --kernels kernels --device="$device"
