"""Verifying and renaming PTX; each rule with the fault that it is for."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest

from substitute.errors import PayloadError
from substitute.payload import programs
from substitute.payload.ptx import assembler, compatible, parse, rename, verify
from substitute.payload.ptx.adapt import Pointer, Scalar, adapt
from substitute.payload.ptx.assembler import assemble
from substitute.payload.ptx.targets import FIRST_VERSION, architecture, first_version, shared_bytes_limit
from substitute.payload.ptx.verification import find_entry

from .ptx_texts import EVERYTHING, SCALE, TRITON

FITS = {"entry": "scale", "bindings": 2, "push_constants": 1, "target_arch": "sm_80", "workgroup_size": (64, 1, 1)}
HAS_PTXAS = programs.find_program("ptxas") is not None


@pytest.fixture
def no_ptxas(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Disable ptxas, so that only the rules are tested."""
    monkeypatch.setattr(assembler, "find_program", lambda _name: None)
    yield


def test_facts() -> None:
    facts = verify(SCALE, **FITS)  # type: ignore[arg-type]
    assert (facts.entry, facts.target, facts.shared_bytes) == ("scale", "sm_80", 192)
    assert facts.checked_by == (("structure", "ptxas") if HAS_PTXAS else ("structure",))
    if facts.resources:
        assert (facts.resources.spill_bytes, facts.resources.shared_bytes) == (0, 192)
        assert re.fullmatch(r"\d+ registers, no spills, 192 B shared \(sm_80\)", facts.summary)


def test_without_ptxas(no_ptxas: None) -> None:
    wrong = SCALE.replace("add.f32 %f2, %f1, %f1;", "add.f32 %f2, %f1, %rd1;")
    facts = verify(wrong, **FITS)  # type: ignore[arg-type]
    assert facts.left_out == ("ptxas: not installed (pip install 'iree-substitute[cuda]')",)
    assert facts.checked_by == ("structure",)


@pytest.mark.skipif(not HAS_PTXAS, reason="ptxas is not installed")
def test_ptxas_sees_types_and_says_the_line() -> None:
    wrong = SCALE.replace("add.f32 %f2, %f1, %f1;", "add.f32 %f2, %f1, %rd1;")
    with pytest.raises(PayloadError) as caught:
        verify(wrong, **FITS)  # type: ignore[arg-type]
    assert str(caught.value).startswith("PTX:33:5: ptxas refuses the PTX\n    33 |     add.f32 %f2, %f1, %rd1;\n")


def test_renaming_touches_names_only() -> None:
    text = rename(SCALE, "scale", "graph_async_0")
    assert text == SCALE.replace(".entry scale(", ".entry graph_async_0(")
    verify(text, **(FITS | {"entry": "graph_async_0"}))  # type: ignore[arg-type]
    with pytest.raises(PayloadError, match="the name twice is taken"):
        rename(SCALE, "scale", "twice")
    with pytest.raises(PayloadError, match="has no entry 'other'"):
        rename(SCALE, "other", "x")


def test_renaming_makes_the_entry_visible() -> None:
    text = rename(SCALE.replace(".visible .entry", ".entry"), "scale", "new")
    assert text == SCALE.replace(".entry scale(", ".entry new(")
    weak = rename(SCALE.replace(".visible .entry", ".weak .entry"), "scale", "new")
    assert ".weak .entry new(" in weak


