"""The generated texts, and `index.json`: entry, target, ISA version and sha256 of each."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from . import attention, elementwise, matmul_f32, matmul_mma, matmul_wgmma, matvec, norms, reductions, rows

FOLDER = Path(__file__).parent.parent
INDEX = FOLDER / "index.json"


def texts() -> dict[str, str]:
    """Return the generated texts, by path inside of the folder."""
    return {
        "softmax/kernel.ptx": rows.softmax(zero_for_nan=False),
        "softmax_or_zero/kernel.ptx": rows.softmax(zero_for_nan=True),
        "attention_f32/kernel.ptx": attention.attention(),
        "elementwise/kernel.ptx": elementwise.elementwise(),
        "row_sum/kernel.ptx": reductions.reduction("sum"),
        "row_max/kernel.ptx": reductions.reduction("max"),
        "matvec_f32/kernel.ptx": matvec.matvec(),
        "matmul_f32/kernel.ptx": matmul_f32.matmul(),
        "matmul_f16_f32/kernel.ptx": matmul_mma.matmul("f16", narrow=False),
        "matmul_f16/kernel.ptx": matmul_mma.matmul("f16", narrow=True),
        "matmul_bf16_f32/kernel.ptx": matmul_mma.matmul("bf16", narrow=False),
        "matmul_bf16/kernel.ptx": matmul_mma.matmul("bf16", narrow=True),
        "matmul_f16_f32_sm90a/kernel.ptx": matmul_wgmma.matmul("f16", narrow=False),
        "matmul_f16_sm90a/kernel.ptx": matmul_wgmma.matmul("f16", narrow=True),
        "matmul_bf16_f32_sm90a/kernel.ptx": matmul_wgmma.matmul("bf16", narrow=False),
        "matmul_bf16_sm90a/kernel.ptx": matmul_wgmma.matmul("bf16", narrow=True),
        "rms_norm/kernel.ptx": norms.rms_norm(),
        "rms_norm/definition.mlir": norms.rms_norm_definition(),
        "layer_norm/kernel.ptx": norms.layer_norm(),
        "layer_norm/definition.mlir": norms.layer_norm_definition(),
    }


def index() -> str:
    """Return `index.json` for the files in the folders."""
    from substitute.payload.ptx.parse import parse

    found = {}
    for path in sorted(FOLDER.glob("*/kernel.ptx")):
        text = path.read_text()
        module = parse(text, name=str(path))
        (entry,) = module.entries
        found[path.parent.name] = {
            "entry": entry.name,
            "target": module.target,
            "isa": "{}.{}".format(*module.version),
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        }
    return json.dumps(found, indent=2) + "\n"
