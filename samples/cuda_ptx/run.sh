#!/usr/bin/env bash
# A PTX kernel in a module for CUDA. This only compiles: it needs no GPU, and says nothing about one.
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
cuda=(--iree-hal-target-device=cuda --iree-cuda-target=sm_80)
iree-substitute compile model.mlir -o "$out/model.vmfb" --no-builtin --kernels kernels --require saxpy "${cuda[@]}"
# the entry has the name of IREE's export now: that is what the driver will look for
grep --text --only-matching --max-count=1 '\.visible \.entry [A-Za-z0-9_]*' "$out/model.vmfb"

# IREE embeds any text as PTX without a look at it; three mistakes that would only show on the GPU
plant() {  # plant WHAT SED-SCRIPT
  cp -r kernels "$out/wrong"
  sed -i "$2" "$out/wrong/saxpy/kernel.ptx"
  echo
  echo "planted: $1"
  if iree-substitute compile model.mlir -o "$out/wrong.vmfb" --no-builtin --kernels "$out/wrong" "${cuda[@]}"; then
    echo "this should have failed"
    exit 1
  fi
  rm -r "$out/wrong"
}
plant "a parameter less than IREE passes" '/\.param \.u64 y,/d'
plant "a 32-bit pointer" 's/\.param \.u64 y,/.param .u32 y,/'
plant "blocks of another size than the launch" 's/\.reqntid 256/.reqntid 128/'
