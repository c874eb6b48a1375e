"""Slots of PTX: marked places of a kernel's text for the work that a dispatch fuses with it."""

from .fill import fill, refusal
from .marks import NAME_OF_MARKS, marks_of

__all__ = ["NAME_OF_MARKS", "fill", "marks_of", "refusal"]