HEADER = [
    (".version 8.0", ".version 9.1", "newer than the driver accepts\n     2 | .version 9.1\n       |          ^"),
    (".version 8.0", ".version 6.5", "PTX ISA 6.5 does not know sm_80"),
    (".target sm_80", ".target sm_90a", "does not run on sm_80\n     3 | .target sm_90a\n       |         ^"),
    (".target sm_80", ".target sm_81", "sm_81 is no target that is known"),
    (".address_size 64", ".address_size 32", "the PTX has 32-bit addresses"),
    (".visible .entry scale(", ".visible .func scale(", "found:     no .entry at all"),
    ("    ret;\n}\n", "}\n", "never returns: is the PTX cut off?"),
]
PARAMETERS = [
    (".param .u32 scale_n", ".param .u64 scale_n", "parameter 2 (scale_n) does not fit push constant 0"),
    (".param .u64 scale_c", ".param .u32 scale_c", "parameter 1 (scale_c) does not fit binding 1"),
    (".param .u64 scale_c", ".param .f64 scale_c", "parameter 1 (scale_c) does not fit binding 1"),
    (".param .u64 scale_c", ".param .align 8 .b64 scale_c[2]", "found:     .b64 scale_c[2]"),
    (".param .u32 scale_n", ".param .u32 scale_n, .param .u32 more", "has 4 parameters, the dispatch passes 3"),
    (",\n    .param .u32 scale_n\n", "\n", "has 2 parameters, the dispatch passes 3"),
]
GEOMETRY = [
    (".maxntid 128", ".maxntid 32", "expected:  1 to 32 threads (.maxntid)"),
    (".maxntid 128, 1, 1", ".reqntid 32", "expected:  .reqntid 32, 1, 1"),
    (".maxntid 128, 1, 1", ".maxntid 128 .reqnctapercluster 2", "entry scale is launched in clusters"),
]
MEMORY = [
    ("outside[64]", "outside[49153]", "declares too much shared memory"),
    (".shared .align 4 .b8 outside[64]", ".extern .shared .b8 outside[]", "outside has no bytes at launch"),
    (".shared .align 4 .b8 outside[64]", ".global .texref outside", "outside is a texture"),
    (
        ".visible .entry",
        ".alias other, nothing;\n.visible .entry",
        "other is another name of nothing, which is no function here",
    ),
]
NAMES = [
    ("%r2, %tid.x", "%r2, %tid.q", "PTX:23:18: name %tid.q is declared nowhere"),
    ("@%p1 bra done;", "@%p1 bra gone;", "label gone is declared nowhere\n    26 |     @%p1 bra gone;\n"),
    ("@%p1 bra done;", "@%p7 bra done;", "name %p7 is declared nowhere"),
    ("@%p1 bra done;", "@%p1 bra outside;", "outside is no label"),
    ("add.f32 %f2", "add.f32 %f5", "name %f5 is declared nowhere"),
    ("%r3, outside;", "%r3, inside;", "name inside is declared nowhere"),
    (
        "add.f32 %f2",
        "addd.f32 %f2",
        "PTX has no instruction addd\n    33 |     addd.f32 %f2, %f1, %f1;\n       |     ^",
    ),
    ("add.f32 %f2, %f1, %f1", "wgmma.fence.sync.aligned", "wgmma does not exist on sm_80"),
    ("add.f32 %f2, %f1, %f1", "elect.sync _|%p1, -1", "expected:  .target sm_90 or newer"),
    ("{ ret; }", ";", "twice is declared, not defined"),
]
READS = [
    ("mov.u32 %r2, %tid.x;", "", "PTX:25:22: %r2 is read, but nothing wrote it"),
    (
        "    ld.param.u64 %rd1, [scale_a];",
        "    @%p1 ld.param.u64 %rd1, [scale_a];",
        "%rd1 is read, but not every path wrote it",
    ),
    ("mov.u32 %r3, outside;", "@%p1 mov.u32 %r3, outside;", "%p1 is read, but not every path wrote it"),
    (
        "setp.ge.u32 %p1, %r2, %r1;\n    @%p1 bra done;\n    ld.param.u64 %rd1, [scale_a];",
        "setp.ge.u32 %p1, %r2, %r1;\n    @%p1 bra skip;\n    ld.param.u64 %rd1, [scale_a];\nskip:",
        "%rd1 is read, but not every path wrote it",
    ),
]


