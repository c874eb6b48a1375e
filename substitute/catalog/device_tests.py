"""`device` of a `[[target]]`: queries of a device when the module is loaded, which decide whether it gets the
kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ..model.kernel import RELATIONS, DeviceTest, Relation
from .diagnostics import Diagnostic, describe, did_you_mean
from .schema import TargetTable

KEYS: dict[str, dict[str, tuple[str, ...]]] = {
    "cuda": {"cuda.device": ("compute_capability_major", "compute_capability_minor")},
    "vulkan-spirv": {
        "hal.device": ("concurrency",),
        "hal.dispatch": ("concurrency",),
        "vulkan.device": (
            "api_version",
            "subgroup_size",
            "max_compute_workgroup_invocations",
            "max_compute_workgroup_size_x",
            "max_compute_workgroup_size_y",
            "max_compute_workgroup_size_z",
            "max_compute_workgroup_count_x",
            "max_compute_workgroup_count_y",
            "max_compute_workgroup_count_z",
        ),
        "vulkan.feature": (
            "buffer_device_address",
            "physical_storage_buffer64",
            "subgroup_size_control",
            "cooperative_matrix_khr",
            "storage_buffer_8bit_access",
            "storage_buffer_16bit_access",
            "shader_float16",
            "shader_float64",
            "shader_bfloat16_type",
            "shader_bfloat16_dot_product",
            "shader_bfloat16_cooperative_matrix",
            "shader_int8",
            "shader_int16",
            "shader_int64",
        ),
    },
    "llvm-cpu": {
        "hal.device": ("concurrency",),
        "hal.dispatch": ("concurrency",),
        "hal.cpu": (
            "sse3",
            "ssse3",
            "sse4.1",
            "sse4.2",
            "sse4a",
            "avx",
            "fma",
            "fma4",
            "xop",
            "f16c",
            "avx2",
            "avx512f",
            "avx512cd",
            "avx512vl",
            "avx512dq",
            "avx512bw",
            "avx512ifma",
            "avx512vbmi",
            "avx512vpopcntdq",
            "avx512vnni",
            "avx512vbmi2",
            "avx512bitalg",
            "avx512bf16",
            "avx512fp16",
            "amx-tile",
            "amx-int8",
            "amx-bf16",
            "fp-armv8",
            "lse",
            "lse128",
            "fullfp16",
            "fp16fml",
            "dotprod",
            "i8mm",
            "bf16",
            "sve",
            "sve2",
            "sve2p1",
            "sve2-bitperm",
            "f32mm",
            "f64mm",
            "sme",
            "sme2",
            "sme2p1",
            "sme-f16f16",
            "sme-f64f64",
            "sme-i16i64",
            "v",
            "zvfhmin",
            "zvfh",
            "zvfbfwma",
            "xsmtvdot",
            "zvl256b",
            "zvl1024b",
            "zvl4096b",
        ),
    },
}
"""Keys that devices of each backend answer in IREE 3.13, by category.

Source: `…_query_i64` of each driver below IREE's `runtime/src/iree/hal/drivers/`, and
`runtime/src/iree/schemas/cpu_feature_bits.inl`.
"""
_EXAMPLE = '{ "cuda.device::compute_capability_major" = ">= 9" }'
_TEST = re.compile(rf"\s*({'|'.join(map(re.escape, RELATIONS))})\s*(-?\d{{1,18}})\s*")


def parse_device(device: Mapping[str, str | bool | int]) -> tuple[DeviceTest, ...]:
    """Return the tests of a table without diagnostics of `device_problems`."""
    tests = []
    for name, value in device.items():
        category, _, key = name.partition("::")
        relation, number = _relation(value) or ("==", 0)
        tests.append(DeviceTest(category=category, key=key, relation=relation, value=number))
    return tuple(tests)


def device_problems(
    path: tuple[str | int, ...], backend: str, device: Mapping[str, str | bool | int]
) -> Iterator[Diagnostic]:
    """Check the table at `path`; yield a diagnostic per error. Keys of backends that are not in `KEYS` are accepted."""
    known = KEYS.get(backend)
    names = [f"{category}::{key}" for category, keys in (known or {}).items() for key in keys]
    for name, value in device.items():
        category, separator, key = name.partition("::")
        if not (category and separator and key):
            yield Diagnostic(
                path=(*path, name),
                what="not a key that devices answer",
                expected=f'"category::key", such as {_EXAMPLE}',
                found=describe(name),
                at_key=True,
                next_step="write category and key with `::` between them",
            )
        elif known is not None and name not in names:
            near = [n for n in names if n.startswith(f"{category}::")] or names
            shown = ", ".join(near[:8]) + (f" and {len(near) - 8} more" if len(near) > 8 else "")
            yield Diagnostic(
                path=(*path, name),
                what=f"no {backend} device answers this key",
                expected=f"one of {shown}",
                found=describe(name),
                at_key=True,
                next_step=did_you_mean(name, names),
            )
        if _relation(value) is None:
            yield Diagnostic(
                path=(*path, name),
                what="not a test of an integer",
                expected='true, false, an integer, or a comparison such as ">= 9"',
                found=describe(value),
                next_step="devices answer with integers; a feature that is there is 1",
            )


def variant_problems(path: tuple[str | int, ...], target: TargetTable) -> Iterator[Diagnostic]:
    """Check `variant`, the architecture that the payload is for; yield a diagnostic per error."""
    if target.variant is None:
        return
    if target.backend != "cuda":
        yield Diagnostic(
            path=path,
            what="only CUDA has variants by architecture",
            expected='backend = "cuda"',
            at_key=True,
            found=f'backend = "{target.backend}"',
            next_step="remove variant: elsewhere `device` says all that the payload needs",
        )
    elif not re.fullmatch(r"sm_\d+[af]?", target.variant):
        yield Diagnostic(
            path=path,
            what="not an architecture",
            expected='such as "sm_90a"',
            found=describe(target.variant),
            next_step="write the architecture after .target in the PTX",
        )
    if not target.device:
        yield Diagnostic(
            path=path,
            what="`variant` without `device`",
            at_key=True,
            expected=f"tests of the device, such as device = {_EXAMPLE}",
            found="no device",
            next_step="add device, or `architectures` to select by the module's own",
        )


def _relation(value: str | bool | int) -> tuple[Relation, int] | None:
    """Return the relation of a test: `true` is `!= 0`, `false` is `== 0`, 8 is `== 8`."""
    if isinstance(value, bool):
        return ("!=" if value else "=="), 0
    if isinstance(value, int):
        return "==", value
    found = _TEST.fullmatch(value)
    return (found[1], int(found[2])) if found else None  # type: ignore[return-value]
