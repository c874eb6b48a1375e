"""Reference results of dispatches in float64 and exact integers, independent of IREE's code generator."""

from .evaluate import Budget, describe, evaluate, evaluate_function
from .memory import Golden, Outcome, Store, Subspan
from .unsupported import Unsupported

__all__ = [
    "Budget",
    "Golden",
    "Outcome",
    "Store",
    "Subspan",
    "Unsupported",
    "describe",
    "evaluate",
    "evaluate_function",
]