def faulty(old: str, new: str) -> str:
    text = SCALE
    if "declared, not defined" in new or new == ";":
        text = text.replace("add.f32 %f2, %f1, %f1;", "call (%f2), twice, (%f1);")
        old = ".func (.param .f32 r) twice(.param .f32 x) { ret; }"
        new = ".func (.reg .f32 r) twice(.reg .f32 x);"
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(("old", "new", "message"), HEADER + PARAMETERS + GEOMETRY + MEMORY + NAMES + READS)
def test_faults(no_ptxas: None, old: str, new: str, message: str) -> None:
    with pytest.raises(PayloadError) as caught:
        verify(faulty(old, new), **FITS)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # both ways write it, under a condition and its opposite
        ("ld.param.u64 %rd1, [scale_a];", "@%p1 mov.u64 %rd1, 0; @!%p1 ld.param.u64 %rd1, [scale_a];"),
        # the branch above implies the condition
        ("ld.param.u64 %rd1, [scale_a];", "@!%p1 ld.param.u64 %rd1, [scale_a];"),
        # read under the condition under which it was written
        (
            "mov.u32 %r3, outside;\n    setp.ge.u32 %p1, %r2, %r1;\n    @%p1 bra done;",
            "setp.ge.u32 %p1, %r2, %r1;\n    @!%p1 mov.u32 %r3, outside;\n    @!%p1 add.u32 %r3, %r3, 0;\n"
            "    @%p1 bra done;",
        ),
        # two branches on one predicate
        (
            "mov.u32 %r3, outside;\n    setp.ge.u32 %p1, %r2, %r1;\n    @%p1 bra done;",
            "setp.ge.u32 %p1, %r2, %r1;\n    @%p1 bra one;\n    mov.u32 %r3, outside;\none:\n    @%p1 bra done;",
        ),
        # what LLVM calls undefined
        ("mov.u32 %r3, outside;", "// implicit-def: %r3"),
    ],
)
def test_conditional_writes_that_suffice(no_ptxas: None, old: str, new: str) -> None:
    assert old in SCALE
    text = SCALE.replace(old, new, 1)
    verify(text, **FITS)  # type: ignore[arg-type]


def test_a_predicate_that_changes_says_nothing(no_ptxas: None) -> None:
    text = SCALE.replace(
        "ld.param.u64 %rd1, [scale_a];",
        "setp.eq.u32 %p1, %r2, 3; @%p1 ld.param.u64 %rd1, [scale_a]; setp.eq.u32 %p1, %r2, 4;"
        " @%p1 add.u64 %rd1, %rd1, 0; mov.u64 %rd1, 0;",
    )
    with pytest.raises(PayloadError, match="%rd1 is read, but not every path wrote it"):
        verify(text, **FITS)  # type: ignore[arg-type]


def test_what_a_compiler_left_undefined_is_a_note(no_ptxas: None) -> None:
    text = TRITON.replace("mov.u32 %r1, 0x0;", "")
    wanted = {
        "entry": "add_kernel",
        "bindings": 5,
        "push_constants": 0,
        "target_arch": "sm_80",
        "workgroup_size": (128, 1, 1),
    }
    text = text.replace(".param .u32 add_kernel_param_3,\n", "").replace("ld.param.b32", "mov.b32")
    text = text.replace("[add_kernel_param_3]", "9").replace(".extern .shared", ".shared").replace("smem[]", "smem[4]")
    assert verify(text, **wanted).notes == (  # type: ignore[arg-type]
        "add_kernel: 1 undefined registers (lines 51), left by the compiler",
    )
    with pytest.raises(PayloadError, match="%r1 is read, but not every path wrote it"):
        verify(text.replace("Generated by LLVM", "Written by hand"), **wanted)  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 0.5, 0.9])
