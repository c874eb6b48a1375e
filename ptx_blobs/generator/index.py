"""Which texts there are, and `index.json`: entry, target, ISA version and sha256 of each."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from . import matmul_f32, rows

FOLDER = Path(__file__).parent.parent
INDEX = FOLDER / "index.json"


def texts() -> dict[str, str]:
    """The PTX of each kernel's folder."""
    return {
        "softmax": rows.softmax(zero_for_nan=False),
        "softmax_or_zero": rows.softmax(zero_for_nan=True),
        "matmul_f32": matmul_f32.matmul(),
    }


def index() -> str:
    """The index of what lies in the folders, as it should stand in `index.json`."""
    from substitute.payload.ptx.parse import parse

    found = {}
    for path in sorted(FOLDER.glob("*/kernel.ptx")):
        text = path.read_text()
        module = parse(text, name=str(path))
        (entry,) = module.entries
        found[path.parent.name] = {
            "entry": entry.name, "target": module.target, "isa": "{}.{}".format(*module.version),
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        }  # fmt: skip
    return json.dumps(found, indent=2) + "\n"
