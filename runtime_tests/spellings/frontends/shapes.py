"""Sizes of the models, by the letters of their axes: the same in every frontend.

Imports nothing, and is imported by scripts that run without the project.
"""

from __future__ import annotations

ROWS, WIDTH = 64, 256
SHAPES = {
    "RC": (ROWS, WIDTH),
    "VC": (ROWS, WIDTH),
    "C": (WIDTH,),
    "NCP": (2, 16, 49),
    "c": (16,),
    "MK": (64, 64),
    "KN": (64, 48),
    "N": (48,),
    "I": (ROWS,),
}
OPEN = ("RC", "NCP", "MK", "I")
"""Shapes whose first size is open in the setting `dynamic`."""
