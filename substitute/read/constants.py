"""Elements of dense constants in a body."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..model.dispatch import TensorType
from ..model.elements import ELEMENT, ELEMENTS, ML_FLOATS

if TYPE_CHECKING:
    from iree.compiler import ir

NUMPY_NAMES = {e.name: e.numpy for e in ELEMENTS if e.numpy and e.name not in ML_FLOATS}
"""The types that NumPy itself has."""

PLAIN = frozenset({"f64", "f32", "f16", "i64", "i32", "i16", "i8"})
"""Types that the bindings return in memory order, unless the constant is a splat."""


def splat_value(attribute: ir.Attribute) -> int | float | None:
    """Return the value of a splat constant; None for any other."""
    from iree.compiler import ir

    if not isinstance(attribute, ir.DenseElementsAttr) or not attribute.is_splat:
        return None
    value = attribute.get_splat_value()
    if isinstance(value, ir.FloatAttr):
        return float(value.value)
    if str(value.type) == "i1":
        return int("true" in str(value))
    return int(ir.IntegerAttr(value).value)


def constant_bytes(attribute: ir.Attribute, type_: TensorType) -> bytes:
    """Return row-major, little-endian elements; an `i1` is a byte. Empty if the text was elided."""
    from iree.compiler import ir

    if isinstance(attribute, ir.DenseElementsAttr) and type_.element in NUMPY_NAMES:
        if type_.element in PLAIN:
            held = memoryview(attribute)
            if held.c_contiguous and held.itemsize == type_.element_bytes:
                return held.tobytes()
        import numpy as np  # importing it takes longer than reading a small model's dispatches

        values: Any = np.array(attribute)
        return bytes(np.ascontiguousarray(values.astype(NUMPY_NAMES[type_.element])).tobytes())
    return _printed_bytes(attribute, type_)


def is_elided(attribute: ir.Attribute) -> bool:
    """Return True for a constant whose elements were left out when its module was printed."""
    return "__elided__" in str(attribute)


def _printed_bytes(attribute: ir.Attribute, type_: TensorType) -> bytes:
    """Parse the printed form of a constant that the bindings cannot return (resources, bf16).

    A resource prints as a hexadecimal blob, whose first four bytes are its alignment, at the end of a module.
    """
    from iree.compiler import ir

    with ir.Location.unknown(attribute.context):
        module = ir.Module.create()
        with ir.InsertionPoint(module.body):
            ir.Operation.create("arith.constant", results=[attribute.type], attributes={"value": attribute})
        text = module.operation.get_asm()
    resource = re.search(r'dialect_resources.*?"0x([0-9A-Fa-f]+)"', text, re.DOTALL)
    if resource:
        return bytes.fromhex(resource[1])[4:]
    blob = re.search(r'dense<"0x([0-9A-Fa-f]+)">', text)
    if blob:
        return bytes.fromhex(blob[1])
    return _from_numbers(text, type_)


def _from_numbers(text: str, type_: TensorType) -> bytes:
    import numpy as np

    from ..model.numpy_types import numpy_type

    inner = re.search(r"dense<(.*)>\s*:", text, re.DOTALL)
    if inner is None:
        return b""
    dtype = numpy_type(ELEMENT[type_.element].numpy)
    numbers = re.findall(r"0x[0-9A-Fa-f]+|-?\d+\.?\d*(?:[eE][-+]?\d+)?", inner[1])
    return b"".join(
        # infinities and NaNs print as their bits
        int(n, 16).to_bytes(dtype.itemsize, "little")
        if n.startswith("0x")
        else np.array(float(n)).astype(dtype).tobytes()
        for n in numbers
    )
