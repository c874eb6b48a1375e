"""Finished SPIR-V takes no dispatch whose sizes and offsets cannot be passed to it; GLSL source and generators do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runtime_tests.match.definitions import matmul_dispatch, open_matmul_dispatch
from runtime_tests.match.kernels import MATMUL, MATMUL_OPERANDS, accepted, kernel, refused
from runtime_tests.read.executables import VULKAN
from substitute.model.kernel import ExecutableConstant, Kernel, PayloadKind, TargetRule
from substitute.model.plan import Rule

pytestmark = pytest.mark.compile

EXPECTED = "sizes and offsets that the model names, since they are frozen into the code"


def made(kind: PayloadKind, *constants: tuple[int, str], value: str = "") -> Kernel:
    fields = {"executable_constants": (ExecutableConstant(name="T", value=value),)} if value else {}
    found = kernel(MATMUL, MATMUL_OPERANDS, kind=kind, targets=[TargetRule(backend="vulkan-spirv")], **fields)
    return replace(found, payload=replace(found.payload, spec_constants=constants))


def test_sizes() -> None:
    accepted(made("spirv", (0, "M")), matmul_dispatch(4, 16, 8, target=VULKAN))
    accepted(made("spirv", (0, "N")), open_matmul_dispatch(target=VULKAN))
    accepted(made("glsl"), open_matmul_dispatch(target=VULKAN))
    for kind in ("spirv", "spirv-dialect"):
        assert refused(made(kind, (3, "M")), open_matmul_dispatch(target=VULKAN)) == Rule(
            name="payload.frozen", passed=False, expected=EXPECTED, found="M, for SpecId 3, is known at launch only"
        )


def test_executable_constants() -> None:
    accepted(made("glsl", value="2 * K"), open_matmul_dispatch(target=VULKAN))
    assert refused(made("glsl", value="2 * M"), open_matmul_dispatch(target=VULKAN)) == Rule(
        name="payload.frozen",
        passed=False,
        expected=EXPECTED,
        found="2 * M, for the constant T, is known at launch only",
    )
