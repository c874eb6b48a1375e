"""A canonical PTX entry bound to IREE's parameters; what it then computes, on the simulated device's executor."""

from __future__ import annotations

import random

import numpy as np
import pytest

from substitute.errors import PayloadError
from substitute.model.index import FUNCTIONS, Index, add, apply, evaluate, mul, push
from substitute.payload.programs import find_program
from substitute.payload.ptx import parse, verify
from substitute.payload.ptx.adapt import Argument, Data, Pointer, Scalar, adapt
from substitute.payload.ptx.assembler import assemble
from substitute.payload.ptx.verification import find_entry

from .ptx_run import run_entry
from .ptx_texts import SCALE, TRITON

HAS_PTXAS = find_program("ptxas") is not None
HEADER = ".version 8.0\n.target sm_80\n.address_size 64\n"


def bound(text: str, entry: str, arguments: tuple[Argument, ...], bindings: int, constants: int) -> str:
    module = parse(text)
    return adapt(
        module, find_entry(module, entry), arguments, bindings=bindings, constants=constants, export_name="bound_entry"
    )


def probe(count: int) -> str:
    """Return a kernel that stores its integers consecutively."""
    names = ", ".join(f".param .u64 v{i}" for i in range(count))
    stores = "".join(f"ld.param.u64 %rd1, [v{i}]; st.global.u64 [%rd0+{8 * i}], %rd1;\n" for i in range(count))
    return (
        f"{HEADER}.visible .entry probe(.param .u64 out, {names})\n"
        f"{{ .reg .b64 %rd<2>; ld.param.u64 %rd0, [out];\n{stores}ret; }}\n"
    )


def expressions(random_: random.Random) -> list[Index]:
    """Every operation, on values of both signs."""
    wide = apply("u64", push(0), push(1))
    signed = apply("sub", wide, 1000)
    result: list[Index] = [0, 7, (1 << 40) + 3, push(2), wide, apply("u64", push(2), 0), apply("u64", add(wide, 1), 5)]
    for op in FUNCTIONS:
        if op in ("trunc32", "sext32"):
            result += [apply(op, signed), apply(op, push(3))]
        elif op in ("shl", "shr"):
            result += [apply(op, wide, 3), apply(op, wide, apply("and", push(3), 15))]
        elif op != "u64":
            for a in (wide, signed, mul(signed, -3)):
                result += [apply(op, a, b) for b in (1, 7, 8, add(push(3), 1), random_.randint(2, 1000))]
    result += [apply("floordiv", signed, -7), apply("rem", signed, -7), apply("ceildiv", signed, -4), add(signed, wide)]
    return result


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_operation_means_what_the_model_says(seed: int) -> None:
    random_ = random.Random(seed)
    values = expressions(random_)
    constants = (random_.randrange(2000), random_.randrange(2), 0xFFFFFFF0 + seed, random_.randrange(1 << 32))
    arguments = (Pointer(name="out", binding=0), *(Scalar(name=f"v{i}", value=v) for i, v in enumerate(values)))
    text = bound(probe(len(values)), "probe", arguments, 1, 4)
    (found,) = run_entry(text, "bound_entry", [np.zeros(len(values), np.uint64)], constants)
    expected = [evaluate(v, constants) & ((1 << 64) - 1) for v in values]
    wrong = [(str(v), hex(e), hex(f)) for v, e, f in zip(values, expected, map(int, found), strict=True) if e != f]
    assert not wrong


def test_the_operations_would_be_told_apart() -> None:
    """The twin: rounding towards zero, as PTX divides, is another number."""
    value = apply("floordiv", apply("sub", push(0), 10), 3)
    text = bound(probe(1), "probe", (Pointer(name="out", binding=0), Scalar(name="v0", value=value)), 1, 1)
    (right,) = run_entry(text, "bound_entry", [np.zeros(1, np.int64)], (0,))
    wrong = text.replace("selp.s64 ", "selp.s64 ").replace(", -1, 0, ", ", 0, 0, ")
    assert wrong != text
    (other,) = run_entry(wrong, "bound_entry", [np.zeros(1, np.int64)], (0,))
    assert (int(right[0]), int(other[0])) == (-4, -3)


