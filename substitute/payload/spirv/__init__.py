"""SPIR-V binaries: reading, verification against a dispatch, adaptation to it."""

from .adapt import adapt
from .module import SpirvModule, read_module, write_module
from .verification import Limits, SpirvFacts, capabilities_of, limits_of, verify

__all__ = [
    "Limits",
    "SpirvFacts",
    "SpirvModule",
    "adapt",
    "capabilities_of",
    "limits_of",
    "read_module",
    "verify",
    "write_module",
]
