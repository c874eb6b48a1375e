"""PTX: reading its header level, verifying it against a dispatch, renaming its entry."""

from .reader import Entry, Parameter, PtxModule, read_ptx, tokenize
from .verification import PtxFacts, compatible, rename, verify

__all__ = [
    "Entry",
    "Parameter",
    "PtxFacts",
    "PtxModule",
    "compatible",
    "read_ptx",
    "rename",
    "tokenize",
    "verify",
]
