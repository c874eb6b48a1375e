"""Object files as C compilers make them: what links, what is refused before IREE's linker sees it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from runtime_tests.kinds.programs import MARK, KernelFolder, Operand, build, floats, generic, object_file
from substitute.device import run_module
from substitute.errors import PayloadError
from substitute.payload.rename import rename_symbols
from substitute.payload.sniff import read_object

pytestmark = pytest.mark.device

VECTOR = "tensor<?xf32>"
BODY = "  ^bb0(%p: f32, %q: f32, %o: f32):\n    %s = arith.subf %p, %q : f32\n    linalg.yield %s : f32"
DEFINITION = f"""
func.func @subtract(%a: {VECTOR}, %b: {VECTOR}) -> {VECTOR} {{
  %c0 = arith.constant 0 : index
  %n = tensor.dim %a, %c0 : {VECTOR}
  %e = tensor.empty(%n) : {VECTOR}
  %r = {generic(["i"] * 3, f"%a, %b : {VECTOR}, {VECTOR}", f"%e : {VECTOR}", BODY, VECTOR, dims="i")}
  return %r : {VECTOR}
}}
"""
MODEL = DEFINITION.replace("@subtract", "@main").replace("?x", "96x").replace("tensor.empty(%n)", "tensor.empty()")

LOOP = """
define void @kernel(ptr %a, ptr %b, ptr %c, i64 %N, i64 %x, i64 %y, i64 %z) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %pa = getelementptr float, ptr %a, i64 %i
  %pb = getelementptr float, ptr %b, i64 %i
  %pc = getelementptr float, ptr %c, i64 %i
  %va = load float, ptr %pa
  %vb = load float, ptr %pb
  %d = fsub float %va, %vb
  %s = call float @own(float %d)
  store float %s, ptr %pc
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %N
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""
OWN = {
    "a function": "define float @own(float %v) noinline {\n  %s = fadd float %v, MARK\n  ret float %s\n}",
    "a constant": """@table = constant [2 x float] [float 0.0, float MARK]
define float @own(float %v) noinline {
  %p = getelementptr float, ptr @table, i64 1
  %m = load volatile float, ptr %p
  %s = fadd float %v, %m
  ret float %s
}""",
    "a variable": """@counter = global float MARK
define float @own(float %v) noinline {
  %m = load volatile float, ptr @counter
  %s = fadd float %v, %m
  ret float %s
}""",
    "zeroes": """@room = global [4 x float] zeroinitializer
define float @own(float %v) noinline {
  store volatile float MARK, ptr @room
  %m = load volatile float, ptr @room
  %s = fadd float %v, %m
  ret float %s
}""",
    "pointers": """@functions = constant [2 x ptr] [ptr @zero, ptr @marked]
define float @zero(float %v) {
  ret float 0.0
}
define float @marked(float %v) {
  %s = fadd float %v, MARK
  ret float %s
}
define float @own(float %v) noinline {
  %p = getelementptr ptr, ptr @functions, i64 1
  %f = load volatile ptr, ptr %p
  %s = call float %f(float %v)
  ret float %s
}""",
}
OPERANDS = [Operand(name, "N") for name in "abc"]


def make_object(own: str, *, relocation: str = "pic") -> bytes:
    text = LOOP + own.replace("MARK", f"{MARK}.0")
    return object_file(text, relocation=relocation)


def folder_of(data: bytes, folder: Path) -> Path:
    return KernelFolder(data, kind="object", definition=DEFINITION, operands=OPERANDS).write(folder)


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
