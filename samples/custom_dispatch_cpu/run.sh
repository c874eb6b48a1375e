#!/usr/bin/env bash
# Two functions of one object file, mixed with IREE's own code: found by structure, then called by the program.
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
cp -r kernels "$out"
python assemble.py "$out" "$out"/kernels/*
kernels=(--no-builtin --kernels "$out/kernels")
check() {  # out = (2·4 + 4) · (2·4), for two lengths
  for size in 8 1000; do
    iree-substitute run "$1" --device=local-task --input="${size}xf32=2" --input="${size}xf32=4" \
      --expected_output="${size}xf32=96"
  done
}
iree-substitute compile model.mlir -o "$out/model.vmfb" "${kernels[@]}" --require mul --require mul_inplace
check "$out/model.vmfb"
iree-substitute validate model.mlir --quick "${kernels[@]}"

echo
if [ "$(uname -m)" != x86_64 ]; then
  echo "left out: program.mlir names x86-64 as its target"
  exit
fi
echo "the program's own executable: listed, left as it is, and linked with what the program names"
flags=(--iree-hal-executable-object-search-path="$out")
iree-substitute inspect program.mlir "${flags[@]}" | tee "$out/listed.txt"
grep -q "^product_inplace " "$out/listed.txt"
iree-substitute compile program.mlir -o "$out/program.vmfb" --require elementwise "${flags[@]}"
check "$out/program.vmfb"
