#!/usr/bin/env bash
# A kernel that takes IREE's own layout as it is: no definition, no adaptation, chosen by name.
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
iree-substitute compile model.mlir -o "$out/model.vmfb" --no-builtin --kernels kernels --require raw_mul
iree-substitute run "$out/model.vmfb" --device=local-task --input=4096xf32=3 --input=4096xf32=-2 \
  --expected_output=4096xf32=-6
iree-substitute validate model.mlir --no-builtin --kernels kernels