def test_a_file_that_is_cut_off(share: float) -> None:
    with pytest.raises(PayloadError):
        verify(SCALE[: int(len(SCALE) * share)], **FITS)  # type: ignore[arg-type]


def test_limits_of_a_launch(no_ptxas: None) -> None:
    with pytest.raises(PayloadError, match="more parameters than IREE's CUDA driver passes"):
        verify(SCALE, **(FITS | {"bindings": 17}))  # type: ignore[arg-type]
    for size in ((0, 1, 1), (128, 2, 1), (1, 1, 65)):
        with pytest.raises(PayloadError, match="a size that cannot be launched"):
            verify(SCALE, **(FITS | {"workgroup_size": size}))  # type: ignore[arg-type]
    with pytest.raises(PayloadError, match="nobody says the workgroup size"):
        verify(SCALE, **(FITS | {"workgroup_size": None}))  # type: ignore[arg-type]


def test_dynamic_shared_memory(no_ptxas: None) -> None:
    dynamic = SCALE.replace(".shared .align 4 .b8 outside[64]", ".extern .shared .align 4 .b8 outside[]")
    most = 163 * 1024 - 128
    assert verify(dynamic, **FITS, shared_memory_bytes=most).shared_bytes == 128  # type: ignore[arg-type]
    with pytest.raises(PayloadError) as caught:
        verify(dynamic, **FITS, shared_memory_bytes=most + 1)  # type: ignore[arg-type]
    assert "a block takes more shared memory than sm_80 has" in str(caught.value)
    assert "128 bytes static + 166785 bytes dynamic" in str(caught.value)


def test_shared_memory_of_what_is_not_called_does_not_count(no_ptxas: None) -> None:
    unused = SCALE.replace("mov.u32 %r3, outside;", "mov.u32 %r3, 0;")
    assert verify(unused, **FITS).shared_bytes == 128  # type: ignore[arg-type]


@pytest.mark.skipif(not HAS_PTXAS, reason="ptxas is not installed")
@pytest.mark.parametrize(
    ("old", "new", "size"),
    [
        ("%r3, outside;", "%r3, 0;", 128),
        ("{ ret; }", "{ .shared .b8 inner[1000]; ret; }", 192),
        (
            "add.f32 %f2, %f1, %f1;",
            "{.param .b32 p, q; st.param.f32 [q], %f1; call (p), twice, (q); ld.param.f32 %f2, [p];}",
            192 + 1000,
        ),
    ],
)
def test_shared_memory_is_what_ptxas_counts(old: str, new: str, size: int) -> None:
    text = SCALE.replace("{ ret; }", "{ .shared .b8 inner[1000]; ret; }") if size > 1000 else SCALE
    facts = verify(text.replace(old, new), **FITS)  # type: ignore[arg-type]
    assert facts.resources is not None
    assert facts.shared_bytes == size == facts.resources.shared_bytes


@pytest.mark.skipif(not HAS_PTXAS, reason="ptxas is not installed")
def test_registers_of_a_block() -> None:
    count = 120
    loads = "".join(f"ld.volatile.global.f32 %x{i}, [%rd4+{4 * i}];\n" for i in range(count))
    stores = "".join(f"st.volatile.global.f32 [%rd5+{4 * i}], %x{i};\n" for i in range(count))
    text = SCALE.replace("st.global.f32 [%rd5], %f2;", f".reg .f32 %x<{count}>;\n{loads}{stores}")
    text = text.replace(".maxntid 128, 1, 1\n", "")
    assert verify(text, **(FITS | {"workgroup_size": (256, 1, 1)})).resources is not None  # type: ignore[arg-type]
    with pytest.raises(PayloadError, match="a block takes more registers than there are") as caught:
        verify(text, **(FITS | {"workgroup_size": (1024, 1, 1)}))  # type: ignore[arg-type]
    assert caught.value.expected == "at most 65536 registers: 64 for each of 1024 threads"
    bounded = text.replace("scale_n\n)\n", "scale_n\n)\n.maxntid 1024, 1, 1\n")
    facts = verify(bounded, **(FITS | {"workgroup_size": (1024, 1, 1)}))  # type: ignore[arg-type]
    assert facts.resources is not None
    assert facts.resources.registers <= 64


