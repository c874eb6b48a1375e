"""The demonstration on the CPU: it passes as it is, and fails when results, types or kernels are wrong."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from runtime_tests.models import Model, magika_tokens
from runtime_tests.profiler import needs_profiler

pytestmark = pytest.mark.device

SAMPLE = Path(__file__).resolve().parents[2] / "samples" / "magika"


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Return the script as a module, restricted to the CPU and few rounds."""
    monkeypatch.syspath_prepend(str(SAMPLE))
    module = importlib.import_module("demo")
    cpu = module.find_targets()[0][:1]
    monkeypatch.setattr(module, "find_targets", lambda: (cpu, ["Vulkan (not asked for)"]))
    monkeypatch.setattr(module, "ROUNDS", 1)
    yield module


@needs_profiler
def test_demonstration_passes(demo: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(path) for path in (SAMPLE / "demo.py", SAMPLE.parents[1] / "pyproject.toml")]
    assert demo.main(files) == 0
    text = capsys.readouterr().out
    for row in ("demo.py", "pyproject.toml", "dispatch_5_conv", "onnxruntime", "left out: Vulkan (not asked for)"):
        assert row in text
    assert text.rstrip().endswith("every build agrees")


@pytest.mark.slow
@needs_profiler
def test_demonstration_fails_without_kernels(
    demo: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compile_model = demo.compile_model
    monkeypatch.setattr(demo, "compile_model", lambda *args, **more: compile_model(*args, **more, builtin=False))
    assert demo.main([str(SAMPLE / "demo.py")]) == 1
    assert "wrong: CPU: no kernel was put in" in capsys.readouterr().out


def test_files_that_are_not_there(demo: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["no such file [x]"]) == 2
    assert capsys.readouterr().out == "no file of at least 8 bytes: no such file [x]\n"


def test_wrong_results_and_types_are_problems(demo: ModuleType) -> None:
    reference = np.full((2, 3), 0.1, np.float32)
    reference[:, 1] = 0.8
    target = demo.find_targets()[0][0]
    plan = type("Plan", (), {"substitutions": (1,), "dispatches": (1,)})()
    build = type("Result", (), {"plan": plan})()
    good = demo.Outcome(
        target=target, stock=build, substituted=build, stock_scores=reference, stock_batch_s=0.1, scores=reference
    )
    files = [Path("a"), Path("b")]
    same = [{"stock CPU": "toml", "magika": "toml"}] * 2
    assert demo.find_problems(files, [good], same, reference) == []
    for wrong in (reference + np.float32(1e-3), np.full_like(reference, np.nan)):
        bad = dataclasses.replace(good, scores=wrong)
        (problem,) = demo.find_problems(files, [bad], same, reference)
        assert problem.startswith("CPU: ") and "away from onnxruntime" in problem
    other = [same[0], {"stock CPU": "ini", "magika": "toml"}]
    assert demo.find_problems(files, [good], other, reference) == ["b: stock CPU says ini, magika says toml"]


def test_tokens_are_those_that_magika_makes(demo: ModuleType, tmp_path: Path) -> None:
    from magika.magika import Magika
    from magika.types import Seekable

    detector = demo.load_detector()
    contents = (b"x" * 9, b"  \n text with space around \t\n", bytes(range(256)) * 40, b" " * 5000 + b"a" * 3000)
    for at, content in enumerate(contents):
        path = tmp_path / f"file{at}"
        path.write_bytes(content)
        with path.open("rb") as file:
            theirs = Magika._extract_features_from_seekable(Seekable(file), 1024, 0, 1024, 256, 4096, False)
        np.testing.assert_array_equal(demo.batches([path], detector, 4)[0][3], [*theirs.beg, *theirs.end])


def test_test_model_and_demonstration_use_the_same_file(demo: ModuleType, make_model: Callable[[str], Model]) -> None:
    assert demo.load_detector().onnx == make_model("magika_dynamic").path
    assert magika_tokens(4).max() == demo.load_detector().padding
