"""A made-up case: y = x + x over four numbers, x and y in one buffer with a gap between them."""

from __future__ import annotations

from typing import Any

import numpy as np

from substitute.validate.case import Area, BindingRange, Case, Expected, Filled, Launch

X = np.float32([1, 2, 3, 4])
X_AREA = Area(binding=0, offset=0, shape=(4,), element="f32", access="readonly")
Y_AREA = Area(binding=1, offset=32, shape=(2, 2), element="f32", access="writeonly")


def case(**changes: Any) -> Case:
    """The case, with changes to its fields."""
    fields: dict[str, Any] = {
        "label": "twice",
        "entry": "run_0",
        "launch": Launch(
            bindings=(
                BindingRange(resource=0, offset=0, length=16, read_only=True),
                BindingRange(resource=0, offset=0, length=48, read_only=False),
            ),
            constants=(7,),
            workload=(4,),
        ),
        "areas": (X_AREA, Y_AREA),
        "sizes": (64,),
        "filled": (Filled(resource=0, start=0, data=X.view(np.uint8)),),
        "written": ((0, 32, 48),),
        "expected": (
            Expected(
                area=Y_AREA,
                offsets=(0, 0),
                sizes=(2, 2),
                strides=(1, 1),
                coordinates=None,
                values=2.0 * X.astype(np.float64).reshape(2, 2),
                allowed=np.zeros((2, 2)),
                depth=1,
            ),
        ),
        "inputs": "normal",
        "seed": 3,
    }
    return Case(**{**fields, **changes})
