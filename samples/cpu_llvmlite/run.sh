#!/usr/bin/env bash
# A kernel for the CPU written with llvmlite, in the place of the dispatch that computes the same.
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
iree-substitute compile model.mlir -o "$out/model.vmfb" --no-builtin --kernels kernels --require swiglu
iree-substitute run "$out/model.vmfb" --device=local-task --input=64x688xf32=1 --input=64x688xf32=2 \
  --expected_output=64x688xf32=1.4621172
iree-substitute validate model.mlir --quick --no-builtin --kernels kernels
