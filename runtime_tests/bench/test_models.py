"""The models that the benchmark brings along, and those that it reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from substitute.bench import selection
from substitute.bench.graph import Graph
from substitute.bench.model_set import read_model_set
from substitute.bench.models import make_bert, make_gpt2, make_llama, make_mobilenet
from substitute.bench.selection import select_models
from substitute.bench.subject import Subject, run_onnxruntime
from substitute.errors import ModelError, UsageError
from substitute.progress import silent

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (make_bert, (4, 64, 256)),
        (make_gpt2, (1, 64, 1024)),
        (make_llama, (1, 64, 1024)),
        (make_mobilenet, (1, 1000)),
    ],
)
def test_models_are_alive(make: Callable[[Path], Subject], shape: tuple[int, ...], tmp_path: Path) -> None:
    subject = make(tmp_path)
    (expected,) = subject.expected
    assert expected.shape == shape
    # neither dead nor exploding, and each position its own
    assert 0.1 < float(expected.std()) < 10
    assert float(np.abs(expected[..., 0] - expected[..., 1]).max()) > 0
    again = make(tmp_path)
    np.testing.assert_array_equal(again.inputs[0], subject.inputs[0])
    np.testing.assert_array_equal(again.expected[0], expected)


def test_causal_models_do_not_see_what_comes(tmp_path: Path) -> None:
    for make in (make_gpt2, make_llama):
        subject = make(tmp_path)
        ids = subject.inputs[0].copy()
        ids[0, -1] = (ids[0, -1] + 1) % 1024
        (changed,) = run_onnxruntime(subject.path, (ids, *subject.inputs[1:]))
        np.testing.assert_allclose(changed[0, :-1], subject.expected[0][0, :-1], atol=1e-4)
        assert np.abs(changed[0, -1] - subject.expected[0][0, -1]).max() > 1e-2


def test_given_weights_are_used_and_checked(tmp_path: Path) -> None:
    weight = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float32)  # [outputs, inputs], as torch has it
    bias = np.array([1.0, 0.0, 0.0], np.float32)
    graph = Graph(weights={"d.weight": weight, "d.bias": bias, "other": bias})
    x = graph.input("x", np.array([[1.0, 10.0]], np.float32))
    graph.output(graph.dense(x, 2, 3, name="d"), (1, 3))
    inputs = graph.finish("g", tmp_path / "g.onnx")
    (found,) = run_onnxruntime(tmp_path / "g.onnx", inputs)
    np.testing.assert_array_equal(found, [[22.0, 43.0, 65.0]])
    with pytest.raises(ValueError, match=r"other is \(3,\), expected \(4,\)"):
        graph.weight("other", 4, reduced=1)
    with pytest.raises(KeyError):
        graph.weight("missing", 3, reduced=1)


def write_set(folder: Path, **entries: Any) -> Path:
    folder.mkdir()
    for name in entries:
        (folder / name).mkdir()
        np.save(folder / name / "input0.npy", np.ones(2, np.float32))
        np.save(folder / name / "expected0.npy", np.zeros(3, np.float32))
    (folder / "index.json").write_text(json.dumps(entries))
    return folder


ENTRY = {"inputs": [{"file": "input0.npy"}], "expected": [{"file": "expected0.npy"}], "expected_from": "torch"}


def test_model_sets(tmp_path: Path) -> None:
    folder = write_set(
        tmp_path / "set",
        a={"files": ["model.mlir", "dyn.onnx", "notes.txt"], **ENTRY},
        b={"files": [], "make": "make_b.py writes it", **ENTRY},
        c={"files": [], **ENTRY},
    )
    (folder / "a" / "model.mlir").write_text("module {}")
    subjects, left_out = read_model_set(folder, {"set/c": folder / "a" / "model.mlir"})
    assert [s.name for s in subjects] == ["set/a", "set/c"]
    assert subjects[0].expected_from == "torch"
    assert subjects[0].inputs[0].shape == (2,)
    assert [(e.name, e.reason) for e in left_out] == [
        ("set/a:dyn", f"{folder / 'a' / 'dyn.onnx'} is not there"),
        ("set/b", "it has no model file (make_b.py writes it); --model set/b=FILE gives one"),
    ]


def test_model_sets_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a set of models"):
        read_model_set(tmp_path, {})
    folder = write_set(tmp_path / "set", a={"files": ["model.mlir"], **ENTRY, "inputs": [{}]})
    with pytest.raises(UsageError, match="an entry of the model set cannot be read"):
        read_model_set(folder, {})


@pytest.fixture
def two_models(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(folder: Path) -> Subject:
        raise ModelError("it is gone", next_step="look for it")

    monkeypatch.setattr(selection, "BUILDERS", (("bert", make_bert), ("gone", missing)))


@pytest.mark.usefixtures("two_models")
def test_selection(tmp_path: Path) -> None:
    everything = select_models([], [], {}, tmp_path, silent)
    assert [s.name for s in everything.subjects] == ["bert"]
    assert [(e.name, e.reason) for e in everything.left_out] == [("gone", "it is gone; look for it")]
    extra = select_models(["be*", "mine"], [], {"mine": tmp_path / "bert.onnx"}, tmp_path, silent)
    assert [s.name for s in extra.subjects] == ["bert", "mine"]
    assert extra.subjects[1].inputs[0].shape == (4, 64)
    assert select_models(["g*"], [], {}, tmp_path, silent).subjects == ()


@pytest.mark.usefixtures("two_models")
def test_selection_of_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        select_models(["bort"], [], {}, tmp_path, silent)
    assert (error.value.found, error.value.expected) == ("bort", "one of bert, gone")
    for path in (tmp_path / "none.onnx", tmp_path / "model.mlir"):
        with pytest.raises(UsageError, match="this model cannot be measured"):
            select_models(["mine"], [], {"mine": path}, tmp_path, silent)
