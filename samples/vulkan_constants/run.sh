#!/usr/bin/env bash
# Constants that the device fills in when the module is loaded, on a Vulkan device; and what the CPU says to them.
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
cp -r kernels "$out"
kernel="$out/kernels/tiled_sum"
glslangValidator --quiet -V --target-env vulkan1.1 "$kernel/kernel.comp" -o "$kernel/kernel.spv"
iree-substitute compile model.mlir -o "$out/model.vmfb" --no-builtin --kernels "$out/kernels" --require tiled_sum \
  --iree-hal-target-device=vulkan
iree-substitute run "$out/model.vmfb" --device=vulkan --input=24x200xf32=0.5 --expected_output=24xf32=100
iree-substitute validate model.mlir --quick --device=vulkan --no-builtin --kernels "$out/kernels"
echo "on the CPU there are no such constants, and the manifest is refused:"
sed -i 's/vulkan-spirv/llvm-cpu/' "$kernel/kernel.toml"
iree-substitute kernels --no-builtin --kernels "$out/kernels" 2>&1 && exit 1 || true
