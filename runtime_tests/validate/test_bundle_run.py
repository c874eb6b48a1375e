"""Bundles: made here, judged where there is no compiler; and the reports of `validate`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from substitute.catalog.catalog import load_catalog
from substitute.cli.main import main
from substitute.cli.scaffold import scaffold
from substitute.errors import UsageError
from substitute.model.kernel import Kernel
from substitute.validate.batch import bundle_kernels, validate_kernels
from substitute.validate.bundle_file import load_bundle
from substitute.validate.run_bundle import run_bundle

pytestmark = [pytest.mark.compile, pytest.mark.device]

BARE = """
import runpy, sys
for name in ("iree.compiler", "click", "rich", "pydantic", "llvmlite", "jinja2", "joblib"):
    sys.modules[name] = None  # an import of it fails
sys.path[:] = [p for p in sys.path if not p.endswith("main") and p != ""]
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""A Python that has NumPy and iree-base-runtime, and nothing else of what we depend on."""


def kernel(folder: Path, name: str, *planted: str) -> Kernel:
    """A matrix multiplication that is right, or has a fault."""
    folder = folder / name
    folder.mkdir(parents=True)
    for file, text in scaffold("llvm-ir", name, name).items():
        (folder / file).write_text(text.replace(*planted) if planted else text)
    return load_catalog([folder], builtin=False).kernel(name)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`good.bundle` and `bad.bundle`."""
    folder = tmp_path_factory.mktemp("bundles")
    made = [kernel(folder, "good"), kernel(folder, "bad", "fadd contract", "fsub contract")]
    places = bundle_kernels(made, folder / "out", device="local-sync", quick=True, seed=3)
    assert [p.name for p in places] == ["good.bundle", "bad.bundle"]
    return folder / "out"


def python(bundle: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-c", BARE, str(bundle), *options],
        cwd=bundle.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_bundle_holds_what_made_it(bundles: Path) -> None:
    bundle = load_bundle(bundles / "good.bundle")
    assert (bundle.title, bundle.seed, bundle.device) == ("good", 3, "local-sync")
    assert bundle.versions["iree-base-compiler"]


def test_a_bundle_runs_itself_without_the_compiler(bundles: Path, tmp_path: Path) -> None:
    done = python(bundles / "good.bundle", "--device=local-task", f"--json={tmp_path / 'v.json'}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("passed on local-task\n")
    data = json.loads((tmp_path / "v.json").read_text())
    assert data["passed"] and data["title"] == "good" and data["device"] == "local-task"


def test_twin_a_wrong_kernel_is_found_there_as_well(bundles: Path) -> None:
    done = python(bundles / "bad.bundle")
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.endswith("FAILED on local-sync\n")
    assert "golden" in done.stdout and "Traceback" not in done.stderr


def test_a_device_that_is_not_there(bundles: Path) -> None:
    done = python(bundles / "good.bundle", "--device=no-such-device")
    assert done.returncode == 2 or done.returncode == 1
    assert "no-such-device" in done.stderr and "Traceback" not in done.stderr


def test_run_bundle(bundles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    assert main(["run-bundle", str(bundles / "good.bundle"), f"--html={page}"]) == 0
    assert "passed on local-sync" in capsys.readouterr().out
    assert "<svg" in page.read_text()
    assert main(["run-bundle", str(bundles / "bad.bundle")]) == 1


@pytest.mark.parametrize("content", [b"", b"rubbish", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_bundle(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.bundle"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="the bundle cannot be read"):
        run_bundle(path)


def test_a_cut_off_bundle(bundles: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.bundle"
    path.write_bytes((bundles / "good.bundle").read_bytes()[:-500])
    with pytest.raises(UsageError, match="the bundle cannot be read"):
        run_bundle(path)


@pytest.mark.slow
def test_validate_writes_bundles_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = kernel(tmp_path, "bad", "fadd contract", "fsub contract").folder
    place = tmp_path / "bad.bundle"
    common = ["validate", str(folder), "--device=local-sync", "--quick"]
    assert main([*common, f"--bundle={place}"]) == 0
    assert f"python {place} --device NAME" in capsys.readouterr().out
    files = {name: tmp_path / f"v.{name}" for name in ("html", "junit", "json")}
    options = [f"--html={files['html']}", f"--junit={files['junit']}", f"--json-file={files['json']}"]
    assert main([*common, *options]) == 1
    assert "<title>bad: failed</title>" in files["html"].read_text()
    root = ElementTree.parse(files["junit"]).getroot()
    assert int(root.get("failures", "0")) > 0
    data = json.loads(files["json"].read_text())
    assert not data["passed"] and data["dispatches"][0]["cases"]


def test_a_report_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = kernel(tmp_path, "good").folder
    options = ["--device=local-sync", "--quick", f"--junit={tmp_path / 'no' / 'such' / 'folder.xml'}"]
    assert main(["validate", str(folder), *options]) != 0
    assert "could not be written" in capsys.readouterr().err


@pytest.mark.slow
def test_kernels_in_parallel(tmp_path: Path) -> None:
    made = [kernel(tmp_path, "good"), kernel(tmp_path, "bad", "fadd contract", "fsub contract")]
    steps: list[str] = []
    verdicts = validate_kernels(
        made, device="local-sync", quick=True, jobs=2, progress=lambda what, _share: steps.append(what)
    )
    assert [(v.kernel, v.passed) for v in verdicts] == [("good", True), ("bad", False)]
    assert len(steps) == 2 and steps[1].startswith("2 of 2: ")


def test_an_error_in_one_of_several_kernels_is_its_own(tmp_path: Path) -> None:
    made = [kernel(tmp_path, "good"), kernel(tmp_path, "broken", "define void", "define nonsense")]
    good, broken = validate_kernels(made, device="local-sync", quick=True, jobs=2)
    assert good.passed and not broken.passed
    assert "expected" in broken.error and not broken.message
