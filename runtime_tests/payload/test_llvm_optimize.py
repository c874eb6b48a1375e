"""Optimisation for IREE: math resolved and vectorised, symbols hidden or reported, errors that point at the line."""

from __future__ import annotations

import ctypes
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

llvm = pytest.importorskip("llvmlite.binding")
from runtime_tests.payload.llvm_programs import HOST  # noqa: E402
from substitute.codegen.llvm.function import Hardware  # noqa: E402
from substitute.errors import PayloadError  # noqa: E402
from substitute.model.dispatch import Target  # noqa: E402
from substitute.payload.llvm.optimize import parse_bitcode, parse_ir, to_bitcode, undefined_symbols  # noqa: E402
from substitute.payload.llvm.resolve import resolve_math  # noqa: E402

pytestmark = pytest.mark.device
X86 = Target(
    backend="llvm-cpu",
    format="embedded-elf-x86_64",
    config=(
        ("cpu", "haswell"),
        ("cpu_features", "+avx2,+fma,+f16c,+sse4.1,-avx512f,-made-up-feature"),
        ("target_triple", "x86_64-unknown-unknown-eabi-elf"),
    ),
)
LOOP = """
declare {type} @{name}({type})

define internal {type} @twice({type} %x) noinline {{
  %y = fadd {type} %x, %x
  ret {type} %y
}}

define void @kernel(ptr noalias %a, ptr noalias %c, i64 %n) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %pa = getelementptr {type}, ptr %a, i64 %i
  %pc = getelementptr {type}, ptr %c, i64 %i
  %x = load {type}, ptr %pa
  %y = call {type} @{name}({type} %x)
  store {type} %y, ptr %pc
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""


def loop(name: str, type_: str = "float") -> str:
    return LOOP.format(name=name, type=type_)


@pytest.mark.parametrize("name", ["expf", "tanhf", "erff", "logf", "sinf", "llvm.exp.f32", "llvm.tanh.f32", "floorf"])
def test_math_is_resolved_and_vectorised(name: str) -> None:
    text = str(parse_bitcode(to_bitcode(loop(name), target=X86, entry="kernel"), "test"))
    assert re.search(r"f(add|mul) <(8 x float|4 x double)>", text) or "@llvm.floor.v8f32" in text
    assert f"@{name}(" not in text
    assert 'target triple = "x86_64-unknown-unknown-eabi-elf"' in text


def test_finished_code_is_resolved_and_left_as_it_is() -> None:
    text = str(parse_bitcode(to_bitcode(loop("expf"), target=X86, entry="kernel", finished=True), "test"))
    assert "@expf(" not in text
    assert "<8 x float>" not in text


@pytest.mark.parametrize(
    ("name", "type_", "reference"),
    [
        ("expf", "float", np.exp),
        ("exp", "double", np.exp),
        ("tanhf", "float", np.tanh),
        ("sin", "double", np.sin),
        ("llvm.log.f64", "double", np.log),
        ("llvm.cos.f32", "float", np.cos),
        ("rintf", "float", np.rint),
    ],
)
def test_resolved_functions_compute(name: str, type_: str, reference: Any) -> None:
    data = to_bitcode(loop(name, type_), target=HOST, entry="kernel")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten()
    )
    engine = llvm.create_mcjit_compiler(llvm.parse_bitcode(data), machine)
    engine.finalize_object()
    number = np.float32 if type_ == "float" else np.float64
    a = np.linspace(0.1, 9, 77).astype(number)
    c = np.zeros_like(a)
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(
        engine.get_function_address("kernel")
    )
    function(a.ctypes.data, c.ctypes.data, len(a))
    np.testing.assert_allclose(c, reference(a.astype(np.float64)), rtol=4 * np.finfo(number).eps)


def test_vector_intrinsics_and_powers() -> None:
    text = """
declare <8 x float> @llvm.exp2.v8f32(<8 x float>)
declare float @powf(float, float)
define void @kernel(ptr %p) {
  %x = load <8 x float>, ptr %p
  %y = call <8 x float> @llvm.exp2.v8f32(<8 x float> %x)
  %s = extractelement <8 x float> %y, i32 0
  %q = call float @powf(float %s, float 1.5)
  %z = insertelement <8 x float> %y, float %q, i32 0
  store <8 x float> %z, ptr %p
  ret void
}
"""
    module = parse_ir(text, "test")
    assert resolve_math(module, Hardware.of(X86)) == ("llvm.exp2.v8f32", "powf")
    module.verify()
    optimised = parse_bitcode(to_bitcode(text, target=X86, entry="kernel"), "test")
    assert undefined_symbols(optimised) == ()


def test_a_call_that_llvm_must_not_replace_is_resolved() -> None:
    """C compilers mark calls so, and IREE's linker has no fabsf."""
    text = (
        "declare float @fabsf(float)\ndefine float @kernel(float %x) {\n"
        "  %y = call float @fabsf(float %x) nobuiltin\n  ret float %y\n}\n"
    )
    optimised = parse_bitcode(to_bitcode(text, target=X86, entry="kernel"), "test")
    assert [f.name for f in optimised.functions if f.name == "fabsf"] == []


