"""Inputs of magika's network: the first and last kilobyte of a file as tokens; and its model, with a fixed batch."""

from __future__ import annotations

import importlib.util
import json
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """The model inside the installed package `magika`."""

    onnx: Path
    labels: tuple[str, ...]
    """The name of each output."""
    beginning: int
    """Tokens from a file's beginning."""
    end: int
    """Tokens from its end."""
    block: int
    """Bytes read at either end, before white space is removed."""
    padding: int
    """Token for missing bytes."""
    smallest_file: int
    """Shorter files never reach the network."""


def load_detector() -> Detector:
    """Find the model and read its parameters. Raises `FileNotFoundError`."""
    spec = importlib.util.find_spec("magika")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package magika is not installed: pip install 'iree-substitute[demo]'")
    folder = max(Path(spec.origin).parent.glob("models/*/model.onnx")).parent
    config: dict[str, Any] = json.loads((folder / "config.min.json").read_text())
    if config["mid_size"] or config["use_inputs_at_offsets"]:
        raise FileNotFoundError(f"{folder}: this model wants other features than beginning and end")
    return Detector(
        onnx=folder / "model.onnx",
        labels=tuple(config["target_labels_space"]),
        beginning=config["beg_size"],
        end=config["end_size"],
        block=config["block_size"],
        padding=config["padding_token"],
        smallest_file=config["min_file_size_for_dl"],
    )


def fix_batch(source: Path, target: Path, batch: int) -> Path:
    """Write the ONNX model with a fixed number of rows, `batch`."""
    import onnx

    model = onnx.load(source)
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = batch
    del model.graph.value_info[:]  # these still have an open batch
    onnx.save(onnx.shape_inference.infer_shapes(model), target)
    return target


def tokens(path: Path, detector: Detector) -> NDArray[np.int32]:
    """Return the file's bytes without outer white space, padded towards the middle: [beginning + end] int32."""
    with path.open("rb") as file:
        beginning = file.read(detector.block).lstrip()[: detector.beginning]
        file.seek(max(0, path.stat().st_size - detector.block))
        end = file.read(detector.block).rstrip()[-detector.end :]
    row = np.full(detector.beginning + detector.end, detector.padding, np.int32)
    row[: len(beginning)] = np.frombuffer(beginning, np.uint8)
    row[len(row) - len(end) :] = np.frombuffer(end, np.uint8)
    return row


def batches(files: Sequence[Path], detector: Detector, size: int) -> list[NDArray[np.int32]]:
    """Yield [size, tokens] int32 for each `size` files, the last one filled up with copies of its last row."""
    rows = [tokens(path, detector) for path in files]
    rows += rows[-1:] * (-len(rows) % size)
    return [np.stack(rows[at : at + size]) for at in range(0, len(rows), size)]


def files_at_hand(detector: Detector) -> list[Path]:
    """Return files of many types from this machine: the project's own, the interpreter's, the packages'."""
    return [path for path in _candidates(detector) if path.is_file() and path.stat().st_size >= 256]


def _candidates(detector: Detector) -> Iterator[Path]:
    standard, packages = Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib"))
    yield from (PROJECT / name for name in ("README.md", "pyproject.toml", "Makefile", "samples/magika/demo.py"))
    yield Path(sys.executable).parent / "activate"
    yield Path(sys.executable).resolve()
    yield detector.onnx
    yield detector.onnx.with_name("config.min.json")
    patterns = (
        (packages, "numpy/_core/include/numpy/*.h"),
        (packages, "numpy/_core/tests/data/*.csv"),
        (packages, "numpy/lib/tests/data/*.npy"),
        (packages, "numpy/__pycache__/*.pyc"),
        (standard, "ensurepip/_bundled/*.whl"),
    )
    for folder, pattern in patterns:
        yield from sorted(folder.glob(pattern))[:1]
