"""Names of symbols in embedded code."""

from __future__ import annotations

import hashlib
import re

from ..model.kernel import Kernel


def object_symbol(kernel: Kernel, symbol: str) -> str:
    """Return the name of an object file's symbol in the module: two kernels may use the same one."""
    unique = hashlib.sha256(kernel.name.encode()).hexdigest()[:8]
    return f"{sanitize(symbol)}_{sanitize(kernel.name)}_{unique}"


def sanitize(symbol: str) -> str:
    """Return the symbol with underscores for all characters but letters, digits and underscores."""
    return re.sub(r"[^A-Za-z0-9_]", "_", symbol)
