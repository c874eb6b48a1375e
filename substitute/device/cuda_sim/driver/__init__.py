"""The driver part of the simulated CUDA device: a `libcuda.so`, and the server that answers its calls."""

from .loading import (
    SIMULATED,
    environment,
    is_loaded,
    is_simulated,
    last_fault,
    load_library,
    name_for_iree,
    recover,
    refuse_simulator,
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
    "recover",
    "refuse_simulator",
    "target_flags",
]
