"""NumPy's types by name. ml_dtypes is loaded only for the floats that NumPy lacks: its import can take a second."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from .elements import ML_FLOATS

_ADDED = frozenset((*ML_FLOATS.values(), "float4_e2m1fn"))


@cache
def numpy_type(name: str) -> np.dtype[Any]:
    """Return the type of a name such as `int32` or `bfloat16`. Raises `TypeError` for an unknown one."""
    if name not in _ADDED:
        return np.dtype(name)
    import ml_dtypes

    added: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
    return added
