"""Hand-tuned kernels in programs compiled by IREE: matching, embedding, compilation, execution, comparison.

The names below are the public surface; each is loaded on first use, so that importing the package is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .catalog.catalog import Catalog, load_catalog
    from .device import Session, run_module
    from .errors import SubstituteError
    from .inspection import inspect_model
    from .model.kernel import Kernel
    from .model.plan import Generated, Plan, Request
    from .pipeline import CompileResult, compile_model
    from .validate import ModelVerdict, validate_model

__version__ = "0.1.0"

_HOMES = {
    "Catalog": "catalog.catalog",
    "CompileResult": "pipeline",
    "Generated": "model.plan",
    "Kernel": "model.kernel",
    "ModelVerdict": "validate",
    "Plan": "model.plan",
    "Request": "model.plan",
    "Session": "device",
    "SubstituteError": "errors",
    "compile_model": "pipeline",
    "inspect_model": "inspection",
    "load_catalog": "catalog.catalog",
    "run_module": "device",
    "validate_model": "validate",
}

__all__ = [
    "Catalog",
    "CompileResult",
    "Generated",
    "Kernel",
    "ModelVerdict",
    "Plan",
    "Request",
    "Session",
    "SubstituteError",
    "compile_model",
    "inspect_model",
    "load_catalog",
    "run_module",
    "validate_model",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
