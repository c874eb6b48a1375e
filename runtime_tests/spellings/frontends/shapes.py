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
    "MN": (64, 48),
    "NK": (48, 64),
    "NC": (2, 16),
    "I": (ROWS,),
    "B": (ROWS, WIDTH),
    "Q": (ROWS, WIDTH),
    "W": (64, 48),
}
INTEGERS = {"I": "int64", "B": "bool", "Q": "int8", "W": "int8"}
"""Shapes of tensors that are of one type in every setting."""
OPEN = ("RC", "NCP", "MK", "MN", "NC", "I", "B", "Q")
"""Shapes whose first size is open in the setting `dynamic`."""