def test_what_a_module_defines_itself_stays() -> None:
    text = (
        "define float @expf(float %x) {\n  ret float %x\n}\ndefine float @kernel(float %x) {\n"
        "  %y = call float @expf(float %x)\n  ret float %y\n}\n"
    )
    assert resolve_math(parse_ir(text, "test"), Hardware.of(X86)) == ()


def test_everything_but_the_entry_is_hidden() -> None:
    text = (
        "@table = global [4 x float] zeroinitializer\n"
        "define void @other(ptr %p) noinline {\n  store float 1.0, ptr %p\n  ret void\n}\n"
        "define void @kernel(ptr %p) {\n  call void @other(ptr %p)\n  %x = load float, ptr @table\n"
        "  store float %x, ptr @table\n  ret void\n}\n"
    )
    module = parse_bitcode(to_bitcode(text, target=X86, entry="kernel"), "test")
    shown = [f.name for f in module.functions if f.linkage == llvm.Linkage.external and not f.is_declaration]
    assert shown == ["kernel"]


def test_an_unknown_function_is_reported() -> None:
    with pytest.raises(PayloadError) as caught:
        to_bitcode(loop("printf"), target=X86, entry="kernel")
    assert str(caught.value).startswith("kernel: the payload calls what nobody defines: printf\n")


def test_an_unresolved_half_precision_intrinsic_is_reported() -> None:
    with pytest.raises(PayloadError, match=re.escape("nobody defines: llvm.exp.f16")):
        to_bitcode(loop("llvm.exp.f16", "half"), target=X86, entry="kernel")


def test_a_syntax_error_points_at_the_line() -> None:
    with pytest.raises(PayloadError) as caught:
        to_bitcode("define void @kernel() {\n  %x = fadd flot 1.0, 1.0\n  ret void\n}\n", target=X86, entry="kernel")
    assert str(caught.value) == (
        "kernel, line 2: expected type\n"
        "     2 |   %x = fadd flot 1.0, 1.0\n"
        "       |             ^\n"
        "  next:      correct the IR; `opt -passes=verify` says the same"
    )


def test_a_missing_entry_is_reported() -> None:
    with pytest.raises(PayloadError, match="the payload does not define its entry point"):
        to_bitcode(loop("expf"), target=X86, entry="kernal")


def test_rubbish_is_no_bitcode() -> None:
    with pytest.raises(PayloadError, match="this is no LLVM bitcode that LLVM can read"):
        to_bitcode(b"rubbish!", target=X86, entry="kernel")


@pytest.mark.parametrize(
    ("triple", "cpu", "features"),
    [
        ("aarch64-unknown-unknown-eabi-elf", "cortex-a72", "+neon"),
        ("riscv64-unknown-unknown-eabi-elf", "generic-rv64", "+m,+f,+d"),
        ("x86_64-unknown-unknown-eabi-elf", "x86-64", ""),
    ],
)
def test_other_processors(triple: str, cpu: str, features: str) -> None:
    """The code for them has no calls left, not even of what fma and rounding become without instructions."""
    config = (("cpu", cpu), ("cpu_features", features), ("target_triple", triple))
    target = replace(X86, config=config)
    for name in ("expf", "erff", "floorf"):
        module = parse_bitcode(to_bitcode(loop(name), target=target, entry="kernel"), "test")
        machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features, opt=2)
        assembly = machine.emit_assembly(module)
        assert not re.search(r"^\s+(call|bl|jal)\w*\s", assembly, re.MULTILINE)


def test_an_unknown_triple_is_reported() -> None:
    with pytest.raises(PayloadError, match="LLVM cannot generate code for pdp11"):
        to_bitcode(loop("expf"), target=replace(X86, config=(("target_triple", "pdp11-dec-unix"),)), entry="kernel")


COPY = """
define void @kernel(ptr noalias %from, ptr noalias %to) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %p = getelementptr float, ptr %from, i64 %i
  %q = getelementptr float, ptr %to, i64 %i
  %value = load float, ptr %p
  store float VALUE, ptr %q
  %next = add nuw i64 %i, 1
  %more = icmp ult i64 %next, 4096
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""
CALL = """
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
define void @kernel(ptr noalias %from, ptr noalias %to) {
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 16384, i1 false)
  ret void
}
"""


@pytest.mark.parametrize("value", ["%value", "0.0"])
def test_loops_that_copy_or_fill_stay_loops_of_vectors(value: str) -> None:
    """IREE's linker has functions for memcpy and memset that move one byte at a time."""
    text = str(parse_bitcode(to_bitcode(COPY.replace("VALUE", value), target=HOST, entry="kernel"), "copy"))
    assert not re.search("@(llvm[.])?mem(cpy|set|move)", text)
    assert re.search(r"store <\d+ x float>", text)


def test_a_call_of_memcpy_in_the_source_is_kept_and_defined() -> None:
    text = str(parse_bitcode(to_bitcode(CALL, target=HOST, entry="kernel"), "call"))
    assert "call void @llvm.memcpy" in text and re.search("define .*@memcpy", text)
