"""Executable constants: numbers, and what the device answers, on Vulkan; refusals elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime_tests.kinds.programs import build, floats, run
from runtime_tests.rules.folders import DOUBLE, SPIRV, VULKAN_FLAGS, elementwise, kernel
from substitute.catalog.manifest import parse_manifest
from substitute.errors import ManifestError, PayloadError

pytestmark = pytest.mark.device

MANIFEST = """
name = "marks"
[operands]
x = ["N"]
y = ["N"]
[[target]]
backend = "vulkan-spirv"
[payload]
kind = "glsl"
file = "kernel.comp"
entry = "main"
[launch]
workgroup_size = [64, 1, 1]
workgroup_count = ["ceildiv(N, 64)", "1", "1"]
"""
CONSTANT = "[[executable_constant]]\nname = '{}'\n{}\n"
GLSL = """
layout(constant_id = 0) const uint FIRST = 1000;
layout(constant_id = 1) const uint SECOND = 2000;
void main() {
  int i = int(gl_GlobalInvocationID.x);
  if (i < N) store_y(i, float(i % 2 == 0 ? FIRST : SECOND));
}
"""


def marks(folder: Path, *constants: str, text: str = GLSL) -> Path:
    tables = "".join(CONSTANT.format(f"c{at}", keys) for at, keys in enumerate(constants))
    return kernel(folder, MANIFEST + tables, {"kernel.comp": text, "definition.mlir": elementwise(DOUBLE, "?")})


def written(tmp_path: Path, folder: Path) -> list[float]:
    (found,) = run(tmp_path, elementwise(DOUBLE), [folder], [floats(24, 32)], device="vulkan", flags=VULKAN_FLAGS)
    return [float(v) for v in np.asarray(found).ravel()[:2]]


@pytest.mark.usefixtures("vulkan_device")
def test_values_and_expressions(tmp_path: Path) -> None:
    assert written(tmp_path, marks(tmp_path / "k", "value = 7", "value = 'N // 2 + 1'")) == [7, 24 * 32 // 2 + 1]


@pytest.mark.usefixtures("vulkan_device")
def test_the_device_is_asked(tmp_path: Path) -> None:
    """The default is nothing that a device would answer."""
    query = "query = 'vulkan.device::subgroup_size'\ndefault = 4097"
    first, second = written(tmp_path, marks(tmp_path / "k", query, "value = 3"))
    assert first in (1, 2, 4, 8, 16, 32, 64, 128)
    assert second == 3


@pytest.mark.usefixtures("vulkan_device")
def test_twin_without_constants_the_shader_keeps_its_own(tmp_path: Path) -> None:
    assert written(tmp_path, marks(tmp_path / "k")) == [1000, 2000]


@pytest.mark.usefixtures("vulkan_device")
def test_two_kernels_with_constants_in_one_module(tmp_path: Path) -> None:
    """IREE links shaders that it makes; constants of one must not reach the other."""
    manifest = (
        MANIFEST.replace("glsl", "spirv-dialect").replace("kernel.comp", "body.mlir").replace('"main"', '"tripled"')
    )
    manifest = manifest.replace("workgroup_size = [64, 1, 1]\n", "").replace("64", "32")
    factor = SPIRV.replace(
        "%three = spirv.Constant 3.0 : f32",
        "%w = spirv.mlir.referenceof @w : i32\n    %three = spirv.ConvertUToF %w : i32 to f32",
    )
    factor = factor.replace("spirv.func", "spirv.SpecConstant @w spec_id(1) = 1 : i32\n  spirv.func", 1)
    folders = []
    for name, value in (("one", 5), ("two", 7)):
        tables = CONSTANT.format("size", "value = 'N'") + CONSTANT.format("factor", f"value = {value}")
        own = manifest.replace('"marks"', f'"{name}"\ndispatches = ["{name}_dispatch"]') + tables
        files = {"body.mlir": factor, "definition.mlir": elementwise(DOUBLE, "?")}
        folders.append(kernel(tmp_path / name, own, files))
    model = elementwise(DOUBLE, "24x32", name="one") + elementwise(DOUBLE, "8x4", name="two")
    built = build(tmp_path, model, folders, flags=VULKAN_FLAGS, substituted=2)
    from substitute import Session

    with Session(built.vmfb, device="vulkan") as session:
        for name, x, by in (("one", floats(24, 32), 5), ("two", floats(8, 4), 7)):
            (found,) = session.call(name, [x])
            np.testing.assert_allclose(np.asarray(found), by * x, rtol=1e-6)


def test_nothing_reads_it(tmp_path: Path) -> None:
    folder = marks(tmp_path / "k", "value = 1", "value = 2", "value = 3")
    with pytest.raises(PayloadError) as caught:
        build(tmp_path, elementwise(DOUBLE), [folder], flags=VULKAN_FLAGS)
    assert caught.value.what == "nothing reads an executable constant"
    assert (caught.value.expected, caught.value.found) == ("SpecId 2 for c2", "SpecId 0, SpecId 1")


def test_a_size_that_only_the_launch_knows(tmp_path: Path) -> None:
    kernels = [marks(tmp_path / "k", "value = 'N'", "value = 1")]
    refused = build(tmp_path, elementwise(DOUBLE, "?"), kernels, flags=VULKAN_FLAGS, substituted=0)
    rule = refused.plan.decisions[0].rules[-1]
    assert (rule.name, rule.found) == ("payload.frozen", "N, for the constant c0, is known at launch only")
    build(tmp_path, elementwise(DOUBLE, "64"), kernels, flags=VULKAN_FLAGS)


def refused(folder: Path, text: str) -> str:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(text, folder / "kernel.toml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("", ["executable_constant[0]: a constant has either a value or a query", "found:     neither"]),
        ("value = 1\nquery = 'vulkan.device::subgroup_size'\ndefault = 1", ["found:     both"]),
        ("query = 'vulkan.device::subgroup_size'", ["executable_constant[0]: the key `default` is missing"]),
        ("value = 1\ndefault = 2", ["executable_constant[0].default: `default` is for queries"]),
        (
            "query = 'vulkan.device::subgroup_sise'\ndefault = 1",
            ["executable_constant[0].query: no device answers this", "did you mean `vulkan.device::subgroup_size`?"],
        ),
        ("value = 'Q + 1'", ["executable_constant[0].value: unknown axis `Q`"]),
        ("valu = 1", ["executable_constant[0].valu: unknown key `valu`", "did you mean `value`?"]),
    ],
)
def test_wrong_constants(tmp_path: Path, keys: str, words: list[str]) -> None:
    folder = marks(tmp_path / "k", keys)
    message = refused(folder, (folder / "kernel.toml").read_text())
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("backend", "kind", "words"),
    [
        ("llvm-cpu", "llvm-ir", "llvm-cpu has no executable constants"),
        ("cuda", "ptx", "cuda has no executable constants"),
        ("vulkan-spirv", "mlir", "a payload of kind `mlir` cannot read constants"),
    ],
)
def test_where_there_are_none(tmp_path: Path, backend: str, kind: str, words: str) -> None:
    folder = marks(tmp_path / "k", "value = 1")
    text = (folder / "kernel.toml").read_text().replace("vulkan-spirv", backend).replace('"glsl"', f'"{kind}"')
    assert words in refused(folder, text)
