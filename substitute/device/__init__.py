"""Execution of compiled modules: devices, sessions, the command line's values, comparison and timing."""

from .arguments import format_value, parse_input, parse_inputs, write_output
from .compare import Comparison, compare_expected, compare_values
from .drivers import available_devices, describe_device
from .session import Session, run_module
from .timing import (
    DispatchEvent,
    DispatchTime,
    Timing,
    benchmark_modules,
    dispatch_times,
    measure_interleaved,
    record_dispatches,
)
from .value_type import Function, ValueType

__all__ = [
    "Comparison",
    "DispatchEvent",
    "DispatchTime",
    "Function",
    "Session",
    "Timing",
    "ValueType",
    "available_devices",
    "benchmark_modules",
    "compare_expected",
    "compare_values",
    "describe_device",
    "dispatch_times",
    "format_value",
    "measure_interleaved",
    "parse_input",
    "parse_inputs",
    "record_dispatches",
    "run_module",
    "write_output",
]
