"""Reading, verifying and renaming PTX; each check with the fault that it is for."""

from __future__ import annotations

import pytest

from substitute.errors import PayloadError
from substitute.payload import programs
from substitute.payload.ptx import compatible, read_ptx, rename, verify

PTX = """// scale: c[i] = a[i] * 2, for i < n   .entry in a comment
.version 8.0
.target sm_80
.address_size 64

.shared .align 4 .b8 outside[64];

.func (.param .f32 r) twice(.param .f32 x) { ret; }

.visible .entry scale(
    .param .u64 .ptr .global .align 16 scale_a,
    .param .u64 scale_c,
    .param .u32 scale_n
)
.maxntid 128, 1, 1
{
    .shared .align 16 .f32 tile[8][4];
    .reg .pred %p1;
    .reg .b32 %r<6>;
    .reg .f32 %f<3>;
    .reg .b64 %rd<6>;
    ld.param.u32 %r1, [scale_n];
    mov.u32 %r2, %tid.x;
    setp.ge.u32 %p1, %r2, %r1;
    @%p1 bra done;
    ld.param.u64 %rd1, [scale_a];
    ld.param.u64 %rd2, [scale_c];
    mul.wide.u32 %rd3, %r2, 4;
    add.s64 %rd4, %rd1, %rd3;
    add.s64 %rd5, %rd2, %rd3;
    ld.global.f32 %f1, [%rd4];
    add.f32 %f2, %f1, %f1;
    st.global.f32 [%rd5], %f2;
done:
    ret;
}
"""
FITS = {"entry": "scale", "bindings": 2, "push_constants": 1, "target_arch": "sm_80", "workgroup_size": (64, 1, 1)}


def test_reading() -> None:
    module = read_ptx(PTX)
    assert (module.version, module.target, module.address_size, module.shared_bytes) == ((8, 0), "sm_80", 64, 64)
    (entry,) = module.entries
    assert [(p.type, p.count, p.name) for p in entry.parameters] == [
        ("u64", 1, "scale_a"), ("u64", 1, "scale_c"), ("u32", 1, "scale_n"),
    ]  # fmt: skip
    assert (entry.maxntid, entry.reqntid, entry.shared_bytes, entry.returns) == ((128, 1, 1), None, 128, True)


def test_tokens_keep_their_places() -> None:
    module = read_ptx(PTX)
    assert all(PTX[t.start : t.end] == t.text for t in module.tokens)
    assert "comment" not in [t.text for t in module.tokens]


def test_facts() -> None:
    facts = verify(PTX, **FITS)  # type: ignore[arg-type]
    assert (facts.entry, facts.target, facts.shared_bytes) == ("scale", "sm_80", 192)
    ran = ("structure", "ptxas") if programs.find_program("ptxas") else ("structure",)
    assert facts.checked_by == ran


def test_renaming_touches_names_only() -> None:
    text = rename(PTX, "scale", "graph_async_0")
    assert text == PTX.replace(".entry scale(", ".entry graph_async_0(")
    verify(text, **(FITS | {"entry": "graph_async_0"}))  # type: ignore[arg-type]
    with pytest.raises(PayloadError, match="the name twice is taken"):
        rename(PTX, "scale", "twice")
    with pytest.raises(PayloadError, match="has no entry 'other'"):
        rename(PTX, "other", "x")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (".version 8.0", ".version 9.1", "newer than the driver accepts\n     2 | .version 9.1\n       |          ^"),
        (".version 8.0\n", "", "PTX begins with .version"),
        (".version 8.0", ".version eight", "the version cannot be read"),
        (".target sm_80", ".target sm_90a", "does not run on sm_80\n     3 | .target sm_90a\n       |         ^"),
        (".target sm_80\n", "", ".target follows .version"),
        (".address_size 64", ".address_size 32", "the PTX has 32-bit addresses"),
        (".param .u32 scale_n", ".param .u64 scale_n", "parameter 2 (scale_n) does not fit push constant 0"),
        (".param .u64 scale_c", ".param .u32 scale_c", "parameter 1 (scale_c) does not fit binding 1"),
        (".param .u64 scale_c", ".param .align 8 .b64 scale_c[2]", "found:     .b64 scale_c[2]"),
        (".param .u32 scale_n", ".param .u32 scale_n, .param .u32 more", "has 4 parameters, the dispatch passes 3"),
        (",\n    .param .u32 scale_n\n", "\n", "has 2 parameters, the dispatch passes 3"),
        ("tile[8][4]", "tile[4096][4]", "declares too much shared memory"),
        (".maxntid 128", ".maxntid 32", "expected:  1 to 32 threads (.maxntid)"),
        (".maxntid 128, 1, 1", ".reqntid 32", "expected:  .reqntid 32, 1, 1"),
        ("    ret;\n}\n", "}\n", "never returns: is the PTX cut off?"),
        ("    ret;\n}\n", "    ret;\n", "'{' is never closed: the PTX is cut off"),
        ("[scale_n];", "(scale_n];", "closes nothing"),
        (".visible .entry scale(", ".visible .func scale(", "found:     no .entry at all"),
        ("done:", "/* done:", "a comment never ends"),
        ("done:", "§", "'§' stands where PTX has nothing like it"),
    ],
)  # fmt: skip
def test_faults(old: str, new: str, message: str) -> None:
    assert old in PTX
    with pytest.raises(PayloadError) as caught:
        verify(PTX.replace(old, new, 1), **FITS)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert caught.value.next_step


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 0.5, 0.9])
def test_a_file_that_is_cut_off(share: float) -> None:
    with pytest.raises(PayloadError):
        verify(PTX[: int(len(PTX) * share)], **FITS)  # type: ignore[arg-type]


def test_limits_of_a_launch() -> None:
    with pytest.raises(PayloadError, match="more parameters than IREE's CUDA driver passes"):
        verify(PTX, **(FITS | {"bindings": 17}))  # type: ignore[arg-type]
    with pytest.raises(PayloadError, match="a size that cannot be launched"):
        verify(PTX, **(FITS | {"workgroup_size": (0, 1, 1)}))  # type: ignore[arg-type]
    with pytest.raises(PayloadError, match="nobody says the workgroup size"):
        verify(PTX, **(FITS | {"workgroup_size": None}))  # type: ignore[arg-type]


def test_ptxas_sees_what_the_header_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = PTX.replace("add.f32 %f2, %f1, %f1;", "add.f32 %f2, %f1, %rd1;")
    if programs.find_program("ptxas"):
        with pytest.raises(PayloadError, match="ptxas refuses the PTX"):
            verify(wrong, **FITS)  # type: ignore[arg-type]
    monkeypatch.setattr("substitute.payload.ptx.verification.find_program", lambda _name: None)
    facts = verify(wrong, **FITS)  # type: ignore[arg-type]
    assert facts.left_out == ("ptxas: not installed (pip install nvidia-cuda-nvcc)",)


@pytest.mark.parametrize(
    ("have", "arch", "runs"),
    [
        ("sm_80", "sm_80", True), ("sm_80", "sm_90", True), ("sm_90", "sm_80", False), ("sm_90a", "sm_90a", True),
        ("sm_90a", "sm_90", True), ("sm_90a", "sm_100", False), ("sm_100f", "sm_103", True),
        ("sm_100f", "sm_120", False),
    ],
)  # fmt: skip
def test_architectures(have: str, arch: str, runs: bool) -> None:
    assert compatible(have, arch) is runs
