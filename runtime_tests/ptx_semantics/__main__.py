"""`python -m runtime_tests.ptx_semantics`: every form of every instruction, against references in plain integers.

With ptxas at hand the forms are also given to it, so that none of them is PTX that does not exist.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from substitute.payload.programs import find_program

from .floats import float_forms
from .forms import Form, integer_forms
from .running import LANES, batches, differences, kernel
from .video import video_forms


def every_form() -> list[Form]:
    """All of them, in a fixed order."""
    return [*integer_forms(), *float_forms(), *video_forms()]


def refused_by_ptxas(forms: list[Form]) -> list[str]:
    """Return ptxas's errors; empty if there is no ptxas."""
    program = find_program("ptxas")
    if program is None:
        return []
    text = kernel(forms)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "forms.ptx"
        file.write_text(text)
        done = subprocess.run(
            [program, "-arch=sm_90a", "-O0", "-o", str(Path(folder) / "out"), str(file)],
            capture_output=True,
            text=True,
            check=False,
        )
    lines = text.split("\n")
    return [f"{lines[int(m[1]) - 1]}: {m[2]}" for m in re.finditer(r"line (\d+); \w+\s*: (.*)", done.stderr)]


def main(arguments: list[str] | None = None) -> int:
    """Prints what differs; 1 if anything does."""
    parser = argparse.ArgumentParser(prog="python -m runtime_tests.ptx_semantics", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    seed = parser.parse_args(arguments).seed
    forms = every_form()
    refused = refused_by_ptxas(forms)
    wrong = [one for batch in batches(forms) for one in differences(batch, seed)]
    for line in (*refused, *map(str, wrong)):
        print(line)
    print(
        f"{len(forms)} forms, {len(forms) * LANES:,} instances: {len(wrong)} forms differ, ptxas refuses {len(refused)}"
    )
    return int(bool(wrong or refused))


if __name__ == "__main__":
    sys.exit(main())
