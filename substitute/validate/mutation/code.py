"""The code of a kernel as validation embeds it: plain data from which mutants are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...model.dispatch import Target

Format = Literal["llvm", "ptx"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One payload, and the dispatches that it was made for."""

    number: int
    format: Format
    text: str
    """LLVM IR or PTX."""
    entry: str
    entries: tuple[str, ...] = ()
    """Functions of the harness that launch it."""
    data: bytes = b""
    """For PTX: its bytes in the module, where it is changed."""
    target: Target | None = None
    """The target of its dispatch, for LLVM."""
    finished: bool = False
    """True if the generator optimised it already."""
    linked: tuple[str, ...] = ()
    """Functions that the linked objects define."""
    objects: tuple[str, ...] = ()
    """Paths of these objects."""
    title: str = ""
    """The dispatch that it was made for, if others have different code; empty if it is shared."""
