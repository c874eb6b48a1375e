#!/usr/bin/env bash
# A new workgroup count for IREE's own code; and why the count alone is refused.
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
iree-substitute compile model.mlir -o "$out/model.vmfb" --no-builtin --kernels kernels --require wide_tiles
iree-substitute run "$out/model.vmfb" --device=local-task --input=64x48xf32=0.5 --input=48x96xf32=2 \
  --expected_output=64x96xf32=48
iree-substitute validate model.mlir --quick --no-builtin --kernels kernels
echo "a count without tiles would leave most of the result out, and is refused:"
cp -r kernels "$out"
sed -i '/^compilation_info/,$d' "$out/kernels/wide_tiles/kernel.toml"
echo 'workgroup_count = ["1", "1", "1"]' >> "$out/kernels/wide_tiles/kernel.toml"
iree-substitute compile model.mlir -o "$out/model.vmfb" --no-builtin --kernels "$out/kernels" 2>&1 && exit 1 || true
