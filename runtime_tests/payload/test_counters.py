"""Counters in LLVM IR: which ways of branches are counted, and that the code does what it did."""

from __future__ import annotations

import ctypes

import llvmlite.binding as llvm
import pytest

from substitute.device.counted import counted_memory, refuse_counters
from substitute.model.coverage import Coverage, join, measure
from substitute.payload.llvm.counters import PAUSES, Counters
from substitute.payload.llvm.optimize import initialize, parse_ir

pytestmark = pytest.mark.unit

KERNEL = """define i64 @f(i64 %n) memory(none) {
  %big = icmp sgt i64 %n, 100
  br i1 %big, label %much, label %few
much:
  ret i64 %n
few:
  switch i64 %n, label %other [ i64 3, label %three
    i64 4, label %other ]
three:
  %p = phi i64 [ 30, %few ]
  ret i64 %p
other:
  %bad = icmp slt i64 %n, 0
  br i1 %bad, label %trap, label %end
end:
  ret i64 7
trap:
  unreachable
}
"""


def run(text: str, *arguments: int) -> list[int]:
    initialize()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = parse_ir(text, "test")
    engine = llvm.create_mcjit_compiler(module, llvm.Target.from_default_triple().create_target_machine())
    engine.finalize_object()
    function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(engine.get_function_address("f"))
    return [function(a) for a in arguments]


@pytest.mark.skipif(bool(refuse_counters()), reason="counters need 64-bit Linux")
def test_what_ran_is_counted() -> None:
    counters = Counters()
    text, key = counters.put_into(KERNEL, "f")
    assert counters.put_into(KERNEL, "f") == (text, key)
    code, memory = counters.codes[key], counted_memory()
    # the way to a trap is none that should be taken
    assert [(w.line, w.way) for w in code.ways] == [(3, "true"), (3, "false"), (14, "false")]
    assert [w.text for w in code.blocks] == ["block three", "block other"]
    memory.clear()
    assert code.entries and not code.entries & memory.read()
    seen: list[Coverage] = []
    for number, result in ((200, 200), (3, 30), (4, 7)):
        memory.clear()
        assert run(text, number) == run(KERNEL, number) == [result]
        assert code.entries <= memory.read()
        seen.append(measure(key, code, memory.read()))
    assert [(c.branches, c.both_ways) for c in seen] == [(2, 0), (2, 0), (2, 1)]
    assert "line 3 `br i1 %big, label %much, label %few`, false" in str(seen[0])
    assert "block three" not in str(seen[1]) and "block other" in str(seen[1])
    whole = measure(key, code, {w.at for w in (*code.ways, *code.blocks)})
    assert (str(whole), whole.share) == ("2 of 2 branches both ways", 1.0)


def test_a_brace_in_a_line_of_its_own() -> None:
    """llvmlite prints functions so."""
    own = KERNEL.replace(" {\n", "\n{\nentry:\n", 1)
    counters, other = Counters(), Counters()
    counted, key = counters.put_into(own, "k")
    parse_ir(counted, "test")
    other.put_into(KERNEL, "k")
    assert len(counters.codes[key].ways) == len(other.codes["k"].ways)


def test_lines_are_those_of_the_source() -> None:
    text = KERNEL.replace("%few\nmuch", "%few, !dbg !7\nmuch") + "\n!7 = !DILocation(line: 88, column: 3, scope: !1)\n"
    counters = Counters()
    _, key = counters.put_into(text, "f")
    assert [w.line for w in counters.codes[key].ways] == [88, 88, 14]


def test_several_pieces_together() -> None:
    one = Coverage(code="a", branches=3, both_ways=2, never=("line 1",))
    two = Coverage(code="b", branches=1, both_ways=1)
    unknown = Coverage(code="c", unknown="code of kind object is not counted")
    both = join([one, None, two, one, unknown])
    assert both is not None and (both.branches, both.both_ways, both.share) == (4, 3, 0.75)
    assert str(both) == "3 of 4 branches both ways; never taken: a: line 1"
    assert join([None]) is None
    assert join([unknown]) == unknown and unknown.share is None
    assert str(unknown) == "branches not measured: code of kind object is not counted"


STATE = """@mark = internal global i32 0
@table = internal global [8 x i64] zeroinitializer
@fixed = internal constant i64 5

define i64 @f(i64 %n) {
  %place = getelementptr [8 x i64], ptr @table, i64 0, i64 %n
  %old = load i64, ptr %place
  store i64 7, ptr %place, align 8
  %own = alloca i64
  store i64 %n, ptr %own
  store volatile i32 1, ptr @mark
  %more = atomicrmw add ptr @table, i64 1 monotonic
  %constant = load i64, ptr @fixed
  ret i64 %old
}
"""


@pytest.mark.skipif(bool(refuse_counters()), reason="counters need 64-bit Linux")
def test_code_pauses_where_it_changes_what_stays() -> None:
    counters = Counters()
    text, key = counters.put_into(STATE, "f")
    assert counters.codes[key].state == ("@table", "@mark")
    assert text.count("call void @substitute.pause()") == 3
    memory = counted_memory()
    memory.clear(pauses=2)
    assert run(text, 3) == [0]
    left = ctypes.c_int32.from_address(PAUSES)
    assert left.value == 0
    text, key = counters.put_into(KERNEL, "g")
    assert counters.codes[key].state == ()
    assert "pause" not in text


WIDE = """define i64 @f(i64 %n) {
  %room = alloca [64 x i8], align 64
  %place = getelementptr i8, ptr %room, i64 %n
  store i32 7, ptr %place, align 4
  store <4 x i32> zeroinitializer, ptr %place, align 4
  %wide = load <2 x float>, ptr %place, align 8
  ret i64 3
}
"""


@pytest.mark.skipif(bool(refuse_counters()), reason="counters need 64-bit Linux")
def test_addresses_that_are_no_multiple_of_what_the_code_says() -> None:
    counters = Counters()
    text, key = counters.put_into(WIDE, "f")
    (way,) = counters.codes[key].aligned
    assert (way.line, way.text) == (6, "%wide = load <2 x float>, ptr %place, align 8")
    memory, found = counted_memory(), []
    for offset in (8, 4):
        memory.clear()
        assert run(text, offset) == [3]
        found.append(way.at in memory.read())
    assert found == [False, True]
