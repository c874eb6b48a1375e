#!/usr/bin/env bash
# Shaders mixed with IREE's own code: found by structure, then dispatched by the program. A software device is enough.
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
if ! python -c 'from substitute.device.drivers import available_devices; exit(available_devices()["vulkan"] or 0)'; then
  echo "skipped: there is no Vulkan device"
  exit
fi
kernels=(--no-builtin --kernels kernels --iree-hal-target-device=vulkan)
check() {  # out = (2·4 + 4) · (2·4), for two lengths
  for size in 8 1000; do
    iree-substitute run "$1" --device=vulkan --input="${size}xf32=2" --input="${size}xf32=4" \
      --expected_output="${size}xf32=96"
  done
}
iree-substitute compile model.mlir -o "$out/model.vmfb" --require mul "${kernels[@]}"
check "$out/model.vmfb"
iree-substitute validate model.mlir --quick --device=vulkan --no-builtin --kernels kernels

echo
echo "the program's own dispatches: listed, left as they are"
for shader in mul mul_inplace; do
  glslangValidator --quiet -V --target-env vulkan1.1 "$shader.comp" -o "$out/$shader.spv"
done
cp program.mlir "$out"
case "$(iree-compile --version)" in *"version 3.11"* | *"version 3.12"*)
  sed -i 's/ <objects = #objects> {/ attributes {objects = #objects} {/' "$out/program.mlir" ;;
esac
flags=(--no-builtin --iree-hal-executable-object-search-path="$out")
iree-substitute inspect "$out/program.mlir" "${flags[@]}" | tee "$out/listed.txt"
grep -q "^main " "$out/listed.txt"
iree-substitute compile "$out/program.mlir" -o "$out/program.vmfb" "${flags[@]}"
check "$out/program.vmfb"
