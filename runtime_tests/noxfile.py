"""All tests on every version of IREE that the project works with: `make versions`, or nox with this file.

`nox -f runtime_tests/noxfile.py -s "tests(iree='3.12')" -- runtime_tests/pipeline` runs some of them on one version.
"""

from __future__ import annotations

from pathlib import Path

import nox

ROOT = Path(__file__).parent.parent
VERSIONS = ("3.11", "3.12", "3.13")

nox.options.envdir = str(ROOT / ".venv" / "versions")
nox.options.reuse_venv = "yes"


@nox.session
@nox.parametrize("iree", VERSIONS)
def tests(session: nox.Session, iree: str) -> None:
    """The suite on the newest patch release of one version."""
    session.chdir(ROOT)
    session.install(
        "--quiet", f"iree-base-compiler[onnx]=={iree}.*", f"iree-base-runtime=={iree}.*", "--editable", ".[test]"
    )
    session.run("python", "-m", "pytest", "--numprocesses=auto", "--dist=loadfile", *session.posargs)
