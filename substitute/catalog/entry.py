"""Data of a `kernel.toml`, separate from its readers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..model.kernel import Kernel

MANIFEST_NAME = "kernel.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A kernel as its `kernel.toml` alone describes it."""

    file: Path
    kernel: Kernel
    """Without forms."""
    definition: Path | None
    """File of the definition; None for a kernel that is selected by name alone."""
    parameters: tuple[str, ...] = ()
    """Scalar arguments of the definition that the file names."""
