"""Reading PTX: what nvcc, LLVM, Triton and people write; and text that is none."""

from __future__ import annotations

import random
import re

import pytest

from substitute.errors import PayloadError
from substitute.payload.ptx import parse
from substitute.payload.ptx.syntax import (
    Address,
    Arguments,
    Float,
    Initial,
    Instruction,
    Integer,
    Label,
    Negated,
    Pair,
    Register,
    Sink,
    SpecialRegister,
    Symbol,
    Vector,
)

from .ptx_texts import EVERYTHING, SCALE, TRITON


def instructions(text: str, entry: str) -> list[Instruction]:
    function = parse(text).entry(entry)
    assert function is not None
    return [s for s in function.body or () if isinstance(s, Instruction)]


def one(text: str, opcode: str) -> Instruction:
    return next(i for i in instructions(text, "everything") if ".".join(i.opcode) == opcode)


def test_header() -> None:
    module = parse(SCALE)
    assert (module.version, module.target, module.address_size) == ((8, 0), "sm_80", 64)
    entry = module.entry("scale")
    assert entry is not None
    assert [(p.type, p.count, p.pointer_alignment, p.pointer, p.name) for p in entry.parameters] == [
        ("u64", 1, 16, "global", "scale_a"),
        ("u64", 1, 1, None, "scale_c"),
        ("u32", 1, 1, None, "scale_n"),
    ]
    (directive,) = entry.directives
    assert (directive.name, directive.values) == ("maxntid", (128, 1, 1))
    assert [(v.name, v.space, v.size_bytes) for v in (*module.variables, *entry.variables)] == [
        ("outside", "shared", 64),
        ("tile", "shared", 128),
    ]
    assert [(r.name, r.type, r.count) for r in entry.registers] == [
        ("%p1", "pred", None),
        ("%r", "b32", 6),
        ("%f", "f32", 3),
        ("%rd", "b64", 6),
    ]


def test_spans_are_the_text() -> None:
    for text in (SCALE, TRITON, EVERYTHING):
        for function in parse(text).functions:
            assert text[function.name_span.start : function.name_span.end] == function.name
            for statement in function.body or ():
                source = text[statement.span.start : statement.span.end]
                if isinstance(statement, Label):
                    assert source.endswith(":")
                else:
                    assert source.endswith(";")
                    assert ".".join(statement.opcode) in source


def test_what_triton_writes() -> None:
    module = parse(TRITON)
    entry = module.entry("add_kernel")
    assert entry is not None
    assert len(entry.parameters) == 6
    assert len(module.sections) == 3
    assert len(instructions(TRITON, "add_kernel")) == 20
    assert [v.count for v in module.variables] == [None]


def test_variables() -> None:
    known = {v.name: v for v in parse(EVERYTHING).variables}
    assert known["text"].initial == (37, 100, 10)
    assert known["names"].initial == (Initial(symbol="text"), Initial(symbol="text", offset=4, generic=True), 0)
    assert known["bytes"].initial == (Initial(symbol="text", mask=0xFF), Initial(symbol="text", mask=0xFF00))
    assert known["table"].initial == (1, 2, 3, 20)
    assert (known["table"].count, known["pairs"].size_bytes, known["pairs"].alignment) == (8, 16, 8)
    assert [e.value for e in known["pairs"].initial or () if isinstance(e, Float)] == [1.5, -2.5, 1.0, 2.0]
    assert [known[n].linkage for n in ("counter", "tentative", "dynamic", "table")] == [
        "weak",
        "common",
        "extern",
        "visible",
    ]


def test_functions() -> None:
    module = parse(EVERYTHING)
    assert [(f.name, f.is_entry, f.body is None) for f in module.functions] == [
        ("vprintf", False, True),
        ("increment", False, False),
        ("through", False, False),
        ("everything", True, False),
    ]
    increment = module.function("increment")
    assert increment is not None
    assert (increment.results[0].register, increment.parameters[0].register) == (True, True)
    entry = module.entry("everything")
    assert entry is not None
    assert [(d.name, d.values, d.text) for d in entry.directives] == [
        ("maxntid", (64, 2), ""),
        ("minnctapersm", (2,), ""),
        ("pragma", (), "nounroll"),
    ]
    assert (entry.parameters[1].array, entry.parameters[1].size_bytes) == (True, 24)
    assert module.aliases == (("another", "through"),)


