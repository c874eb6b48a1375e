#!/usr/bin/env bash
# Two kernels for one dispatch: the device says which may run, the length says which does, IREE's code takes the rest.
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
iree-substitute compile model.mlir -o "$out/model.vmfb" --no-builtin --kernels kernels \
  --require huge_groups --require four_at_once --iree-hal-target-device=vulkan
for length in 8 7; do
  iree-substitute run "$out/model.vmfb" --device=vulkan --input="${length}xf32=3" --input="${length}xf32=4" \
    --expected_output="${length}xf32=12"
done
