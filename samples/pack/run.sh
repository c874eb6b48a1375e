#!/usr/bin/env bash
# A kernel from its author to a user: validated, attested, packed as a wheel, installed, embedded.
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
target=--iree-llvmcpu-target-cpu=generic

# the author
cp -R package "$out/package"
iree-substitute validate "$out/package/row_kernels/kernels/row_sums" --quick --attest "$out/package/row_kernels/kernels/row_sums" $target
python -m pip wheel --quiet --no-deps --no-index --no-build-isolation --wheel-dir "$out" "$out/package"

# the user
python -m pip install --quiet --no-deps --no-index --target "$out/site" "$out"/row_kernels-1.0-*.whl
export PYTHONPATH="$out/site${PYTHONPATH:+:$PYTHONPATH}"
iree-substitute kernels show row_sums
iree-substitute compile model.mlir -o "$out/model.vmfb" --require row_sums --require-validated --no-check $target
iree-substitute run "$out/model.vmfb" --device=local-task --input=24x48xf32=2 --expected_output=24xf32=96
