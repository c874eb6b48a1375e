"""Features that a Vulkan variant's target allows a shader to use."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...model.dispatch import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Capabilities and limits of a target; the defaults are those of IREE's default Vulkan target."""

    int64: bool = False
    float64: bool = False
    storage8: bool = False
    """True if 8-bit elements can be accessed in buffers; else they are packed into words with atomics."""
    storage16: bool = False
    """True if 16-bit elements can be accessed in buffers."""
    max_threads: int = 128
    max_shared_bytes: int = 16384
    spirv_version: tuple[int, int] = (1, 3)

    @property
    def vulkan(self) -> str:
        """Vulkan environment for the GLSL compiler: the newest whose SPIR-V version the target accepts."""
        if self.spirv_version >= (1, 6):
            return "vulkan1.3"
        return "vulkan1.2" if self.spirv_version >= (1, 5) else "vulkan1.1"


def features_of(target: Target) -> Features:
    """Return the features of `iree_codegen.target_info = #iree_gpu.target<…>`.

    Source: `addComputeFeatures` and `addStorageFeatures` in IREE's
    `compiler/src/iree/compiler/Codegen/SPIRV/SPIRVConvertGPUTarget.cpp`.
    """
    info = target.get("iree_codegen.target_info")
    compute, storage = _words(info, "compute"), _words(info, "storage")
    version = re.search(r"spirv:v(\d+)\.(\d+)", info)
    return Features(
        int64="int64" in compute,
        float64="fp64" in compute,
        storage8="b8" in storage and "int8" in compute,
        storage16="b16" in storage and "int16" in compute,
        max_threads=_integer(info, "max_thread_count_per_workgroup", 128),
        max_shared_bytes=_integer(info, "max_workgroup_memory_bytes", 16384),
        spirv_version=(int(version[1]), int(version[2])) if version else (1, 3),
    )


def _words(info: str, key: str) -> frozenset[str]:
    found = re.search(rf"\b{key} = ([\w|]+)", info)
    return frozenset(found[1].split("|")) if found else frozenset()


def _integer(info: str, key: str, default: int) -> int:
    found = re.search(rf"\b{key} = (\d+)", info)
    return int(found[1]) if found else default
