#!/usr/bin/env bash
# A micro-kernel: IREE tiles and distributes, and calls a function of a linked object for each tile.
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
cp -r kernels "$out"
python assemble.py "$out/kernels/tiles"
kernels=(--no-builtin --kernels "$out/kernels")
iree-substitute compile model.mlir -o "$out/model.vmfb" --require tiles "${kernels[@]}"
# sizes that the tiles divide, and sizes that they do not: 40 · 0.5 · 2
for m in 16 31; do
  iree-substitute run "$out/model.vmfb" --device=local-task --input="${m}x40xf32=0.5" --input=40x50xf32=2 \
    --expected_output="${m}x50xf32=40"
done
iree-substitute validate model.mlir --quick "${kernels[@]}"
