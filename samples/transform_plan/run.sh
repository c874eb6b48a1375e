#!/usr/bin/env bash
# Save what was substituted by what, change it, replay it: how one finds the dispatch that makes a model wrong or slow.
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
echo "the plan that the toolkit makes:"
iree-substitute compile model.mlir -o "$out/both.vmfb" --plan-out "$out/plan.json"
python edit.py "$out/plan.json" matmul_32x96x64
echo
echo "without the first product, which IREE compiles itself again:"
iree-substitute compile model.mlir -o "$out/one.vmfb" --plan "$out/plan.json"
for module in both one; do
  iree-substitute run "$out/$module.vmfb" --input=32x64xf32=1 --input=64x96xf32=0.5 --input=96x16xf32=0.25 \
    --expected_output=32x16xf32=768
done
iree-substitute validate model.mlir --quick --plan "$out/plan.json"
# a plan says what it expects of the model: for another one it is refused, not applied in part
sed 's/32x/48x/g' model.mlir > "$out/other.mlir"
echo
if iree-substitute compile "$out/other.mlir" -o "$out/other.vmfb" --plan "$out/plan.json"; then exit 1; fi
