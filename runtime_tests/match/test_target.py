"""Target rules: each kind failing, with what was expected and found."""

from __future__ import annotations

import pytest

from runtime_tests.read.executables import CUDA, VULKAN, dispatch_of
from substitute.match.target import architecture, check_target, describe
from substitute.model.dispatch import Target
from substitute.model.kernel import TargetRule
from substitute.model.plan import Rule

pytestmark = pytest.mark.unit

CPU = Target(
    backend="llvm-cpu",
    format="embedded-elf-x86_64",
    config=(
        ("cpu", "znver3"),
        ("cpu_features", "+avx2,+fma,-avx512f,+sse,-sse,+sse"),
        ("native_vector_size", "32 : i64"),
        ("target_triple", "x86_64-unknown-linux-gnu"),
    ),
)


@pytest.mark.parametrize(
    ("rule", "name", "expected", "found"),
    [
        (TargetRule(backend="cuda"), "target.backend", "cuda", "llvm-cpu"),
        (TargetRule(backend="llvm-cpu", format="static"), "target.format", "static", "embedded-elf-x86_64"),
        (
            TargetRule(backend="llvm-cpu", architectures=("aarch64", "riscv64")),
            "target.architectures",
            "aarch64 or riscv64",
            "x86_64",
        ),
        (
            TargetRule(backend="llvm-cpu", features=("avx2", "avx512f", "amx")),
            "target.features",
            "avx2, avx512f, amx",
            "without avx512f, amx",
        ),
        (
            TargetRule(backend="llvm-cpu", config=(("cpu", "znver4"),)),
            "target.config.cpu",
            "znver4",
            "znver3",
        ),
        (
            TargetRule(backend="llvm-cpu", config=(("ukernels", "all"),)),
            "target.config.ukernels",
            "all",
            "(not there; there is cpu, cpu_features, native_vector_size, target_triple)",
        ),
    ],
)
def test_each_kind_of_rule_can_fail(rule: TargetRule, name: str, expected: str, found: str) -> None:
    assert check_target((rule,), CPU) == Rule(name=name, passed=False, expected=expected, found=found)


@pytest.mark.parametrize(
    "rule",
    [
        TargetRule(backend="llvm-cpu"),
        TargetRule(backend="llvm-cpu", format="embedded-elf-x86_64", architectures=("aarch64", "x86_64")),
        TargetRule(backend="llvm-cpu", features=("avx2", "+fma", "sse")),
        TargetRule(backend="llvm-cpu", config=(("cpu", "znver3"), ("native_vector_size", "32 : i64"))),
    ],
)
def test_twin_each_kind_of_rule_can_pass(rule: TargetRule) -> None:
    assert check_target((rule,), CPU).passed


def test_the_rule_that_came_closest_is_told() -> None:
    rules = (
        TargetRule(backend="vulkan-spirv"),
        TargetRule(backend="llvm-cpu", architectures=("x86_64",), features=("avx512f",)),
        TargetRule(backend="llvm-cpu", format="static"),
    )
    assert check_target(rules, CPU).name == "target.features"
    assert check_target(rules[:1], CPU).name == "target.backend"
    passed = check_target((*rules, TargetRule(backend="llvm-cpu")), CPU)
    assert passed == Rule(name="target", passed=True, expected="llvm-cpu", found="llvm-cpu embedded-elf-x86_64 x86_64")
    assert check_target((), CPU) == Rule(
        name="target", passed=False, expected="at least one target", found="none in the manifest"
    )


@pytest.mark.parametrize(("text", "arch"), [(CUDA, "sm_80"), (VULKAN, "vp_android_baseline_2022")])
def test_architectures_of_gpus(text: str, arch: str) -> None:
    target = dispatch_of("%a = input 0 !8xf32\noutput 1 %a !8xf32", bindings=2, target=text).target
    assert architecture(target) == arch
    assert check_target((TargetRule(backend=target.backend, architectures=(arch,)),), target).passed
    assert check_target((TargetRule(backend=target.backend, architectures=("sm_90",)),), target).found == arch


def test_a_target_without_an_architecture() -> None:
    vmvx = Target(backend="vmvx", format="vmvx-bytecode-fb", config=())
    assert (architecture(vmvx), describe(vmvx)) == ("", "vmvx vmvx-bytecode-fb")
    rule = check_target((TargetRule(backend="vmvx", architectures=("x86_64",)),), vmvx)
    assert rule.found == "none named"
