"""Detection of a file's format, and checks of ELF objects against the link."""

from __future__ import annotations

import pytest

from substitute.errors import PayloadError
from substitute.payload.sniff import read_object, sniff, verify_object

IR = """
target triple = "{triple}"
declare float @tanhf(float)
declare float @expf(float)
@table = constant [2 x ptr] [ptr @kernel, ptr @{callee}]
define float @own(float %x) {{
  ret float %x
}}
define void @kernel(ptr %p) {{
  %x = load float, ptr %p
  %y = call float @{callee}(float %x)
  store float %y, ptr %p
  ret void
}}
"""


def make_object(triple: str = "x86_64-unknown-unknown-elf", callee: str = "own", reloc: str = "pic") -> bytes:
    from llvmlite import binding

    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    module = binding.parse_assembly(IR.format(triple=triple, callee=callee))
    return bytes(binding.Target.from_triple(triple).create_target_machine(reloc=reloc).emit_object(module))


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x03\x02\x23\x07" + bytes(16), "SPIR-V"),
        (b"BC\xc0\xde1234", "LLVM bitcode"),
        (b"!<arch>\nfoo.o/", "archive"),
        (b"// a kernel\n.version 8.0\n.target sm_80\n", "PTX"),
        (IR.encode(), "LLVM IR text"),
        (b"#version 450\nvoid main() {}\n", "GLSL"),
        (b"hello\n", "text"),
        (b"\x80\x81\x82", "binary"),
        (b"a\0b", "binary"),
        (b"", "nothing (an empty file)"),
        (b"\x7fELF rubbish", "a damaged ELF file"),
    ],
)
def test_sniff(data: bytes, kind: str) -> None:
    assert sniff(data) == kind


def test_objects() -> None:
    data = make_object()
    assert sniff(data) == "ELF object (x86-64)"
    facts = verify_object(data, entry="kernel", machine="x86_64")
    assert (facts.functions, facts.undefined) == (("own", "kernel"), ("_GLOBAL_OFFSET_TABLE_",))
    assert sniff(make_object("aarch64-unknown-unknown-elf")) == "ELF object (AArch64)"


def test_objects_that_do_not_fit() -> None:
    data = make_object()
    for binary, entry, machine, words in (
        (data, "other", "x86_64", "does not define 'other'"),
        (data, "kernel", "aarch64", "is for another machine"),
        (make_object(callee="expf"), "kernel", "x86_64", "needs what the link does not have"),
        (make_object(reloc="static"), "kernel", "x86_64", "is not position-independent"),
        (b"BC\xc0\xde", "kernel", "x86_64", "this is no object file"),
        (data[:100], "kernel", "x86_64", "no object file|damaged"),
    ):
        with pytest.raises(PayloadError, match=words) as caught:
            verify_object(binary, entry=entry, machine=machine)
        assert caught.value.expected
        assert caught.value.found
        assert caught.value.next_step
    assert read_object(make_object(callee="tanhf")).undefined == ("_GLOBAL_OFFSET_TABLE_", "tanhf")