def test_operands() -> None:
    assert one(EVERYTHING, "mov.u32").operands == (Register("r", "b32"), SpecialRegister("%tid.x"))
    moves = [i.operands[1] for i in instructions(EVERYTHING, "everything") if i.opcode[0] == "mov"]
    assert moves[1:6] == [
        SpecialRegister("WARP_SZ"),
        Symbol("tile", "shared", 8),
        Float(1.0, 0x3FF0000000000000, 64),
        Integer(-16),
        Integer(18),
    ]
    loads = [i.operands for i in instructions(EVERYTHING, "everything") if i.opcode[:3] == ("ld", "shared", "v4")]
    x, y, w = (Register(f"v.{part}", "f32") for part in "xyw")
    assert loads[0] == (Vector((x, y, Register("v.z", "f32"), w)), Address(Register("%rd1", "b64"), -16))
    assert loads[1] == (Vector((x, y, Sink(), w)), Address(Symbol("dynamic", "shared"), 32))
    assert one(EVERYTHING, "st.global.u32").operands[0] == Address(Integer(4096))
    pair = Pair(Register("p", "pred"), Register("q", "pred"))
    assert one(EVERYTHING, "setp.lt.and.s32").operands == (
        pair,
        Register("r", "b32"),
        Integer(4),
        Negated(Register("%p1", "pred")),
    )
    bulk = next(i for i in instructions(EVERYTHING, "everything") if i.opcode[0] == "cp")
    assert bulk.opcode[5:] == ("shared::cluster", "global", "mbarrier::complete_tx::bytes")
    coordinates = Vector((Register("r", "b32"), Register("%r1", "b32")))
    assert bulk.operands[1] == Address(Register("%rd2", "b64"), 0, coordinates)


def test_scopes_have_names_of_their_own() -> None:
    entry = parse(EVERYTHING).entry("everything")
    assert entry is not None
    written = [i.operands[0] for i in instructions(EVERYTHING, "everything") if ".".join(i.opcode) == "mov.u32"]
    assert written[-2:] == [Register("r#2", "b32"), Register("r#3", "b32")]
    labels = [s.name for s in entry.body or () if isinstance(s, Label)]
    assert labels == ["other", "other#2", "end"]
    branches = [i for i in instructions(EVERYTHING, "everything") if i.opcode[0] == "bra"]
    assert branches[0].operands == (Symbol("other#2", "label"),)  # stands outside, so it means the outer one
    assert branches[1].operands == (Symbol("other", "label"),)
    assert [(t.kind, t.targets) for t in entry.tables] == [("callprototype", ()), ("branchtargets", ("other#2", "end"))]
    calls = [i.operands for i in instructions(EVERYTHING, "everything") if i.opcode[0] == "call"]
    assert calls[0][1] == Symbol("through", "function")
    assert calls[0][2] == Arguments((Symbol("first", "param"), Symbol("second", "param")))


def test_a_name_that_hides_a_parameter_is_another() -> None:
    text = SCALE.replace("done:", "{ .param .b32 scale_n; st.param.b32 [scale_n], %r1; }\ndone:")
    accesses = [i.operands[0] for i in instructions(text, "scale") if i.opcode[:2] == ("st", "param")]
    assert accesses == [Address(Symbol("scale_n#2", "param"))]


