"""Saved plans, as `--plan-out` writes them, read through a schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import PlanError
from .model.choice import format_choice, make_tuning

if TYPE_CHECKING:
    from pydantic import ValidationError

PLAN_SCHEMA = 1
"""Version of the format that this program writes and reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPlan:
    """Contents of a saved plan."""

    chosen: Mapping[str, tuple[str, ...]]
    """The choices for each dispatch (`VARIANT::NAME` where the plan names the variant), see `model.choice`."""
    machine: Mapping[str, str]
    """The machine that the plan was measured on; empty for a plan that nobody measured."""


def load_plan(path: Path) -> SavedPlan:
    """Read a saved plan.

    Raises `PlanError` for a file that cannot be read, is of another version, or has an entry without names.
    """
    from pydantic import BaseModel, ConfigDict, Field, ValidationError

    class Entry(BaseModel):
        """Entry for one substitution; `compile` writes more fields, for readers."""

        model_config = ConfigDict(strict=True)
        dispatch: str = Field(min_length=1)
        kernel: str = Field(min_length=1)
        variant: str | None = None
        tuning: dict[str, int] = Field(default_factory=dict)

    class Content(BaseModel):
        model_config = ConfigDict(strict=True)
        version: int = Field(alias="schema", default=PLAN_SCHEMA)
        substitutions: list[Entry]
        machine: dict[str, str] = Field(default_factory=dict)

    try:
        plan = Content.model_validate_json(path.read_bytes())
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    except ValidationError as error:
        raise _unreadable(path, _describe(error)) from None
    if plan.version != PLAN_SCHEMA:
        raise PlanError(
            "the plan is of another version",
            where=f"{path}: schema",
            expected=str(PLAN_SCHEMA),
            found=str(plan.version),
            next_step="upgrade iree-substitute (`pip install -U iree-substitute`)"
            if plan.version > PLAN_SCHEMA
            else "write a new one with `iree-substitute compile … --plan-out FILE`",
        )
    chosen: dict[str, tuple[str, ...]] = {}
    for entry in plan.substitutions:
        name = entry.dispatch if entry.variant is None else f"{entry.variant}::{entry.dispatch}"
        chosen[name] = (*chosen.get(name, ()), format_choice(entry.kernel, make_tuning(entry.tuning)))
    return SavedPlan(chosen=chosen, machine=plan.machine)


def _describe(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    return f"{place}: {first['msg']}" if place else str(first["msg"])


def _unreadable(path: Path, found: str) -> PlanError:
    return PlanError(
        "the plan cannot be read",
        where=str(path),
        expected='JSON: {"schema": 1, "substitutions": [{"dispatch": …, "kernel": …}, …]}',
        found=found,
        next_step="write a new one with `iree-substitute compile … --plan-out FILE`",
    )