LOADS = f"""{HEADER}
.entry loads(.param .u64 .ptr .global .align 4 out, .param .u64 wide, .param .u32 word, .param .s32 signed,
    .param .u64 unused)
{{
    .reg .b64 %rd<9>; .reg .b32 %r<9>; .reg .b16 %h<4>; .reg .f32 %f; .reg .pred p;
    ld.param.u64 %rd0, [out];
    ld.param.b64 %rd1, [wide+0];
    st.global.u64 [%rd0], %rd1;
    ld.param.v2.u32 {{%r1, %r2}}, [wide];
    st.global.u32 [%rd0+8], %r1;
    st.global.u32 [%rd0+12], %r2;
    ld.param.u32 %r3, [wide+4];
    st.global.u32 [%rd0+16], %r3;
    ld.param.v2.b32 {{_, %r3}}, [wide];
    st.global.u32 [%rd0+20], %r3;
    ld.param.s32 %rd2, [signed];
    st.global.u64 [%rd0+24], %rd2;
    ld.param.u32 %rd3, [signed];
    st.global.u64 [%rd0+32], %rd3;
    ld.param.u16 %h1, [word+2];
    st.global.u16 [%rd0+40], %h1;
    ld.param.u8 %h2, [wide+1];
    st.global.u16 [%rd0+42], %h2;
    ld.param.s8 %r4, [wide+7];
    st.global.u32 [%rd0+44], %r4;
    ld.param.f32 %f, [word];
    st.global.f32 [%rd0+48], %f;
    ld.param.u32 %r5, [word];
    setp.eq.u32 p, %r5, 5;
    mov.u32 %r6, 77;
    @!p ld.param.u32 %r6, [word];
    st.global.u32 [%rd0+52], %r6;
    mov.u32 %r7, 0;
again:
    add.u32 %r7, %r7, 1;
    ld.param.u32 %r8, [word];
    setp.lt.u32 p, %r7, 3;
    @p bra again;
    st.global.u32 [%rd0+56], %r8;
    st.global.u32 [%rd0+60], %r7;
    ret;
}}
"""


def loads(wide: int, word: int, signed: int) -> bytes:
    """Return the bytes that `LOADS` stores."""
    parts = [
        wide.to_bytes(8, "little"),
        wide.to_bytes(8, "little"),
        (wide >> 32).to_bytes(4, "little") * 2,
        signed.to_bytes(8, "little", signed=True),
        (signed & 0xFFFFFFFF).to_bytes(8, "little"),
        (word >> 16).to_bytes(2, "little"),
        (wide >> 8 & 0xFF).to_bytes(2, "little"),
        int.from_bytes((wide >> 56).to_bytes(1, "little"), "little", signed=True).to_bytes(4, "little", signed=True)
        if wide >> 56 < 128
        else ((wide >> 56) - 256).to_bytes(4, "little", signed=True),
        word.to_bytes(4, "little"),
        (77 if word == 5 else word).to_bytes(4, "little"),
        word.to_bytes(4, "little"),
        (3).to_bytes(4, "little"),
    ]
    return b"".join(parts)


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize(("wide", "word", "signed"), [(0xF123456789ABCDEF, 5, -3), (0x7F, 0xFEDCBA98, 123)])
def test_every_form_of_load(static: bool, wide: int, word: int, signed: int) -> None:
    constants = (wide & 0xFFFFFFFF, wide >> 32, word, signed & 0xFFFFFFFF)
    values: tuple[Index, Index, Index] = (wide, word, signed)
    if not static:
        values = (apply("u64", push(0), push(1)), push(2), apply("sext32", push(3)))
    names = ("wide", "word", "signed")
    scalars = tuple(Scalar(name=n, value=v) for n, v in zip(names, values, strict=True))
    text = bound(LOADS, "loads", (Pointer(name="out", binding=1, byte_offset=8), *scalars), 2, 4)
    _, found = run_entry(text, "bound_entry", [np.zeros(1, np.uint8), np.zeros(80, np.uint8)], constants)
    assert found.tobytes() == bytes(8) + loads(wide, word, signed) + bytes(8)
    if HAS_PTXAS:
        assert assemble(text, entry="bound_entry", target="sm_80").error == ""


