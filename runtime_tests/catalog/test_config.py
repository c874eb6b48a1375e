"""Selection by any key of a target's configuration: what is read, what fits, and the near misses."""

from __future__ import annotations

from pathlib import Path

import pytest

from substitute.catalog.manifest import parse_manifest
from substitute.errors import ManifestError
from substitute.match.target import check_target
from substitute.model.dispatch import Target
from substitute.model.kernel import ConfigTest, Kernel
from substitute.model.plan import Rule

pytestmark = pytest.mark.unit

TEXT = """\
schema = 1
name = "k"
kinds = ["copy"]
[[target]]
backend = "cuda"
config = { CONFIG }
[payload]
kind = "iree"
[launch]
workgroup_count = ["1", "1", "1"]
"""
GPU = Target(
    backend="cuda",
    format="cuda-nvptx-fb",
    config=(
        ("cpu_features", "+avx2,+fma,-sse4a"),
        (
            "iree_codegen.target_info",
            '#iree_gpu.target<arch = "sm_80", wgp = <compute = fp32|int32, sizes = [32, 64], threads = 1024>>',
        ),
        ("stack", "32768 : i64"),
        ("triple", "x86_64-unknown-unknown-eabi-elf"),
        ("ukernels", "false"),
    ),
)


def kernel(folder: Path, config: str) -> Kernel:
    return parse_manifest(TEXT.replace("CONFIG", config), folder / "kernel.toml").kernel


def checked(folder: Path, config: str) -> Rule:
    return check_target(kernel(folder, config).targets, GPU)


@pytest.mark.parametrize(
    "config",
    [
        "stack = 32768",
        "ukernels = false",
        'triple = "x86_64-*"',
        'triple = ["aarch64-*", "x86_64-unknown-*"]',
        "stack = { min = 1, max = 65536 }",
        'cpu_features = "*+fma*"',
        "stack = [1, 32768]",
        "cpu_features = { regex = '.*\\+avx2(,.*)?' }",
        '"iree_codegen.target_info" = { arch = "sm_80" }',
        '"iree_codegen.target_info" = { wgp = { compute = "int32", sizes = [64], threads = { min = 512 } } }',
        '"iree_codegen.target_info" = { arch = { regex = "sm_[89].*" }, wgp = { sizes = { "1" = 64 } } }',
        '"iree_codegen.target_info" = "*sm_80*"',
        "stack = { any_of = [1, 32768], max = 40000 }",
    ],
)
def test_what_fits(tmp_path: Path, config: str) -> None:
    assert checked(tmp_path, config).passed


@pytest.mark.parametrize(
    ("config", "name", "expected", "found"),
    [
        ("stack = 4096", "stack", "4096", "32768 : i64"),
        ('triple = "aarch64-*"', "triple", "aarch64-*", "x86_64-unknown-unknown-eabi-elf"),
        ('ukernels = ["all", "some"]', "ukernels", "all or some", "false"),
        ("stack = { min = 65536 }", "stack", "at least 65536", "32768 : i64"),
        ("triple = { max = 3 }", "triple", "at most 3", "x86_64-unknown-unknown-eabi-elf"),
        ("triple = { regex = 'x86' }", "triple", "something that matches x86", "x86_64-unknown-unknown-eabi-elf"),
        (
            '"iree_codegen.target_info" = { wgp = { threads = { min = 2048 } } }',
            "iree_codegen.target_info.wgp.threads",
            "at least 2048",
            "1024",
        ),
        (
            '"iree_codegen.target_info" = { wgp = { thread = 1024 } }',
            "iree_codegen.target_info.wgp.thread",
            "1024",
            "(not there; there is compute, sizes, threads)",
        ),
        (
            'ukernel = ["all"]',
            "ukernel",
            "all",
            "(not there; there is cpu_features, iree_codegen.target_info, stack, triple, ukernels)",
        ),
    ],
)
def test_near_misses(tmp_path: Path, config: str, name: str, expected: str, found: str) -> None:
    assert checked(tmp_path, config) == Rule(name=f"target.config.{name}", passed=False, expected=expected, found=found)


def test_plain_values_and_tests(tmp_path: Path) -> None:
    (rule,) = kernel(tmp_path, 'a = 3, b = "x", c = { d = [1, "y?"] }').targets
    assert rule.config == (("a", "3"), ("b", "x"))
    assert rule.config_tests == (ConfigTest(path=("c", "d"), any_of=("1", "y?")),)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("a = 1.5", ["kernel.toml:6: target[0].config.a: has the wrong type", "the number 1.5"]),
        ("a = []", ["target[0].config.a: has the wrong type", "an empty array"]),
        ("a = {}", ["target[0].config.a: has the wrong type", "a table"]),
        ("a = [[1]]", ["target[0].config.a: has the wrong type", "the array [1]"]),
        ("a = { b = 2.5 }", ["target[0].config.a.b: has the wrong type", "the number 2.5"]),
        ('a = { min = "2" }', ["target[0].config.a.min: has the wrong type", 'the string "2"']),
        ('a = { regex = "(" }', ["target[0].config.a.regex: not a regular expression: missing )"]),
        ('a = { regex = "x", mim = 3 }', ["target[0].config.a.mim: unknown key `mim`", "any_of, regex, min, max"]),
    ],
)
def test_mistakes(tmp_path: Path, config: str, words: list[str]) -> None:
    with pytest.raises(ManifestError) as caught:
        kernel(tmp_path, config)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('kind = "iree"', 'kind = "iree"\nfile = "x"', "payload.file: `file` is not for a payload of kind `iree`"),
        ("[launch]\nworkgroup_count", "# ", 'payload.kind: kind = "iree" changes nothing here'),
        (
            "[launch]\n",
            "[launch]\nworkgroup_size = [1, 1, 1]\n",
            "launch.workgroup_size: IREE's code generation decides the workgroup_size of its own code",
        ),
        ("[launch]\n", '[launch]\ncompilation_info = "x"\n', "launch.workgroup_count: two ways to say how many"),
        ('kind = "iree"', 'kind = "rule"', "payload: the key `file` is missing"),
        (
            'kinds = ["copy"]',
            'kinds = ["copy"]\nabi = "raw"\nbindings = 1',
            "abi: a payload of kind `iree` has no raw form",
        ),
    ],
)
def test_what_does_not_go_together(tmp_path: Path, old: str, new: str, words: str) -> None:
    text = TEXT.replace("config = { CONFIG }\n", "")
    assert old in text
    with pytest.raises(ManifestError) as caught:
        parse_manifest(text.replace(old, new), tmp_path / "kernel.toml")
    assert words in str(caught.value)


def test_a_rule_has_no_launch_geometry(tmp_path: Path) -> None:
    (tmp_path / "rule.py").write_text("")
    text = TEXT.replace("config = { CONFIG }\n", "").replace('"iree"', '"rule"\nfile = "rule.py"')
    with pytest.raises(ManifestError, match=r"launch\.workgroup_count: IREE compiles this body"):
        parse_manifest(text, tmp_path / "kernel.toml")
    rule = parse_manifest(text.partition("[launch]")[0], tmp_path / "kernel.toml").kernel
    assert (rule.payload.kind.name, rule.payload.entry, rule.payload.path) == ("rule", "", tmp_path / "rule.py")
