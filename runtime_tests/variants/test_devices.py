"""Device tests of a manifest, and the features that they imply for a kernel's code."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime_tests.variants.programs import marked_matmul
from substitute.catalog.manifest import parse_manifest
from substitute.errors import ManifestError
from substitute.match.devices import (
    derive_target,
    exclude_each_other,
    find_tested_features,
    passes_test,
    select_target_rules,
)
from substitute.model.dispatch import Target
from substitute.model.kernel import DeviceTest, TargetRule

pytestmark = pytest.mark.unit

INFO = 'arch = "{}", wgp = <compute = fp32|int32, storage = b32, subgroup = none>'


def target(backend: str, **config: str) -> Target:
    return Target(backend=backend, format="", config=tuple(config.items()))


def device(*tests: str) -> tuple[DeviceTest, ...]:
    """`vulkan.feature::shader_int64 != 0` as a test."""
    made = []
    for text in tests:
        name, relation, value = text.split()
        category, _, key = name.partition("::")
        made.append(DeviceTest(category=category, key=key, relation=relation, value=int(value)))  # type: ignore[arg-type]
    assert tuple(map(str, made)) == tests
    return tuple(made)


def rule(*tests: str, backend: str = "cuda", **fields: object) -> TargetRule:
    return TargetRule(backend=backend, device=device(*tests), **fields)  # type: ignore[arg-type]


def manifest(folder: Path, line: str, backend: str = "vulkan-spirv") -> TargetRule:
    """The first target of a manifest with this line in its `[[target]]`."""
    text = (marked_matmul("asking", 1).write(folder / "kernel") / "kernel.toml").read_text()
    text = text.replace('backend = "vulkan-spirv"', f'backend = "{backend}"\n{line}')
    return parse_manifest(text, folder / "kernel" / "kernel.toml").kernel.targets[0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('">= 32"', "vulkan.device::subgroup_size >= 32"),
        ('"!=  8"', "vulkan.device::subgroup_size != 8"),
        ("64", "vulkan.device::subgroup_size == 64"),
        ("true", "vulkan.device::subgroup_size != 0"),
        ("false", "vulkan.device::subgroup_size == 0"),
    ],
)
def test_how_a_manifest_asks(tmp_path: Path, value: str, expected: str) -> None:
    found = manifest(tmp_path, f'device = {{ "vulkan.device::subgroup_size" = {value} }}')
    assert [str(test) for test in found.device] == [expected]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            'device = { "subgroup_size" = 8 }',
            "not a key that devices answer\n"
            '     9 | device = { "subgroup_size" = 8 }\n'
            "       |            ^\n"
            '  expected:  "category::key", such as { "cuda.device::compute_capability_major" = ">= 9" }\n'
            '  found:     the string "subgroup_size"\n'
            "  next:      write category and key with `::` between them",
        ),
        (
            'device = { "vulkan.feature::shader_f16" = true }',
            "no vulkan-spirv device answers this key\n"
            '     9 | device = { "vulkan.feature::shader_f16" = true }\n'
            "       |            ^\n"
            "  expected:  one of vulkan.feature::buffer_device_address, vulkan.feature::physical_storage_buffer64, "
            "vulkan.feature::subgroup_size_control, vulkan.feature::cooperative_matrix_khr, "
            "vulkan.feature::storage_buffer_8bit_access, vulkan.feature::storage_buffer_16bit_access, "
            "vulkan.feature::shader_float16, vulkan.feature::shader_float64 and 6 more\n"
            '  found:     the string "vulkan.feature::shader_f16"\n'
            "  next:      did you mean `vulkan.feature::shader_float16`?",
        ),
        (
            'device = { "vulkan.device::subgroup_size" = "about 8" }',
            "not a test of an integer\n"
            '     9 | device = { "vulkan.device::subgroup_size" = "about 8" }\n'
            "       |                                             ^\n"
            '  expected:  true, false, an integer, or a comparison such as ">= 9"\n'
            '  found:     the string "about 8"\n'
            "  next:      devices answer with integers; a feature that is there is 1",
        ),
        (
            'device = { "vulkan.device::subgroup_size" = 8.5 }',
            "has the wrong type\n"
            '     9 | device = { "vulkan.device::subgroup_size" = 8.5 }\n'
            "       |                                             ^\n"
            '  expected:  true, false, an integer, or a comparison such as ">= 9"\n'
            "  found:     the number 8.5\n"
            "  next:      docs/manifest.md explains the keys of kernel.toml; `iree-substitute new` writes a kernel "
            "that works",
        ),
        (
            'device = { "vulkan.device::subgroup_size" = 8 }\nvariant = "sm_90a"',
            "only CUDA has variants by architecture\n"
            '    10 | variant = "sm_90a"\n'
            "       | ^\n"
            '  expected:  backend = "cuda"\n'
            '  found:     backend = "vulkan-spirv"\n'
            "  next:      remove variant: elsewhere `device` says all that the payload needs",
        ),
    ],
)
def test_what_a_manifest_cannot_ask(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        manifest(tmp_path, line)
    assert str(caught.value).partition(": ")[2].partition(": ")[2] == message


def test_an_architecture_needs_a_question(tmp_path: Path) -> None:
    ptx = marked_matmul("ptx", 1)
    ptx.kind, ptx.backend, ptx.payload = "ptx", "cuda", ".version 8.0"
    ptx.keys, ptx.operands, ptx.definition = {"abi": "raw", "bindings": 3, "dispatches": ["x"]}, (), ""
    ptx.target, ptx.workgroup_count = {"variant": "hopper"}, ("1", "1", "1")
    folder = ptx.write(tmp_path / "kernel")
    with pytest.raises(ManifestError) as caught:
        parse_manifest((folder / "kernel.toml").read_text(), folder / "kernel.toml")
    assert caught.value.what == "not an architecture"
    assert caught.value.details.endswith("target[0].variant: `variant` without `device`")
    ptx.target = {"variant": "sm_90a", "device": {"cuda.device::compute_capability_major": 9}}
    text = (ptx.write(tmp_path / "kernel") / "kernel.toml").read_text()
    assert parse_manifest(text, folder / "kernel.toml").kernel.targets[0].variant == "sm_90a"


def test_answers() -> None:
    for relation, passing in (("==", {3}), ("!=", {2, 4}), ("<", {2}), ("<=", {2, 3}), (">", {4}), (">=", {3, 4})):
        (test,) = device(f"cuda.device::compute_capability_major {relation} 3")
        assert {answer for answer in (2, 3, 4) if passes_test(test, answer)} == passing


def test_one_target_that_asks_nothing_is_enough() -> None:
    certain, asking = rule(), rule("cuda.device::compute_capability_major >= 9")
    other = rule(backend="vulkan-spirv")
    found = target("cuda")
    assert select_target_rules((other, asking), found) == (asking,)
    assert select_target_rules((asking, certain), found) == (certain,)
    assert select_target_rules((other,), found) == ()
    assert select_target_rules((asking, asking), found) == (asking, asking)


def test_kernels_that_exclude_each_other() -> None:
    major = "cuda.device::compute_capability_major"
    nine, eight = rule(f"{major} == 9"), rule(f"{major} == 8", "cuda.device::compute_capability_minor >= 6")
    assert exclude_each_other([nine], [eight])
    assert exclude_each_other([rule(f"{major} >= 9")], [rule(f"{major} < 9")])
    assert not exclude_each_other([nine], [rule(f"{major} >= 8")])
    assert not exclude_each_other([nine], [eight, rule(f"{major} != 8")])
    assert not exclude_each_other([nine], [rule("cuda.device::compute_capability_minor == 8")])
    assert not exclude_each_other([nine], [rule()])


def test_what_a_cpu_was_asked_may_be_used() -> None:
    plain = target("llvm-cpu", cpu_features="+sse3,-avx2")
    asking = rule("hal.cpu::avx2 != 0", "hal.cpu::fma >= 1", "hal.cpu::avx512f == 0", backend="llvm-cpu")
    assert find_tested_features(asking) == ("avx2", "fma")
    assert derive_target(plain, asking).features == {"sse3", "avx2", "fma"}
    assert derive_target(plain, rule(backend="llvm-cpu")) == plain
    assert derive_target(target("llvm-cpu"), asking).get("cpu_features") == "+avx2,+fma"


def test_what_a_gpu_was_asked_may_be_used() -> None:
    from substitute.match.target import architecture
    from substitute.payload.spirv import capabilities_of

    plain = target("vulkan-spirv", **{"iree_codegen.target_info": INFO.format("vp_android_baseline_2022")})
    asking = rule("vulkan.feature::shader_float16 != 0", "vulkan.feature::storage_buffer_16bit_access == 1")
    assert not {"Float16", "StorageBuffer16BitAccess"} & capabilities_of(plain)
    assert {"Float16", "StorageBuffer16BitAccess"} <= capabilities_of(derive_target(plain, asking))
    lacking = rule("vulkan.feature::shader_float16 == 0", "vulkan.device::subgroup_size >= 1")
    assert derive_target(plain, lacking) == plain
    cuda = target("cuda", **{"iree_codegen.target_info": INFO.format("sm_80")})
    hopper = rule("cuda.device::compute_capability_major == 9", variant="sm_90a")
    assert architecture(derive_target(cuda, hopper)) == "sm_90a"
    assert architecture(derive_target(cuda, rule("cuda.device::compute_capability_major == 9"))) == "sm_80"
