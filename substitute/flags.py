"""Parsing of the flags of IREE's compiler, and completion of the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .errors import UsageError
from .model.numerics import DEMANDS, NumericDemand

DEVICE = "iree-hal-target-device"
BACKENDS = "iree-hal-target-backends"
LOCAL_BACKENDS = "iree-hal-local-target-device-backends"
CPU = "iree-llvmcpu-target-cpu"
CPU_FEATURES = "iree-llvmcpu-target-cpu-features"
TRIPLE = "iree-llvmcpu-target-triple"
CUDA_TARGET = "iree-cuda-target"
VULKAN_TARGET = "iree-vulkan-target"

HOST_FLAGS = (f"--{DEVICE}=local", f"--{LOCAL_BACKENDS}=llvm-cpu", f"--{CPU}=host")
"""Default target: this machine's CPU."""

# fmt: off
_DEVICE_OF_PREFIX = {
    "iree-cuda-": "cuda", "iree-vulkan-": "vulkan", "iree-rocm-": "hip", "iree-metal-": "metal",
    "iree-llvmcpu-target-": "local", LOCAL_BACKENDS: "local",
}
# fmt: on
"""Device that flags with this prefix refer to; other `--iree-llvmcpu-…` flags do not exclude other devices."""

TRUE, FALSE = frozenset(("", "true", "TRUE", "True", "1")), frozenset(("false", "FALSE", "False", "0"))
"""LLVM's spellings of a flag that is on or off. IREE 3.13 refuses some of them itself."""

