#!/usr/bin/env bash
# A hand-written .ll kernel, then the same code as bitcode and as an object file, on a model whose sizes are open.
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
python assemble.py "$out"
for kernels in kernels "$out/bitcode" "$out/object"; do
  iree-substitute compile model.mlir -o "$out/model.vmfb" --no-builtin --kernels "$kernels" --require row_squares
  # N = 64: the kernel; N = 67: IREE's own code, which is still in the module
  for columns in 72 75; do
    iree-substitute run "$out/model.vmfb" --device=local-task \
      --input="@$out/x$columns.npy" --expected_output="@$out/y$columns.npy"
  done
done
iree-substitute explain model.mlir --dispatch reduction --kernel row_squares --no-builtin --kernels kernels
iree-substitute validate model.mlir --quick --no-builtin --kernels kernels --input="@$out/x72.npy"
