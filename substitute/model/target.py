"""Names of IREE's targets."""

from __future__ import annotations

BACKENDS = ("llvm-cpu", "vulkan-spirv", "cuda", "rocm", "metal-spirv", "webgpu-spirv", "vmvx", "vmvx-inline")
"""IREE's names of its backends."""
