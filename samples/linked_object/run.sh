#!/usr/bin/env bash
# Another body in MLIR, and an object beside it, as .o, .a and .bc.
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
python assemble.py "$out"
for suffix in o a bc; do
  iree-substitute compile model.mlir -o "$out/model.vmfb" --no-builtin --kernels "$out/$suffix" --require hard_swish
  iree-substitute run "$out/model.vmfb" --device=local-task --input=8x100xf32=1.5 --expected_output=8x100xf32=1.125
done
iree-substitute validate model.mlir --quick --no-builtin --kernels "$out/o"