def test_undeclared_names_are_marked() -> None:
    (move,) = (
        i
        for i in instructions(SCALE.replace("mov.u32 %r2", "mov.u32 %r9"), "scale")
        if i.opcode[0] == "mov" and isinstance(i.operands[1], SpecialRegister)
    )
    assert move.operands[0] == Symbol("%r9", "unknown")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (".version 8.0\n", "", "PTX begins with .version"),
        (".version 8.0", ".version eight", "the version cannot be read"),
        (".target sm_80\n", "", ".target follows .version"),
        (".target sm_80", ".target gfx90", "the target cannot be read"),
        ("done:", "/* done:", "a comment never ends"),
        ("done:", '"done:', "a string never ends"),
        ("done:", "§", "the PTX holds a character that is not ASCII"),
        ("%rd3, %r2, 4;", "%rd3, %r2, 0x4z;", "a number cannot be read"),
        ("%rd3, %r2, 4;", "%rd3, %r2 4;", "an instruction cannot be read"),
        ("%rd3, %r2, 4;", "%rd3, %r2, ;", "an instruction cannot be read"),
        ("%rd3, %r2, 4;", "%rd3, %r2, {4;", "a list of operands cannot be read"),
        ("[scale_n];", "[scale_n;", "an operand cannot be read"),
        ("    ret;\n}\n", "    ret;\n", "'{' is never closed: the PTX is cut off"),
        (".reg .f32 %f<3>", ".reg .f33 %f<3>", "a register's type is not known"),
        (".reg .f32 %f<3>", ".reg %f<3>", "a register has no type"),
        (".reg .f32 %f<3>", ".reg .f32 %f<3", "a family of registers cannot be read"),
        (".reg .pred %p1;", ".reg .pred %p1, %p1;", "%p1 is declared twice"),
        ("done:", "done: done:", "label done stands twice"),
        (".shared .align 16 .f32 tile", ".shared .align 16 tile", "a variable cannot be read"),
        ("tile[8][4]", "tile[-8]", "an array has a size that cannot be"),
        (".param .u32 scale_n", ".param scale_n", "a parameter cannot be read"),
        (".visible .entry scale(", ".visible .entry (", "a function has no name"),
        ("@%p1 bra", "@%p1 .bra", "an instruction cannot be read"),
        ("    ret;\n}\n", "    .unknown 5;\n}\n", "a directive is not known here"),
        (".func (", "call f; .func (", "this cannot stand outside of a function"),
    ],
)
def test_what_cannot_be_read(old: str, new: str, message: str) -> None:
    assert old in SCALE
    with pytest.raises(PayloadError) as caught:
        parse(SCALE.replace(old, new, 1))
    assert message in str(caught.value)
    assert re.search(r"^ +\d+ \| .*\n +\| +\^$", str(caught.value), re.MULTILINE), str(caught.value)
    assert caught.value.next_step


def test_nothing_at_all() -> None:
    for text in ("", "  \n", "// a comment"):
        with pytest.raises(PayloadError, match="the PTX is cut off"):
            parse(text)


def test_mutated_text_is_refused_or_read() -> None:
    """Whatever the text, there is a module or a `PayloadError`."""
    random_ = random.Random(20)
    pieces = [
        *"{}()[];,:@!|-<>%_é#\n\x00",
        ".reg",
        ".param",
        "0x",
        "0f1",
        '"',
        "/*",
        ".b32",
        ".align",
        "= {",
        "generic",
        "call",
        ".loc",
        "9" * 40,
    ]
    read = 0
    for number in range(1500):
        text = list(random_.choice((SCALE, EVERYTHING, TRITON)))
        for _ in range(random_.randint(1, 4)):
            at = random_.randrange(len(text))
            match random_.randrange(4):
                case 3:
                    del text[at + 1 :]
                case 0:
                    del text[at : at + random_.randint(1, 30)]
                case 1:
                    text.insert(at, random_.choice(pieces))
                case _:
                    text[at] = random_.choice(text)
        try:
            parse("".join(text))
            read += 1
        except PayloadError as error:
            assert str(error)
        except Exception as error:
            raise AssertionError(f"mutation {number} of seed 20") from error
    assert 100 < read < 1400  # the mutations are neither all harmless nor all fatal


@pytest.mark.parametrize("opened", ["(", "{", "[", "-", "~", "(-", "[{"])
def test_deep_nesting_is_refused(opened: str) -> None:
    deep = opened * 20_000
    with pytest.raises(PayloadError):
        parse(SCALE.replace("%rd3, %r2, 4;", f"%rd3, %r2, {deep} 4;"))
    with pytest.raises(PayloadError):
        parse(SCALE.replace("tile[8][4];", f"tile[8] = {deep};"))
    with pytest.raises(PayloadError):
        parse(SCALE.replace("done:", deep))