@pytest.mark.parametrize(
    ("have", "arch", "runs"),
    [
        ("sm_80", "sm_80", True),
        ("sm_80", "sm_90", True),
        ("sm_90", "sm_80", False),
        ("sm_90a", "sm_90a", True),
        ("sm_90a", "sm_90", True),
        ("sm_90a", "sm_100", False),
        ("sm_100f", "sm_103", True),
        ("sm_100f", "sm_120", False),
    ],
)
def test_architectures(have: str, arch: str, runs: bool) -> None:
    assert compatible(have, arch) is runs


def test_shared_memory_of_architectures() -> None:
    assert [shared_bytes_limit(a) // 1024 for a in ("sm_80", "sm_86", "sm_90a", "sm_999")] == [163, 99, 227, 48]


@pytest.mark.skipif(not HAS_PTXAS, reason="ptxas is not installed")
@pytest.mark.parametrize("target", ["sm_75", "sm_80", "sm_89", "sm_90a", "sm_100f", "sm_103", "sm_120a"])
def test_first_versions_are_what_ptxas_says(target: str) -> None:
    first = first_version(target)
    assert first is not None
    versions = sorted(set(FIRST_VERSION.values()))
    before = versions[versions.index(first) - 1]
    text = ".version {}.{}\n.target {}\n.address_size 64\n.visible .entry k() {{ ret; }}\n"
    assert assemble(text.format(*first, target), entry="k", target=target).error == ""
    assert "does not support .target" in assemble(text.format(*before, target), entry="k", target=target).error


def test_architecture_names() -> None:
    assert architecture("sm_90a") == (90, "a")
    assert architecture("gfx90a") is None


def test_the_rules_read_everything(no_ptxas: None) -> None:
    """Everything that the parser knows, except features that IREE's launches do not support."""
    text = EVERYTHING.replace(".align 8 .b8 structure[24]", ".u32 structure")
    fits = {"entry": "everything", "bindings": 1, "push_constants": 1, "target_arch": "", "shared_memory_bytes": 64}
    with pytest.raises(PayloadError, match="%p1 is read, but nothing wrote it"):
        verify(text, **fits, workgroup_size=(64, 1, 1))  # type: ignore[arg-type]
    text = text.replace("mov.u32 r, %tid.x;", "mov.u32 r, %tid.x; mov.pred %p1, 1; mov.b64 %rd2, 0; mov.b64 %rd3, 0;")
    facts = verify(text, **fits, workgroup_size=(64, 1, 1))  # type: ignore[arg-type]
    assert facts.shared_bytes == 16


def test_mutated_text_fails_with_words_or_passes(no_ptxas: None) -> None:
    """Whatever the text, the rules and the adaptation end in facts or a `PayloadError`."""
    random_ = random.Random(11)
    words = re.findall(r"[\w%.$]+|\S", SCALE)
    passed = 0
    for number in range(600):
        text = SCALE
        for _ in range(random_.randint(1, 3)):
            at = random_.randrange(len(text))
            text = text[:at] + random_.choice(words) + text[at + random_.randrange(6) :]
        try:
            verify(text, **FITS)  # type: ignore[arg-type]
            module = parse(text)
            arguments = (Pointer(name="a", binding=0), Pointer(name="c", binding=1), Scalar(name="n", value=3))
            adapt(module, find_entry(module, "scale"), arguments, bindings=2, constants=0, export_name="bound_entry")
            passed += 1
        except PayloadError as error:
            assert error.next_step
        except Exception as error:
            raise AssertionError(f"mutation {number} of seed 11") from error
    assert 10 < passed < 590