SCALE_ARGUMENTS = (
    Pointer(name="a", binding=1, byte_offset=16),
    Pointer(name="c", binding=1, byte_offset=mul(push(0), 4)),
    Scalar(name="n", value=apply("u64", push(2), push(1))),
)


def test_two_operands_in_one_binding() -> None:
    text = bound(SCALE, "scale", SCALE_ARGUMENTS, 2, 3)
    data = np.arange(64, dtype=np.float32)
    _, found = run_entry(text, "bound_entry", [np.zeros(1, np.uint8), data], (40, 0, 9), block=(32, 1, 1))
    expected = data.copy()
    expected[40:49] = 2 * data[4:13]
    np.testing.assert_array_equal(found, expected)


def test_a_forgotten_offset_shows() -> None:
    """The twin: without the offsets the numbers are wrong."""
    text = bound(SCALE, "scale", (Pointer(name="a", binding=1), *SCALE_ARGUMENTS[1:]), 2, 3)
    data = np.arange(64, dtype=np.float32)
    _, found = run_entry(text, "bound_entry", [np.zeros(1, np.uint8), data], (40, 0, 9), block=(32, 1, 1))
    assert found[40] != 2 * data[4]


def test_the_rewritten_entry_is_iree_s() -> None:
    text = bound(SCALE, "scale", SCALE_ARGUMENTS, 2, 3)
    facts = verify(
        text, entry="bound_entry", bindings=2, push_constants=3, target_arch="sm_80", workgroup_size=(32, 1, 1)
    )
    assert facts.entry == "bound_entry"
    assert "scale_a" not in text
    untouched = text[text.index("mul.wide.u32 %rd3") :]
    assert untouched == SCALE[SCALE.index("mul.wide.u32 %rd3") :]


@pytest.mark.skipif(not HAS_PTXAS, reason="ptxas is not installed")
def test_nothing_is_left_of_the_canonical_abi() -> None:
    """With operands at their bindings' starts, the machine code has the resources of the author's own entry."""
    direct = (Pointer(name="a", binding=0), Pointer(name="c", binding=1), Scalar(name="n", value=push(0)))
    text = bound(SCALE, "scale", direct, 2, 1)
    before = assemble(SCALE, entry="scale", target="sm_80").resources
    assert before is not None
    assert assemble(text, entry="bound_entry", target="sm_80").resources == before


def test_constants_of_the_body_become_variables() -> None:
    data = np.arange(8, dtype=np.float32)
    arguments = (
        Data(name="a", data=data.tobytes(), byte_offset=16),
        Pointer(name="c", binding=0),
        Scalar(name="n", value=4),
    )
    text = bound(SCALE, "scale", arguments, 1, 0)
    (found,) = run_entry(text, "bound_entry", [np.zeros(4, np.float32)], (), block=(32, 1, 1))
    np.testing.assert_array_equal(found, 2 * data[4:])


def test_triton_s_scratch_pointers() -> None:
    arguments = (
        Pointer(name="x", binding=0),
        Pointer(name="y", binding=1),
        Pointer(name="z", binding=2),
        Scalar(name="n", value=100),
    )
    text = bound(TRITON, "add_kernel", arguments, 3, 0)
    x, y = (np.random.default_rng(seed).standard_normal(100, np.float32) for seed in (1, 2))
    found = run_entry(text, "bound_entry", [x, y, np.zeros(100, np.float32)], (), block=(128, 1, 1))
    np.testing.assert_array_equal(found[2], x + y)
    used = TRITON.replace("\tret;", "\tld.param.b64 %rd6, [add_kernel_param_4];\n\tret;")
    with pytest.raises(PayloadError, match="the entry uses add_kernel_param_4, which nothing stands for"):
        bound(used, "add_kernel", arguments, 3, 0)


