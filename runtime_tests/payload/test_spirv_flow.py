"""Loads of variables that nothing stored to are found in SPIR-V, and right shaders pass."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from runtime_tests.faults.shaders import shader_controls
from substitute.errors import PayloadError
from substitute.payload.glsl.compile import compile_glsl
from substitute.payload.spirv import read_module, verify, write_module
from substitute.payload.spirv.flow import blocks
from substitute.payload.spirv.module import OP_FUNCTION, OP_NAME, OP_TYPE_INT, Instruction

SHADER = """#version 450
layout(local_size_x = 4) in;
layout(set = 0, binding = 0) buffer A { float a[]; };
float twice(float x) { return x + x; }
void main() {
  int i = int(gl_GlobalInvocationID.x);
  BODY
}
"""
RIGHT = (
    "float s = 0.0; for (int k = 0; k < i; ++k) s += a[k]; a[i] = s;",
    "float s; s = 0.0; for (int k = 0; k < i; ++k) s += a[k]; a[i] = s;",
    # a body that may run no time
    "float s; for (int k = 0; k < i; ++k) { s = a[k]; a[k] = s + 1.0; }",
    "float s; for (int k = 0; k < i; ++k) { if (k == 0) s = a[k]; else s += a[k]; } if (i > 0) a[i] = s;",
    "float s; int k = 0; do { s = a[k]; ++k; } while (k < i); a[i] = s;",
    # what is right for a reason that no path shows
    "float s; if (i < 3) s = a[i]; barrier(); if (i < 3) a[0] = s;",
    "float s; if (i < 3) s = a[i]; barrier(); a[i] = i < 3 ? s : 0.0;",
    "float s; switch (i) { case 0: s = 1.0; break; case 7: s = 2.0; break; default: s = 3.0; } a[i] = s;",
    "float s; if (i < 3) s = 1.0; else s = 2.0; a[i] = s;",
    # by parts, and through calls
    "vec4 v; v.x = a[0]; v.y = 1.0; a[i] = v.x + v.y;",
    "vec4 v; for (int k = 0; k < 4; ++k) v[k] = a[k]; a[i] = dot(v, v);",
    "float parts[4]; for (int k = 0; k < 4; ++k) parts[k] = a[k]; a[i] = parts[3];",
    "float whole; float s = modf(a[i], whole); a[i] = whole + s;",
    "float s; s = twice(a[i]); a[i] = twice(s);",
    "return; float s; a[i] = s;",
)
WRONG = (
    ("float s; for (int k = 0; k < i; ++k) s += a[k]; a[i] = s;", "s is read, but not every path wrote it"),
    ("float s; a[i] = s;", "s is read, but nothing wrote it"),
    ("int n; while (n < i) { a[n] = 1.0; ++n; }", "n is read, but not every path wrote it"),
    ("bool b; if (i > 3) b = true; else if (b) a[0] = 1.0;", "b is read, but not every path wrote it"),
    ("float s; a[i] = twice(s); s = 1.0;", "s is read, but not every path wrote it"),
    ("vec2 v; for (int k = 0; k < i; ++k) v = v + vec2(a[k]); a[i] = dot(v, v);", "v is read, but not every path"),
    ("uint n; switch (i) { case 5: n = 1u; break; default: n += 1u; } a[i] = float(n);", "n is read, but not every"),
)


@cache
def compiled(body: str) -> bytes:
    return compile_glsl(SHADER.replace("BODY", body), name="kernel.comp")


@pytest.mark.parametrize("body", RIGHT)
def test_right_shaders_pass(body: str) -> None:
    assert verify(compiled(body), entry="main", bindings=1, push_constants=0)


@pytest.mark.parametrize(("body", "words"), WRONG)
def test_what_nothing_wrote_is_found(body: str, words: str) -> None:
    with pytest.raises(PayloadError, match=words):
        verify(compiled(body), entry="main", bindings=1, push_constants=0)


def test_the_load_is_shown() -> None:
    with pytest.raises(PayloadError) as caught:
        verify(compiled(WRONG[1][0]), entry="main", bindings=1, push_constants=0, name="sum.comp")
    error = caught.value
    assert error.source is not None
    assert error.where == f"sum.comp, instruction {error.source.line}"
    assert error.source.text == error.found and " = OpLoad %" in error.source.text
    assert error.next_step.startswith("give it a value where it is declared")


def test_a_variable_without_a_name() -> None:
    module = read_module(compiled(WRONG[1][0]))
    bare = replace(module, instructions=tuple(i for i in module.instructions if i.op != OP_NAME))
    with pytest.raises(PayloadError, match=r"%\d+ is read, but nothing wrote it"):
        verify(write_module(bare), entry="main", bindings=1, push_constants=0)


def test_a_function_without_blocks() -> None:
    assert blocks((Instruction(OP_TYPE_INT, (1, 32, 0)), Instruction(OP_FUNCTION, (1, 2, 0, 3))), 1, 2) == ()


def test_accumulators_of_shaders_are_seen_and_right_ones_pass() -> None:
    found = {}
    for control in (c for c in shader_controls() if c.kind == "spirv"):
        for old, new in (("", ""), ("float sum = 0.0;", "float sum;")):
            binary = compile_glsl(control.source.replace(old, new, 1), name="kernel.comp")
            try:
                verify(binary, entry="main", bindings=3, push_constants=0)
                found[control.name, new] = ""
            except PayloadError as error:
                found[control.name, new] = str(error).partition(": ")[2].partition("\n")[0]
    wrong = {key: words for key, words in found.items() if words}
    assert wrong == {("matmul.spv", "float sum;"): "sum is read, but not every path wrote it"}
    assert len(found) == 4
