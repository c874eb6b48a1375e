"""SPIR-V binaries: reading, verifying against a dispatch, adapting to it."""

from .adapt import adapt
from .module import SpirvModule, read_module, write_module
from .verification import SpirvFacts, capabilities_of, verify

__all__ = ["SpirvFacts", "SpirvModule", "adapt", "capabilities_of", "read_module", "verify", "write_module"]
