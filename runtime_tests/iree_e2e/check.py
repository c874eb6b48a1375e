"""IREE's `check` module in Python: what the end-to-end tests call to compare what was computed with what should be."""

from __future__ import annotations

from typing import Any

import numpy as np

from substitute.device.transfer import to_host


class Checks:
    """The functions that a compiled test imports; one that is not met raises `AssertionError`."""

    device: Any = None
    """Device that buffers are read from; set before a module is run."""
    failure = ""
    """Reason why the last check failed: the runtime's message is longer."""

    def __init__(self, _interface: Any) -> None:
        pass

    def expect_true(self, value: int) -> None:
        """Check an integer."""
        _demand(bool(value), "it is false")

    def expect_false(self, value: int) -> None:
        """Check an integer."""
        _demand(not value, "it is true")

    def expect_all_true(self, _device: Any, values: Any) -> None:
        """Check a tensor."""
        _demand(bool(np.all(_array(values))), "not all is true")

    def expect_eq(self, _device: Any, found: Any, expected: Any) -> None:
        """Shapes, types and all elements."""
        a, b = _array(found), _array(expected)
        _same_form(a, b)
        _demand(np.array_equal(a, b), _first(a, b, a != b))

    def expect_almost_eq(self, _device: Any, found: Any, expected: Any, atol: float, rtol: float) -> None:
        """|found - expected| ≤ atol + rtol · |expected|; NaN and infinities where they are expected."""
        a, b = _array(found), _array(expected)
        _same_form(a, b)
        x, y = a.astype(np.float64), b.astype(np.float64)
        close = np.isclose(x, y, atol=atol, rtol=rtol, equal_nan=True)
        _demand(bool(close.all()), _first(a, b, ~close))


def _array(value: Any) -> Any:
    from iree.runtime import HalBufferView

    view = value.deref(HalBufferView) if hasattr(value, "deref") else value
    return to_host(Checks.device, view)


def _same_form(a: Any, b: Any) -> None:
    _demand(a.shape == b.shape, f"it is {a.shape}, not {b.shape}")
    _demand(a.dtype == b.dtype, f"it is {a.dtype}, not {b.dtype}")


def _demand(met: bool, words: str) -> None:
    Checks.failure = "" if met else words
    assert met, words


def _first(a: Any, b: Any, wrong: Any) -> str:
    if not np.any(wrong):
        return ""
    at = tuple(int(i) for i in np.argwhere(wrong)[0]) if np.ndim(wrong) else ()
    return f"{int(np.count_nonzero(wrong))} of {np.size(a)} elements differ, at {at} it is {a[at]}, not {b[at]}"


def check_module(device: Any) -> Any:
    """The module, to be loaded before the tests."""
    from iree.runtime import PyModuleInterface

    Checks.device = device
    interface = PyModuleInterface("check", Checks)
    for name, convention in (
        ("expect_true", "0i_v"),
        ("expect_false", "0i_v"),
        ("expect_all_true", "0rr_v"),
        ("expect_eq", "0rrr_v"),
        ("expect_almost_eq", "0rrrff_v"),
    ):
        interface.export(name, convention, getattr(Checks, name))
    return interface.create()
