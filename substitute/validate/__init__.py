"""Proving that a kernel computes what it replaced."""

from .model import ModelVerdict, ResultVerdict, validate_model

__all__ = ["ModelVerdict", "ResultVerdict", "validate_model"]
