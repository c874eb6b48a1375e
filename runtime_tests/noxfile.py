"""All tests on every version of IREE that the project works with: `make versions`, or nox with this file.

`-s nightly` runs them on the newest pre-release; `-s workarounds` tells which workarounds a version still needs.

`nox -f runtime_tests/noxfile.py -s "tests(iree='3.12')" -- runtime_tests/pipeline` runs some of them on one version.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nox

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from substitute.iree_versions import DISABLED, SUPPORTED, WORKAROUNDS  # noqa: E402

NIGHTLY_LINKS = "https://iree.dev/pip-release-links.html"
"""Page of IREE's pre-releases."""

nox.options.envdir = str(ROOT / ".venv" / "versions")
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests"]


@nox.session
@nox.parametrize("iree", SUPPORTED)
def tests(session: nox.Session, iree: str) -> None:
    """The suite on the newest patch release of one version."""
    session.chdir(ROOT)
    session.install(
        "--quiet", f"iree-base-compiler[onnx]=={iree}.*", f"iree-base-runtime=={iree}.*", "--editable", ".[test]"
    )
    session.run("python", "-m", "pytest", "--numprocesses=auto", "--dist=loadfile", *session.posargs)


@nox.session
def nightly(session: nox.Session) -> None:
    """The suite on IREE's newest pre-release: what breaks there breaks in the next version."""
    session.chdir(ROOT)
    session.install("--quiet", "--editable", ".[test]")
    session.install(
        "--quiet", "--pre", "--upgrade", "--find-links", NIGHTLY_LINKS, "iree-base-compiler[onnx]", "iree-base-runtime"
    )
    session.run("python", "-m", "pytest", "--numprocesses=auto", "--dist=loadfile", *session.posargs)


@nox.session
@nox.parametrize("iree", SUPPORTED)
def workarounds(session: nox.Session, iree: str) -> None:
    """Run the test of each workaround that a version has, without it: a test that passes says that it can go."""
    session.chdir(ROOT)
    session.install(
        "--quiet", f"iree-base-compiler[onnx]=={iree}.*", f"iree-base-runtime=={iree}.*", "--editable", ".[test]"
    )
    for workaround in WORKAROUNDS:
        if iree not in workaround.versions:
            continue
        command = ("python", "-m", "pytest", "-q", "--no-header", f"runtime_tests/{workaround.test}")
        passed = session.run(*command, env={DISABLED: workaround.name}, success_codes=range(128), silent=True)
        session.log(f"{workaround.name} on {iree}: {str(passed).splitlines()[-1]}")
