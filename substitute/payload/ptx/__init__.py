"""PTX: parsing, verification against a dispatch, binding to the dispatch's layout."""

from .binding import bind_ptx
from .cuda_c import cuda_to_ptx
from .parse import parse
from .rename import rename
from .syntax import Module
from .targets import compatible
from .verification import PtxFacts, verify

__all__ = ["Module", "PtxFacts", "bind_ptx", "compatible", "cuda_to_ptx", "parse", "rename", "verify"]
