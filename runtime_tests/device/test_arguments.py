"""`--input` and `--output` values, what they mean and what is said about wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from substitute.device import ValueType, format_value, parse_input, parse_inputs, write_output
from substitute.device.value_type import ELEMENT_TYPES, element_dtype, parse_declaration, parse_value_type, type_of
from substitute.errors import UsageError

pytestmark = pytest.mark.unit

NEXT = "write SHAPExTYPE=VALUES such as '2x3xf32=1 2 3 4 5 6', SHAPExTYPE=@file.bin, @file.npy, or a number"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", np.array(5, np.int32)),
        ("-7", np.array(-7, np.int32)),
        ("9999999999", np.array(9999999999, np.int64)),
        ("2.5", np.array(2.5, np.float32)),
        ("1e3", np.array(1000, np.float32)),
        ("i32=5", np.array(5, np.int32)),
        ("xf64=5", np.array(5, np.float64)),
        ("2x3xf32", np.zeros((2, 3), np.float32)),
        ("2x3xf32=4", np.full((2, 3), 4, np.float32)),
        ("2x3xf32=1 2 3 4 5 6", np.array([[1, 2, 3], [4, 5, 6]], np.float32)),
        ("2x3xf32=[[1,2,3],[4,5,6]]", np.array([[1, 2, 3], [4, 5, 6]], np.float32)),
        ("2x3xi8=[1 2 3][-4 5 0x10]", np.array([[1, 2, 3], [-4, 5, 16]], np.int8)),
        ("4xf32=nan inf -inf -0", np.array([np.nan, np.inf, -np.inf, -0.0], np.float32)),
        ("4xi1=1 0 true FALSE", np.array([True, False, True, False])),
        ("2xbf16=1.5 -2", np.array([1.5, -2], ml_dtypes.bfloat16)),
        ("2xcomplex<f32>=1+2j 3", np.array([1 + 2j, 3], np.complex64)),
        ("0xf32", np.zeros(0, np.float32)),
        ("2xui8=255 1", np.array([255, 1], np.uint8)),
    ],
)
def test_values(text: str, expected: Any) -> None:
    value = parse_input(text)
    assert value.dtype == expected.dtype and value.shape == expected.shape
    np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize(
    ("text", "column", "what", "expected", "found"),
    [
        ("2x3xf32=1 2 3", 14, "wrong number of values", "6 values for 2x3xf32, or one for all", "3"),
        ("2xf32=1 2 3", 11, "wrong number of values", "2 values for 2xf32, or one for all", "3"),
        ("2x?xf32=1", 3, "a size is open", "a number for each dimension", "2x?xf32"),
        ("2xi8=300 1", 6, "a value out of range", "-128 to 127 for int8", "300"),
        ("2xf32=1 a", 9, "not a value of this type", "a number of type float32", "a"),
        ("2xi32=1 2.5", 9, "not a value of this type", "a number of type int32", "2.5"),
        ("2xi1=1 2", 8, "not a value of this type", "a number of type bool", "2"),
        ("99999999999999999999", 1, "a number beyond 64 bits", "an integer of at most 64 bits", "99999999999999999999"),
        ("@none.npy", 2, "the file cannot be read", "a readable file", "No such file or directory"),
        ("2xf32=@none.bin", 8, "the file cannot be read", "a readable file", "No such file or directory"),
    ],
)
def test_mistakes_are_pointed_at(text: str, column: int, what: str, expected: str, found: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_input(text)
    assert str(caught.value) == (
        f"--input: {what}\n"
        f"     1 | {text}\n"
        f"       | {' ' * (column - 1)}^\n"
        f"  expected:  {expected}\n"
        f"  found:     {found}\n"
        f"  next:      {NEXT}"
    )


@pytest.mark.parametrize(("text", "column"), [("2x3xf33=1", 5), ("", 1), ("4x", 3), ("f32x4=1", 1), ("+x.npy", 1)])
def test_unknown_element_type(text: str, column: int) -> None:
    with pytest.raises(UsageError) as caught:
        parse_input(text)
    assert caught.value.what == "no such element type"
    assert caught.value.source is not None and caught.value.source.column == column


@pytest.mark.parametrize("name", [name for name in ELEMENT_TYPES if element_dtype(name).itemsize > 1 or name == "i8"])
def test_raw_files_of_every_type(name: str, tmp_path: Path) -> None:
    value = np.arange(6).astype(element_dtype(name)).reshape(2, 3)
    path = tmp_path / "value.bin"
    assert write_output(value, f"@{path}") is None
    read = parse_input(f"2x3x{name}=@{path}")
    assert read.dtype == value.dtype
    np.testing.assert_array_equal(read, value)
    with pytest.raises(UsageError, match="the file has the wrong size"):
        parse_input(f"2x4x{name}=@{path}")


def test_numpy_files(tmp_path: Path) -> None:
    first, second = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([True, False])
    path = tmp_path / "two.npy"
    write_output(first, f"@{path}")
    write_output(second, f"+{path}")
    values = parse_inputs([f"@{path}", "5"])
    assert [v.dtype for v in values] == [np.float32, np.bool_, np.int32]
    np.testing.assert_array_equal(values[0], first)
    np.testing.assert_array_equal(values[1], second)
    with pytest.raises(UsageError, match="several values where one is wanted"):
        parse_input(f"@{path}")
    write_output(first, f"@{path}")
    np.testing.assert_array_equal(parse_input(f"2x3xf32=@{path}"), first)
    with pytest.raises(UsageError, match="the file holds something else"):
        parse_input(f"3x2xf32=@{path}")


def test_bfloat16_in_a_numpy_file_keeps_its_type(tmp_path: Path) -> None:
    value = np.array([1.5, -3], ml_dtypes.bfloat16)
    write_output(value, f"@{tmp_path}/b.npy")
    read = parse_input(f"@{tmp_path}/b.npy")
    assert read.dtype == value.dtype
    np.testing.assert_array_equal(read, value)


def test_rubbish_in_place_of_a_numpy_file(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    for content in (b"", b"rubbish", b"\x93NUMPY\x01\x00"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"not a NumPy file|an empty file"):
            parse_input(f"@{path}")
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(UsageError, match="not a NumPy file"):
        parse_input(f"@{path}")


def test_outputs(tmp_path: Path) -> None:
    value = np.array([[1, 2.5], [1e-9, 1e9]], np.float32)
    assert write_output(value, "-") == "2x2xf32=[1 2.5][1e-09 1e+09]"
    path = tmp_path / "out.bin"
    write_output(value, f"+{path}")
    write_output(value, f"+{path}")
    assert path.read_bytes() == value.tobytes() * 2
    with pytest.raises(UsageError, match="not an output"):
        write_output(value, "out.npy")
    with pytest.raises(UsageError, match="the output cannot be written"):
        write_output(value, f"@{tmp_path}/none/out.npy")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.npy"
    write_output(np.ones(3), f"@{path}")
    before = path.read_bytes()

    def fail(file: Any, value: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", fail)
    with pytest.raises(UsageError, match="the output cannot be written"):
        write_output(np.zeros(3), f"@{path}")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_long_values_are_cut() -> None:
    assert format_value(np.arange(5), elements=3) == "5xi64=0 1 2 … (2 more)"


@given(st.data())
def test_what_is_printed_can_be_read(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 3), max_size=3)))
    name = data.draw(st.sampled_from([n for n in ELEMENT_TYPES if element_dtype(n).kind in "iufb"]))
    dtype = element_dtype(name)
    bits = data.draw(st.binary(min_size=int(np.prod(shape)) * dtype.itemsize, max_size=int(np.prod(shape)) * 8))
    raw = np.frombuffer(bits[: int(np.prod(shape)) * dtype.itemsize], np.uint8)
    value = (raw & 1 if name == "i1" else raw).view(dtype).reshape(shape)
    read = parse_input(format_value(value))
    assert read.dtype == value.dtype and read.shape == value.shape
    if dtype.kind == "f":  # NumPy does not know the NaN of every type
        read, value = read.astype(np.float64), value.astype(np.float64)
    np.testing.assert_array_equal(read, value)


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 99)), max_size=4),
    st.sampled_from(list(ELEMENT_TYPES)),
    st.booleans(),
)
def test_types_are_printed_and_read(shape: list[int | None], element: str, scalar: bool) -> None:
    kind = ValueType(element=element, shape=None if scalar else tuple(shape))
    assert parse_value_type(str(kind)) == kind


def test_declarations() -> None:
    text = (
        "sync func @f(%input0: tensor<3xcomplex<f32>>, %input1: tensor<?x4xf32> {iree.abi.output = 0 : index}, "
        "%input2: !hal.buffer_view, %input3: index) -> (%output0: tensor<f32>, %output1: f32)"
    )
    assert str(parse_declaration("f", text)) == (
        "f(3xcomplex<f32>, ?x4xf32, !hal.buffer_view, scalar index) -> (f32, scalar f32)"
    )
    assert str(parse_declaration("g", "sync func @g() -> ()")) == "g() -> ()"


def test_what_fits_a_type() -> None:
    kind = parse_value_type("?x4xi32")
    assert kind.fits(np.zeros((7, 4), np.int32)) and kind.fits(np.zeros((7, 4), np.uint32))
    for wrong in (np.zeros((7, 5), np.int32), np.zeros(4, np.int32), np.zeros((7, 4), np.int64)):
        assert not kind.fits(wrong)
    whole = ValueType(element="i32", shape=None)
    assert whole.fits(np.array(3)) and not whole.fits(np.array(3.5)) and not whole.fits(np.zeros(1, np.int32))
    assert ValueType(element="f32", shape=None).fits(np.array(3))
    assert str(type_of(np.zeros((2, 0), ml_dtypes.bfloat16))) == "2x0xbf16"
