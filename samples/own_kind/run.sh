#!/usr/bin/env bash
# A kind of payload from another package: `pip install ./package` would put it beside iree-substitute for good; here it
# lies in a folder on PYTHONPATH with the metadata that pip leaves, so that nothing is installed.
set -euo pipefail
cd "$(dirname "$0")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT
cp package/llvm_template_kind.py "$out"
mkdir "$out/llvm_template_kind-1.0.dist-info"
python - "$out/llvm_template_kind-1.0.dist-info" <<'PYTHON'
import pathlib, sys, tomllib

folder = pathlib.Path(sys.argv[1])
project = tomllib.loads(pathlib.Path("package/pyproject.toml").read_text())["project"]
(folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in e.items()) for group, e in project["entry-points"].items()]
(folder / "entry_points.txt").write_text("".join(lines))
PYTHON
export PYTHONPATH="$out${PYTHONPATH:+:$PYTHONPATH}"
iree-substitute kernels --no-builtin --kernels kernels
iree-substitute compile model.mlir -o "$out/model.vmfb" --no-builtin --kernels kernels --require scaled_sum
iree-substitute run "$out/model.vmfb" --device=local-task --input=24x48xf32=2 --expected_output=24xf32=96
iree-substitute validate scaled_sum --kernels kernels --quick
