"""The kinds of payload, in the order in which messages list them.

A kind is one object: its facts for manifest and match, and how its code is made (`substitute.model.payload_kind`).
A package adds one through the entry-point group `substitute.payload_kinds`.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from ...errors import PayloadError
from ...model.payload_kind import PayloadKind
from .c import CppSource, CSource
from .cuda import CudaSource, PtxText
from .dialect import LlvmDialect, SpirvDialect
from .glsl import GlslGenerator, GlslSource
from .llvm import LlvmBitcode, LlvmGenerator, LlvmText
from .object_file import ObjectFile
from .own_code import OwnCode
from .rewriting import MlirBody, PythonRule
from .spirv import SpirvBinary

KINDS: tuple[PayloadKind, ...] = (
    LlvmGenerator(),
    LlvmText(),
    LlvmBitcode(),
    ObjectFile(),
    CSource(),
    CppSource(),
    SpirvBinary(),
    GlslSource(),
    GlslGenerator(),
    PtxText(),
    CudaSource(),
    LlvmDialect(),
    SpirvDialect(),
    MlirBody(),
    PythonRule(),
    OwnCode(),
)
GROUP = "substitute.payload_kinds"
"""Entry-point group for the kinds of other packages."""

_BUILT_IN = {kind.name: kind for kind in KINDS}


def find_kind(name: str) -> PayloadKind:
    """Return the kind of this name. Raises `KeyError` if there is none, `PayloadError` for one that cannot be used."""
    return _BUILT_IN[name] if name in _BUILT_IN else _installed_kinds()[name]


def list_kinds() -> tuple[PayloadKind, ...]:
    """Return all kinds: the toolkit's own, then those of installed packages, by name."""
    return (*KINDS, *_installed_kinds().values())


@cache
def _installed_kinds() -> dict[str, PayloadKind]:
    found: dict[str, PayloadKind] = {}
    origins = dict.fromkeys(_BUILT_IN, "iree-substitute")
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        origin = entry.dist.name if entry.dist else entry.value
        try:
            kind = entry.load()
        except Exception as error:
            raise _unusable(origin, entry.value, f"{type(error).__name__}: {error}") from error
        if not isinstance(kind, PayloadKind):
            raise _unusable(origin, entry.value, type(kind).__name__)
        if kind.name in origins:
            raise PayloadError(
                f"two packages bring a payload kind `{kind.name}`",
                expected="one",
                found=f"{origins[kind.name]} and {origin}",
                next_step="uninstall one of them",
            )
        origins[kind.name] = origin
        found[kind.name] = kind
    return found


def _unusable(origin: str, value: str, found: str) -> PayloadError:
    return PayloadError(
        f"the payload kind of the package {origin} cannot be used",
        where=value,
        expected="an instance of substitute.model.payload_kind.PayloadKind",
        found=found,
        next_step=f"upgrade or uninstall {origin}",
    )
