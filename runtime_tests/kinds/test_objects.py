"""Object files as C compilers make them: what links, what is refused before IREE's linker sees it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from runtime_tests.kinds.objects import DEFINITION, MODEL, OPERANDS, OWN, folder_of, make_object
from runtime_tests.kinds.programs import MARK, KernelFolder, build, floats
from substitute.device import run_module
from substitute.errors import PayloadError
from substitute.payload.rename import rename_symbols
from substitute.payload.sniff import read_object

pytestmark = pytest.mark.device


@pytest.mark.parametrize("own", OWN)
def test_objects_with_data_and_functions_of_their_own(tmp_path: Path, own: str) -> None:
    built = build(tmp_path, MODEL, [folder_of(make_object(OWN[own]), tmp_path / "kernel")])
    a, b = floats(96), floats(96, seed=4)
    (found,) = run_module(built.vmfb, device="local-sync", inputs=[a, b])
    np.testing.assert_allclose(found, a - b + MARK, rtol=1e-5, atol=1e-5)


def test_helpers_of_two_objects_do_not_meet(tmp_path: Path) -> None:
    """Both call their helper `own`, and the linker would take the first for both."""
    other = MODEL.replace("@main", "@other").replace("96x", "64x")
    folders = []
    for number, mark in (("0", "3.0"), ("1", "90.0")):
        data = make_object(OWN["a function"].replace("MARK", mark))
        kernel = KernelFolder(data, kind="object", name=f"marked{number}", definition=DEFINITION, operands=OPERANDS)
        kernel.keys = {"constraints": [f"N == {(96, 64)[int(number)]}"]}
        folders.append(kernel.write(tmp_path / number))
    built = build(tmp_path, MODEL + other, folders, substituted=2)
    for name, size, mark in (("main", 96, 3), ("other", 64, 90)):
        a, b = floats(size), floats(size, seed=4)
        (found,) = run_module(built.vmfb, device="local-sync", function=name, inputs=[a, b])
        np.testing.assert_allclose(found, a - b + mark, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("own", "relocation", "what", "found"),
    [
        ("declare float @own(float)", "pic", "the object file needs what the link does not have", "own"),
        (OWN["pointers"], "static", "the object file is not position-independent", r"R_\w+ in \.(text|rodata)"),
    ],
)
def test_what_the_linker_would_refuse(tmp_path: Path, own: str, relocation: str, what: str, found: str) -> None:
    with pytest.raises(PayloadError) as caught:
        build(tmp_path, MODEL, [folder_of(make_object(own, relocation=relocation), tmp_path / "kernel")])
    assert caught.value.what == what
    assert re.fullmatch(rf".*\b{found}.*", caught.value.found)
    assert caught.value.where.endswith("payload.o")


def test_rename() -> None:
    """Every defined global symbol gets its new name, whatever its length; what others have to define keeps its own."""
    data = make_object("declare float @own(float)")
    for suffix in ("", "_a_name_that_is_longer_than_all_the_others" * 20):
        facts = read_object(rename_symbols(data, lambda symbol, end=suffix: f"{symbol}{end}"))
        assert facts.functions == (f"kernel{suffix}",)
        assert "own" in facts.undefined
