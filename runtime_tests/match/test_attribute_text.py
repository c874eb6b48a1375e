"""Attributes as MLIR prints them, looked into."""

import pytest

from substitute.match.attribute_text import find_value, format_value, parse_attribute, scalars

pytestmark = pytest.mark.unit

GPU = (
    '#iree_gpu.target<arch = "sm_80", features = "+ptx76", wgp = <compute = fp32|int32, storage = b32|b16, '
    "mma = [<MFMA_F32>, <WMMA>], subgroup_size_choices = [32], max_workgroup_sizes = [1024, 512, 64], "
    "max_thread_count_per_workgroup = 1024, extra = {a = 3 : i64, b}>>"
)


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("32 : i64", "32"),
        ("true", "true"),
        ('"quoted, = text"', "quoted, = text"),
        ("e-m:e-p270:32:32-n8:16", "e-m:e-p270:32:32-n8:16"),
        ("+avx2,-sse4a", "+avx2,-sse4a"),
        ("[1 : i32, 2 : i32]", ("1", "2")),
        ("#iree_cpu.cpu_encoding_resolver<>", {}),
        ("dense<0> : vector<4x!x<3>>", "dense<0> : vector<4x!x<3>>"),
        ("<unfinished", "<unfinished"),
        ("", ""),
    ],
)
def test_values(text: str, node: object) -> None:
    assert parse_attribute(text) == node


def test_inside() -> None:
    assert find_value(GPU, ("arch",)) == ("sm_80", ())
    assert find_value(GPU, ("wgp", "max_workgroup_sizes", "1")) == ("512", ())
    assert find_value(GPU, ("wgp", "extra")) == ({"a": "3", "1": "b"}, ())
    node, known = find_value(GPU, ("wgp", "max_threads"))
    assert node is None
    assert known[:2] == ("compute", "storage")
    assert find_value("32 : i64", ("a",)) == (None, ())


def test_words() -> None:
    compute, _ = find_value(GPU, ("wgp", "compute"))
    assert compute is not None
    assert scalars(compute) == ("fp32|int32", "fp32", "int32")
    sizes, _ = find_value(GPU, ("wgp", "max_workgroup_sizes"))
    assert sizes is not None
    assert (scalars(sizes), format_value(sizes)) == (("1024", "512", "64"), "[1024, 512, 64]")
    extra, _ = find_value(GPU, ("wgp", "extra"))
    assert extra is not None
    assert format_value(extra) == "<a = 3, 1 = b>"
