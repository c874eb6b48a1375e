"""The driver part of the simulated CUDA device: a `libcuda.so`, and the server that answers its calls."""

from .loading import (
    SIMULATED,
    environment,
    is_loaded,
    is_simulated,
    last_fault,
    load_library,
    name_for_iree,
    reason_against,
    recover,
    target_flags,
)
from .settings import SETTINGS, read_settings

__all__ = [
    "SETTINGS",
    "SIMULATED",
    "environment",
    "is_loaded",
    "is_simulated",
    "last_fault",
    "load_library",
    "name_for_iree",
    "read_settings",
    "reason_against",
    "recover",
    "target_flags",
]
