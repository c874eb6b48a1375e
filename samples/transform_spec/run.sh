#!/usr/bin/env bash
# What IREE's transform-dialect specs do, with a definition and a constraint; then a spec of IREE's kind, beside our kernels.
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
if ! python -c 'from substitute.device.drivers import available_devices; exit(available_devices()["vulkan"] or 0)'; then
  echo "skipped: there is no Vulkan device"
  exit
fi
python inputs.py "$out"
kernels=(--no-builtin --kernels kernels --iree-hal-target-device=vulkan)
check() {
  iree-substitute run "$1" --device=vulkan --input="@$out/x.npy" --input="@$out/w.npy" --expected_output="@$out/at.npy"
}
iree-substitute compile model.mlir -o "$out/model.vmfb" --require argmax "${kernels[@]}"
check "$out/model.vmfb"
iree-substitute validate model.mlir --quick --device=vulkan --no-builtin --kernels kernels

echo
echo "of rows of 250 the kernel says what does not fit:"
sed 's/256/250/g' model.mlir > "$out/other.mlir"
iree-substitute explain "$out/other.mlir" --dispatch reduction_4x250 --kernel argmax "${kernels[@]}" || true

echo
echo "a spec of IREE's, passed through: its dispatch is listed, and a kernel of ours takes the other one"
glslangValidator --quiet -V --target-env vulkan1.1 spec/argmax.comp -o "$out/argmax.spv"
flags=(--iree-hal-target-device=vulkan --iree-preprocessing-transform-spec-filename=spec/argmax.mlir
  --iree-hal-executable-object-search-path="$out")
iree-substitute inspect model.mlir "${flags[@]}" | tee "$out/listed.txt"
grep -q "^main .*external" "$out/listed.txt"
iree-substitute compile model.mlir -o "$out/spec.vmfb" --require vulkan_matmul "${flags[@]}"
check "$out/spec.vmfb"
