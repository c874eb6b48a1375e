"""Objects that the driver returns handles of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .architectures import Architecture
from .codes import DriverError

if TYPE_CHECKING:
    from ..program import Entry, Program


@dataclass(slots=True, eq=False)
class Context:
    """A process's context on one device."""

    architecture: Architecture
    primary: bool
    users: int = 0
    """Number of times that a primary context is retained."""
    fault: DriverError | None = None
    """Fault that ended it: every later call returns the same code, as on a real device."""
    replaced: Context | None = None
    """The faulty primary context that this one replaced."""


@dataclass(slots=True, eq=False)
class Stream:
    """A queue, which is always empty: each call has done its work when it returns."""

    context: Context


@dataclass(slots=True, eq=False)
class Event:
    """A point in time."""

    context: Context
    timed: bool
    seconds: float | None = None
    """Time at which it was recorded, by a clock of the host; None before."""


@dataclass(slots=True, eq=False)
class Pool:
    """A memory pool, which frees memory at once."""

    context: Context | None
    used_bytes: int = 0
    most_used_bytes: int = 0
    attributes: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Module:
    """Loaded PTX."""

    context: Context
    program: Program


@dataclass(slots=True, eq=False)
class Function:
    """An entry of a module."""

    context: Context
    module: Module
    entry: Entry
    most_dynamic_bytes: int
    """Limit of the dynamic shared memory of a launch; static memory is not counted."""


@dataclass(slots=True, eq=False)
class Region:
    """Memory allocated by the driver."""

    start: int
    size_bytes: int
    context: Context
    host: bool
    """Page-locked host memory, freed by cuMemFreeHost."""
    pool: Pool | None = None


@dataclass(slots=True, eq=False)
class Registration:
    """Host memory mapped to the device: a copy in device memory, synchronised around every use."""

    host: int
    size_bytes: int
    device: int
    """Address of the copy."""
    read_only: bool
    context: Context


@dataclass(slots=True, eq=False)
class Node:
    """One step of a graph."""

    run: Callable[[], None] | None
    """None: an empty node, which only orders others."""


@dataclass(slots=True, eq=False)
class Graph:
    """Steps in the order in which they were added. A node's dependencies exist before it, so this order is valid."""

    context: Context
    nodes: list[tuple[int, Node]] = field(default_factory=list)
    """Nodes with their handles."""


@dataclass(slots=True, eq=False)
class Executable:
    """A graph that can be launched; later changes of the graph do not affect it."""

    context: Context
    steps: tuple[Callable[[], None], ...]


class Handles:
    """Opaque numbers for objects. No number is used twice, so that a stale one is detected."""

    def __init__(self) -> None:
        self._objects: dict[int, Any] = {}
        self._next = 0x1000

    def add(self, thing: object) -> int:
        """Return a new handle."""
        self._next += 16
        self._objects[self._next] = thing
        return self._next

    def find(self, handle: int) -> object | None:
        """Return the object, or None for a wrong or stale handle."""
        return self._objects.get(handle)

    def handle_of(self, thing: object) -> int:
        """Return the handle of an object that has one."""
        return next(handle for handle, one in self._objects.items() if one is thing)

    def remove(self, handle: int) -> None:
        """Remove a handle."""
        self._objects.pop(handle, None)

    def remove_of(self, context: Context) -> list[Any]:
        """Remove the handles of all objects of a context, and return the objects."""
        ended = [handle for handle, one in self._objects.items() if getattr(one, "context", None) is context]
        return [self._objects.pop(handle) for handle in ended]
