"""Validation: evidence that a kernel computes what it replaced."""

from .model import ModelVerdict, validate_model
from .results import ResultVerdict

__all__ = ["ModelVerdict", "ResultVerdict", "validate_model"]