def test_debug_data_about_parameters_that_are_gone() -> None:
    text = TRITON.replace(".b64 $L__func_begin0\n", ".b64 add_kernel_param_0\n").replace("sm_80", "sm_80, debug")
    assert bound(text, "add_kernel", (), 3, 0) if "ld.param" not in text else True
    arguments = tuple(Pointer(name=n, binding=i) for i, n in enumerate("xyz"))
    rewritten = bound(text, "add_kernel", (*arguments, Scalar(name="n", value=5)), 3, 0)
    assert ".section" not in rewritten
    assert ".target sm_80\n" in rewritten
    kept = bound(TRITON, "add_kernel", (*arguments, Scalar(name="n", value=5)), 3, 0)
    assert kept.count(".section") == 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ld.param.u64 %rd1, [scale_a];", "mov.u64 %rd1, scale_a;", "the entry takes a parameter's address"),
        (
            "ld.param.u64 %rd1, [scale_a];",
            "mov.u64 %rd1, scale_a; cvta.param.u64 %rd1, %rd1;",
            "the entry takes a parameter's address",
        ),
        ("ld.param.u64 %rd1, [scale_a];", "ld.const.u64 %rd1, [scale_a];", "uses a parameter other than by ld.param"),
        ("ld.param.u64 %rd1, [scale_a];", "ld.param.u64 %rd1, [scale_a+8];", "reads outside of parameter scale_a"),
        ("ld.param.u64 %rd1, [scale_a];", "ld.param.u32 %r4, [scale_a+2];", "reads outside of parameter scale_a"),
        (
            "ld.param.u64 %rd1, [scale_a];",
            "ld.param.v2.u64 {%rd1, %rd2}, [scale_a];",
            "reads outside of parameter scale_a",
        ),
        ("ld.param.u64 %rd1, [scale_a];", "ld.param.u64 %r4, [scale_a];", "a parameter cannot be moved into this"),
        (".ptr .global .align 16", ".ptr .global .align 32", "scale_a is not aligned as the entry takes for granted"),
    ],
)
def test_what_cannot_be_rewritten(old: str, new: str, message: str) -> None:
    assert old in SCALE
    with pytest.raises(PayloadError) as caught:
        bound(SCALE.replace(old, new, 1), "scale", SCALE_ARGUMENTS, 2, 3)
    assert message in str(caught.value)
    assert caught.value.source is not None
    assert caught.value.next_step


@pytest.mark.parametrize(("type_", "value"), [("u32", 1 << 32), ("u32", -1), ("s32", 1 << 31)])
def test_an_axis_that_its_parameter_cannot_hold(type_: str, value: int) -> None:
    text = SCALE.replace(".param .u32 scale_n", f".param .{type_} scale_n")
    with pytest.raises(PayloadError, match="n does not fit parameter scale_n"):
        bound(text, "scale", (*SCALE_ARGUMENTS[:2], Scalar(name="n", value=value)), 2, 3)
    assert bound(text, "scale", (*SCALE_ARGUMENTS[:2], Scalar(name="n", value=(1 << 31) - 1)), 2, 3)


def test_names_that_are_taken() -> None:
    text = SCALE.replace("%p1", "substitute_p0")
    rewritten = bound(text, "scale", SCALE_ARGUMENTS, 2, 3)
    assert ".param .u64 substitute__binding_0" in rewritten
    parse(rewritten)


def test_every_line_keeps_its_number() -> None:
    text = (
        f"{HEADER}.visible .entry probe(\n  .param .u64 out,\n  .param .u64 v0\n)\n{{\n  .reg .b64 %rd<3>;\n"
        "  ld.param.u64 %rd0, [out];\n  ld.param.u64\n    %rd1, [v0];\n  st.global.u64 [%rd0], %rd1;\n  ret;\n}\n"
    )
    arguments = (Pointer(name="out", binding=0), Scalar(name="v0", value=add(push(0), 5)))
    changed = bound(text, "probe", arguments, 1, 1)
    assert changed != text

    def line_of(words: str, text: str) -> int:
        return next(n for n, line in enumerate(text.splitlines()) if words in line)

    for words in (".reg .b64 %rd<3>;", "st.global.u64 [%rd0]", "ret;"):
        assert line_of(words, changed) == line_of(words, text)
    (found,) = run_entry(changed, "bound_entry", [np.zeros(1, np.uint64)], (7,))
    assert found[0] == 12