_NO_SESSION = "the whole pipeline always runs; `iree-substitute inspect` shows the dispatches"
_PRINTS = "this flag prints something and ends: ask iree-compile itself"
_ONE_MODULE = "the module is compiled whole, and the output is always a VM FlatBuffer"
_TOOL_FLAGS: dict[str, tuple[str, str]] = {
    "compile-to": ("end", _NO_SESSION),
    "compile-from": ("start", "start from the model itself"),
    "compile-mode": ("std", _NO_SESSION),
    "output-format": ("vm-bytecode", _ONE_MODULE),
    "split-input-file": ("false", _ONE_MODULE),
    "emit-mlir-bytecode": ("false", _ONE_MODULE),
    "emit-mlir-bytecode-version": ("", _ONE_MODULE),
    "verify": ("true", "the IR is always verified"),
    "iree-hal-preprocess-executables-with": ("", "kernels are put in by --kernels, with no process per executable"),
    "dump-compilation-phases-to": ("", "only iree-compile writes the phases; it takes the same target flags"),
    "remarks-filter": ("", "only iree-compile writes remarks; it takes the same target flags"),
    "remarks-output-file": ("", "only iree-compile writes remarks; it takes the same target flags"),
    "iree-hal-list-target-backends": ("false", _PRINTS),
    "iree-llvmcpu-list-targets": ("false", _PRINTS),
    "iree-list-plugins": ("false", _PRINTS),
    "help-hidden": ("false", _PRINTS),
    "help-list": ("false", _PRINTS),
    "help-list-hidden": ("false", _PRINTS),
    "version": ("false", _PRINTS),
    "print-all-options": ("false", _PRINTS),
}
"""Flags of the tool `iree-compile` that the compiler's library lacks, or that are pointless here: the value without
effect, and an alternative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompilerFlags:
    """The user's compiler flags, in the spelling `--name=value`."""

    flags: tuple[str, ...]
    values: dict[str, tuple[str, ...]] = field(hash=False)
    """All values of each flag by its name without dashes, in order. A flag without a value has the empty string."""

    def last(self, name: str) -> str | None:
        """Return the effective value of a flag that takes one; None if the flag is absent."""
        return self.values[name][-1] if name in self.values else None

    def listed(self, name: str) -> tuple[str, ...]:
        """Return all entries of a flag that takes a list, as one value or as several flags."""
        return tuple(part for value in self.values.get(name, ()) for part in value.split(",") if part)

    def switched_off(self, name: str) -> bool:
        """Return True if the flag is present and off."""
        return self.last(name) in FALSE

    @property
    def demands(self) -> tuple[NumericDemand, ...]:
        """Demands of the flags on the numerics of generated code."""
        return tuple(
            NumericDemand(kind=rule.kind, flag=f"--{rule.name}={value}", backends=rule.backends)
            for rule in DEMANDS
            if (value := self.last(rule.name)) is not None
            and (value in rule.values or (rule.boolean and _boolean(value) in rule.values))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetedFlags:
    """Flags that name a target."""

    flags: tuple[str, ...]
    added: tuple[str, ...] = ()
    """Flags that were added, at the end."""
    because: str = ""
    """The user's flag that left something open; empty if no flag is about a target."""

    @property
    def note(self) -> str:
        """A sentence about the added flags; empty if none were added, or no flag is about a target."""
        return f"added {' '.join(self.added)}, which {self.because} leaves open" if self.because and self.added else ""


def read_flags(flags: Sequence[str]) -> CompilerFlags:
    """Return the flags by name, as LLVM's parser reads them: one dash or two, the value after `=` or as the next word.

    Flags without an effect here are left out. Raises `UsageError` for flags that only the tool `iree-compile` has.
    """
    spelled: list[str] = []
    for word in flags:
        if word.startswith("-") and word.strip("-"):
            name, equals, value = word.lstrip("-").partition("=")
            spelled.append(f"--{name}{equals}{value}")
        elif spelled and "=" not in spelled[-1]:
            spelled[-1] += f"={word}"
        else:
            raise UsageError(
                "this is not a flag",
                expected="flags of iree-compile: --name, --name=value or --name value",
                found=word,
                next_step="put it after the flag whose value it is",
            )
    kept = tuple(flag for flag in spelled if not _changes_nothing(flag))
    values: dict[str, tuple[str, ...]] = {}
    for flag in kept:
        name, _, value = flag[2:].partition("=")
        values[name] = (*values.get(name, ()), value)
    return CompilerFlags(flags=kept, values=values)


def add_target(flags: Sequence[str], *, device: str = "") -> TargetedFlags:
    """Return the flags with the target that they leave open, for `device` where they name none.

    - A device or a backend that is named stays as it is. `local` without backends gets `llvm-cpu`.
    - Flags about one kind of device (`--iree-cuda-target`) without a device are for that device.
    - A CPU is the host's, unless a CPU, its features or a triple are given.
    - Flags that stock iree-compile takes as they are stay as they are.

    Raises `UsageError` where the flags are about several kinds of devices and name none.
    """
    read = read_flags(flags)
    devices = read.listed(DEVICE)
    if read.listed(BACKENDS):
        return TargetedFlags(flags=read.flags)
    if devices:
        if not any(_alias(one) == "local" for one in devices) or read.listed(LOCAL_BACKENDS):
            return TargetedFlags(flags=read.flags)
        return _with(read, _local_flags(read), f"--{DEVICE}={','.join(devices)}")
    about = _flags_by_device(read)
    if not device:
        if len(about) > 1:
            raise UsageError(
                "the flags are about several kinds of devices, and name none",
                expected=f"--{DEVICE}=" + " or ".join(about),
                found=", ".join(about.values()),
                next_step=f"add --{DEVICE}, once for each device that the module is for",
            )
        device = next(iter(about), "local")
    added = (f"--{DEVICE}={device}", *(_local_flags(read) if device == "local" else ()))
    return _with(read, added, about.get(device, ""))


def with_default_target(flags: Sequence[str]) -> tuple[str, ...]:
    """Return the flags with the target that they leave open; see `add_target`."""
    return add_target(flags).flags


def names_target(flags: Sequence[str]) -> bool:
    """Return True if the flags name a device or a backend."""
    values = read_flags(flags).values
    return any(name in values for name in (DEVICE, BACKENDS, LOCAL_BACKENDS))


def _with(read: CompilerFlags, added: tuple[str, ...], because: str) -> TargetedFlags:
    return TargetedFlags(flags=(*read.flags, *added), added=added, because=because)


def _local_flags(read: CompilerFlags) -> tuple[str, ...]:
    """Return the backend and the CPU of a local device, as far as they are open."""
    backends = read.listed(LOCAL_BACKENDS)
    added = () if backends else (f"--{LOCAL_BACKENDS}=llvm-cpu",)
    if backends and "llvm-cpu" not in backends:
        return added
    # a CPU's name or features need a triple; `host` beside either is a conflict
    said = any(read.last(name) for name in (CPU, CPU_FEATURES)) or read.last(TRIPLE) not in (None, "", "host")
    return added if said else (*added, f"--{CPU}=host")


def _flags_by_device(read: CompilerFlags) -> dict[str, str]:
    """Return the first flag of each kind of device that flags mention."""
    found: dict[str, str] = {}
    for flag in read.flags:
        for prefix, device in _DEVICE_OF_PREFIX.items():
            if flag[2:].startswith(prefix):
                found.setdefault(device, flag)
    return found


def _alias(specification: str) -> str:
    """Return the alias in a device's specification: `local` of `name=local[0]`."""
    return specification.rpartition("=")[2].partition("[")[0].strip()


def _boolean(value: str) -> str:
    return "true" if value in TRUE else "false" if value in FALSE else value


def _changes_nothing(flag: str) -> bool:
    """Return True for a flag of the tool that asks for the default behaviour. Raises `UsageError` for the others."""
    name, _, value = flag[2:].partition("=")
    if name not in _TOOL_FLAGS:
        return False
    default, instead = _TOOL_FLAGS[name]
    if _boolean(value) == default or (value == default and value):
        return True
    raise UsageError(
        "this flag of iree-compile makes no sense here",
        found=flag,
        expected="flags about the target or the optimisation",
        next_step=instead,
    )
