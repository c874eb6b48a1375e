"""Slots of PTX: marked places of a kernel's text where the toolkit puts what a dispatch computes besides."""

from .fill import fill, refusal
from .marks import NAME_OF_MARKS, marks_of

__all__ = ["NAME_OF_MARKS", "fill", "marks_of", "refusal"]
