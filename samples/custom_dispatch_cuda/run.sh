#!/usr/bin/env bash
# PTX mixed with IREE's own code: found by structure, then called by the program. On the simulated CUDA device: this needs no
# GPU, and says nothing about its speed.
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
kernels=(--no-builtin --kernels kernels --iree-hal-target-device=cuda --iree-cuda-target=sm_80)
check() {  # out = (2·4 + 4) · (2·4), for two lengths
  for size in 8 1000; do
    iree-substitute run "$1" --device=cuda-sim --input="${size}xf32=2" --input="${size}xf32=4" \
      --expected_output="${size}xf32=96"
  done
}
iree-substitute compile model.mlir -o "$out/model.vmfb" --require mul "${kernels[@]}"
check "$out/model.vmfb"
iree-substitute validate model.mlir --quick --device=cuda-sim "${kernels[@]}"

echo
echo "the program's own executable: listed, left as it is"
cp program.mlir "$out"
case "$(iree-compile --version)" in *"version 3.11"* | *"version 3.12"*)
  sed -i -E -e 's/ <objects = #objects> \{/ attributes {objects = #objects} {/' \
    -e 's/\} <workgroup_size = (.*)>$/} attributes {workgroup_size = \1}/' "$out/program.mlir" ;;
esac
flags=(--no-builtin --iree-hal-executable-object-search-path=kernels/mul)
iree-substitute inspect "$out/program.mlir" "${flags[@]}" | tee "$out/listed.txt"
grep -q "^mul_inplace " "$out/listed.txt"
iree-substitute compile "$out/program.mlir" -o "$out/program.vmfb" "${flags[@]}"
check "$out/program.vmfb"
