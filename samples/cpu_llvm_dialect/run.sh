#!/usr/bin/env bash
# A body in MLIR's LLVM dialect on the CPU: against the canonical ABI, then against the runtime's own.
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
for kernel in kernels:scaled_add kernels_raw:scaled_add_raw; do
  iree-substitute compile model.mlir -o "$out/model.vmfb" --no-builtin --kernels "${kernel%:*}" --require "${kernel#*:}"
  iree-substitute run "$out/model.vmfb" --device=local-task --input=40x48xf32=2 --input=40x48xf32=0.5 \
    --expected_output=40x48xf32=6.5
done
iree-substitute validate model.mlir --quick --no-builtin --kernels kernels
