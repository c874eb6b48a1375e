"""glslang as a library makes what the program makes, and leaves to the program what it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from substitute.errors import PayloadError
from substitute.payload.glsl.compile import compile_glsl
from substitute.payload.glsl.in_process import compile_in_process
from substitute.payload.programs import find_program, run_program

pytestmark = pytest.mark.unit

SHADER = """#version 450
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
layout(local_size_x = 32) in;
layout(binding = 0) buffer A { float a[]; };
layout(push_constant) uniform P { uint n; };
shared float part[32];
float twice(float x) { return x + x; }
void main() {
  uint i = gl_GlobalInvocationID.x;
  part[gl_LocalInvocationID.x] = i < n ? twice(exp(a[i])) : 0.0;
  barrier();
  if (i < n) a[i] = part[31 - gl_LocalInvocationID.x] * float(float16_t(a[i]));
}
"""


@pytest.fixture
def glslang() -> Path:
    program = find_program("glslangValidator")
    assert program is not None
    return program


@pytest.mark.parametrize("vulkan", ["vulkan1.0", "vulkan1.1", "vulkan1.2", "vulkan1.3"])
def test_the_same_bytes(glslang: Path, tmp_path: Path, vulkan: str) -> None:
    (tmp_path / "a.comp").write_text(SHADER)
    run_program(glslang, ("-V", "--quiet", "--target-env", vulkan, "-o", "a.spv", "a.comp"), cwd=tmp_path)
    expected = (tmp_path / "a.spv").read_bytes()
    assert compile_in_process(SHADER, program=glslang, vulkan=vulkan) == expected
    assert compile_in_process(SHADER.replace("x + x", "x * x"), program=glslang, vulkan=vulkan) != expected


@pytest.mark.parametrize(
    "source",
    [
        SHADER.replace("x + x", "y"),
        SHADER.replace("void main", "void other"),
        SHADER.replace("#version 450", "#version 100"),
        SHADER.replace("#version 450\n", ""),
        SHADER + "\0",
        "",
    ],
)
def test_what_the_program_is_asked(glslang: Path, capfd: pytest.CaptureFixture[str], source: str) -> None:
    assert compile_in_process(source, program=glslang, vulkan="vulkan1.1") is None
    assert capfd.readouterr() == ("", "")


def test_nor_with_another_environment_or_library(glslang: Path, tmp_path: Path) -> None:
    assert compile_in_process(SHADER, program=glslang, vulkan="vulkan9.9") is None
    assert compile_in_process(SHADER, program=tmp_path / "bin" / "glslangValidator", vulkan="vulkan1.1") is None


def test_mistakes_have_the_program_s_words() -> None:
    with pytest.raises(PayloadError) as caught:
        compile_glsl(SHADER.replace("x + x", "y"), name="a.comp")
    assert caught.value.what == "'y': undeclared identifier"
    assert caught.value.source is not None and caught.value.source.line == 7
