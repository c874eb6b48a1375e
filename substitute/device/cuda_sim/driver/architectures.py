"""The simulated devices: the attributes of each architecture's best-known GPU.

Source: CUDA driver API, device attributes; CUDA C++ Programming Guide, "Compute Capabilities".
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from ....errors import UsageError

DEFAULT_ARCHITECTURE = "sm_80"
"""Device of a program that names none."""
DRIVER_VERSION = 13000
"""CUDA 13.0, as in driver 580."""
NEWEST_ISA = (9, 0)
"""The newest PTX version that driver 580 accepts."""
WARP_SIZE = 32
MOST_THREADS = 1024
"""Per block."""
BLOCK_LIMITS = (1024, 1024, 64)
GRID_LIMITS = (2**31 - 1, 65535, 65535)
PLAIN_SHARED_BYTES = 48 << 10
"""Dynamic shared memory that a kernel may use without opting in (cuFuncSetAttribute)."""
_LAST_ATTRIBUTE = 145


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """One simulated device."""

    number: int
    """Compute capability without the dot: 80."""
    multiprocessors: int
    shared_bytes_per_block: int
    """Shared memory of a block that opts in."""
    shared_bytes_per_multiprocessor: int
    threads_per_multiprocessor: int
    blocks_per_multiprocessor: int
    cache_bytes: int
    """Size of the second-level cache."""
    clock_khz: int
    bus_bits: int

    @property
    def name(self) -> str:
        """`sm_80`."""
        return f"sm_{self.number}"

    @property
    def device_name(self) -> str:
        """Name that the device reports."""
        return f"Simulated CUDA device ({self.name})"

    @property
    def accepted(self) -> str:
        """The largest `.target` of PTX files that run: this hardware has its architecture's own features."""
        return f"{self.name}a" if self.number >= 90 else self.name

    @property
    def uuid(self) -> UUID:
        """UUID; devices differ in the first eight bytes, which are all that IREE compares."""
        return UUID(f"{self.number:08d}-5349-4d43-5544-410000000000")

    @property
    def pci_bus(self) -> int:
        """Bus number, different for each device."""
        return self.number % 256

    def attribute(self, number: int) -> int | None:
        """Return the value of a `CUdevice_attribute`; 0 for unsupported features, None for unknown numbers."""
        if not 1 <= number <= _LAST_ATTRIBUTE:
            return None
        return self._attributes().get(number, 0)

    def _attributes(self) -> dict[int, int]:
        return {
            1: MOST_THREADS,
            2: BLOCK_LIMITS[0],
            3: BLOCK_LIMITS[1],
            4: BLOCK_LIMITS[2],
            5: GRID_LIMITS[0],
            6: GRID_LIMITS[1],
            7: GRID_LIMITS[2],
            8: PLAIN_SHARED_BYTES,
            9: 64 << 10,  # constant memory
            10: WARP_SIZE,
            11: 2**31 - 1,  # pitch
            12: 65536,  # registers per block
            13: self.clock_khz,
            14: 512,  # texture alignment
            15: 1,  # copies concurrent with kernels
            16: self.multiprocessors,
            19: 1,  # host memory can be mapped
            31: 1,  # concurrent kernels
            33: self.pci_bus,
            34: 0,
            50: 0,
            36: 1_500_000,  # memory clock
            37: self.bus_bits,
            38: self.cache_bytes,
            39: self.threads_per_multiprocessor,
            40: 2,  # copy engines
            41: 1,  # unified addressing
            75: self.number // 10,
            76: self.number % 10,
            78: 1,
            79: 1,
            80: 1,  # stream priorities, first-level caching of global and local memory
            81: self.shared_bytes_per_multiprocessor,
            82: 65536,  # registers per multiprocessor
            83: 1,  # managed memory
            89: 1,  # managed memory may be accessed by both sides concurrently
            90: 1,  # preemption
            97: self.shared_bytes_per_block,
            99: 1,  # cuMemHostRegister
            106: self.blocks_per_multiprocessor,
            111: 1024 if self.number >= 80 else 0,  # shared memory that the system keeps
            113: 1,  # read-only cuMemHostRegister
            115: 1,  # memory pools
            126: 4 if self.number >= 90 else 1,  # memory synchronisation domains
        }


def _architecture(number: int, *values: int) -> Architecture:
    names = (
        "multiprocessors",
        "shared_bytes_per_block",
        "shared_bytes_per_multiprocessor",
        "threads_per_multiprocessor",
        "blocks_per_multiprocessor",
        "cache_bytes",
        "clock_khz",
        "bus_bits",
    )
    return Architecture(number=number, **dict(zip(names, values, strict=True)))


ARCHITECTURES = (
    _architecture(70, 80, 96 << 10, 96 << 10, 2048, 32, 6 << 20, 1_530_000, 4096),  # V100
    _architecture(75, 40, 64 << 10, 64 << 10, 1024, 16, 4 << 20, 1_590_000, 256),  # T4
    _architecture(80, 108, 163 << 10, 164 << 10, 2048, 32, 40 << 20, 1_410_000, 5120),  # A100
    _architecture(86, 72, 99 << 10, 100 << 10, 1536, 16, 6 << 20, 1_695_000, 384),  # A10
    _architecture(89, 58, 99 << 10, 100 << 10, 1536, 24, 48 << 20, 2_040_000, 192),  # L4
    _architecture(90, 132, 227 << 10, 228 << 10, 2048, 32, 50 << 20, 1_980_000, 5120),  # H100
    _architecture(100, 148, 227 << 10, 228 << 10, 2048, 32, 126 << 20, 1_965_000, 8192),  # B200
    _architecture(120, 170, 99 << 10, 100 << 10, 1536, 24, 96 << 20, 2_407_000, 512),  # RTX 5090
)
"""All of them, in order of age."""


def find_architecture(name: str) -> Architecture:
    """Return the device for `sm_90`; `sm_90a` is the same device. Raises `UsageError`."""
    plain = name.rstrip("af") if name.startswith("sm_") else name
    for architecture in ARCHITECTURES:
        if architecture.name == plain:
            return architecture
    raise UsageError(
        f"there is no simulated CUDA device {name!r}",
        expected=", ".join(a.name for a in ARCHITECTURES),
        found=name or "an empty name",
        next_step="name one of them: --device=cuda-sim://sm_90",
    )


def visible_architectures(first: str) -> tuple[Architecture, ...]:
    """Return all devices, the named one as number 0: the default of a program. Raises `UsageError`."""
    chosen = find_architecture(first)
    return (chosen, *(a for a in ARCHITECTURES if a is not chosen))
