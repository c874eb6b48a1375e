"""Sizes that arrive in several push constants and are equal: by the body, by assumptions, by the host program."""

from __future__ import annotations

import pytest

from runtime_tests.read.executables import context, core_of, executable, parse, program_of, sites
from substitute.model.equalities import Equalities
from substitute.model.index import Expr, Index, apply, leaves, push
from substitute.read.call_sites import equal_constants

pytestmark = pytest.mark.compile

SIZE_0, SIZE_2 = apply("u64", push(0), push(1)), apply("u64", push(2), push(3))


def whole(name: str, binding: int, access: str, type_: str, size: str) -> str:
    """The subspan of a tensor whose first dimension is open."""
    return f"{name} = subspan {binding} : DT<{access}:{type_}>{{{size}}}"


def row_by_row(second: str, more: str = "") -> str:
    """A product whose first operand has `%m` rows, and whose result has `second` rows."""
    window = "offsets = [0, 0], sizes = [{}, 8], strides = [1, 1]"
    return f"""
    %m = size 0
    %n = size 2
    {more}
    {whole("%sa", 0, "readonly", "!?x8xf32", "%m")}
    {whole("%sc", 2, "writeonly", "!?x8xf32", second)}
    %a = DT.load %sa, {window.format("%m")} : DT<readonly:!?x8xf32>{{%m}} -> !?x8xf32
    %b = input 1 !8x8xf32
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty({second}) : !?x8xf32
    %z = linalg.fill ins(%zero : f32) outs(%e : !?x8xf32) -> !?x8xf32
    %r = linalg.matmul ins(%a, %b : !?x8xf32, !8x8xf32) outs(%z : !?x8xf32) -> !?x8xf32
    DT.store %r, %sc, {window.format(second)} : !?x8xf32 -> DT<writeonly:!?x8xf32>{{{second}}}
    """


def test_rows_of_an_operand_and_of_the_result_are_one_size() -> None:
    program = program_of(row_by_row("%n"), constants=4)
    core, (store,) = core_of(program), program.stores
    assert core.sizes[0] == store.sizes[0] == SIZE_0
    assert [o.type.shape[0] for o in program.operands] == [SIZE_0, 8, SIZE_0]


def test_a_size_that_one_operand_knows_is_known() -> None:
    program = program_of(
        row_by_row("%n", "%c12 = arith.constant 12 : index").replace("sizes = [%m", "sizes = [%c12"), constants=4
    )
    assert core_of(program).sizes[0] == program.stores[0].sizes[0] == 12


def copies(second: str) -> str:
    """Two copies that have nothing to do with each other: of `%m` and of `second` elements."""
    parts = []
    for name, size, source, target in (("a", "%m", 0, 2), ("b", second, 1, 3)):
        window = f"offsets = [0], sizes = [{size}], strides = [1]"
        parts.append(f"""
    {whole(f"%s{name}", source, "readonly", "!?xf32", size)}
    {whole(f"%t{name}", target, "writeonly", "!?xf32", size)}
    %{name} = DT.load %s{name}, {window} : DT<readonly:!?xf32>{{{size}}} -> !?xf32
    DT.store %{name}, %t{name}, {window} : !?xf32 -> DT<writeonly:!?xf32>{{{size}}}""")
    return "".join(parts)


def sizes_of(body: str) -> set[Index]:
    (site,) = sites(executable(body, bindings=4, constants=4))
    assert site.dispatch.program is not None, site.dispatch.reason
    return {store.sizes[0] for store in site.dispatch.program.stores}


def test_two_sizes_that_nothing_ties() -> None:
    assert sizes_of("%m = size 0\n%n = size 2\n" + copies("%n")) == {SIZE_0, SIZE_2}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("[<umin = 8, umax = 8>, <umin = 9, umax = 9>]", "[<umin = 8, umax = 8>, <umin = 9, umax = 9>]", {SIZE_0}),
        (
            "[<umin = 8, umax = 8>, <umin = 9, umax = 9>]",
            "[<umin = 9, umax = 9>, <umin = 8, umax = 8>]",
            {SIZE_0, SIZE_2},
        ),
        ("<umin = 0, umax = 64, udiv = 4>", "<umin = 0, umax = 64, udiv = 4>", {SIZE_0, SIZE_2}),
        ("<umin = 7, umax = 7>", "<umin = 0, umax = 9>", {7, SIZE_2}),
    ],
)
def test_what_is_assumed_of_each_call_site(first: str, second: str, expected: set[Index]) -> None:
    head = f"""
    %m0 = size 0
    %n0 = size 2
    %m, %n = util.assume.int
        %m0{first},
        %n0{second}
      : index, index
    """
    assert sizes_of(head + copies("%n")) == expected


def host(*calls: str, body: str) -> str:
    """Return a program that calls the export with these constants, computed from `%p`, `%q` and the results of
    `body`.
    """
    dispatches = "\n".join(
        f"stream.cmd.dispatch @main_dispatch_0::@cpu::@main_dispatch_0_work({constants} : i32, i32, i32, i32) {{\n"
        "  ro %x[%c0 for %c64] : !stream.resource<external>{%c64},\n"
        "  ro %x[%c0 for %c64] : !stream.resource<external>{%c64},\n"
        "  wo %x[%c0 for %c64] : !stream.resource<external>{%c64},\n"
        "  wo %x[%c0 for %c64] : !stream.resource<external>{%c64}\n}"
        for constants in calls
    )
    return f"""
util.func public @main(%r: !stream.resource<external>, %p: i32, %q: i32) -> !stream.timepoint {{
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %high = arith.constant 0 : i32
{body}
  %t = stream.cmd.execute with(%r as %x: !stream.resource<external>{{%c64}}) {{
{dispatches}
  }} => !stream.timepoint
  util.return %t : !stream.timepoint
}}
"""


@pytest.mark.parametrize(
    ("calls", "body", "equal"),
    [
        (["%p, %high, %p, %high"], "", True),
        (["%p, %high, %q, %high"], "", False),
        (["%p, %high, %p, %high", "%q, %high, %q, %high"], "", True),
        (["%p, %high, %p, %high", "%p, %high, %q, %high"], "", False),
        (["%u, %high, %v, %high"], "%u = arith.addi %p, %q : i32\n%v = arith.addi %q, %p : i32", True),
        (["%u, %high, %v, %high"], "%u = arith.subi %p, %q : i32\n%v = arith.subi %q, %p : i32", False),
        (["%u, %high, %v, %high"], "%u = arith.addi %p, %q : i32\n%v = arith.muli %p, %q : i32", False),
    ],
)
def test_what_the_call_sites_pass(calls: list[str], body: str, equal: bool) -> None:
    text = executable("%m = size 0\n%n = size 2\n" + copies("%n"), bindings=4, constants=4)
    module = text + host(*calls, body=body)
    (site,) = sites(module)
    assert site.dispatch.program is not None
    # (the high words are one value everywhere)
    expected = {SIZE_0} if equal else {SIZE_0, apply("u64", push(2), push(1))}
    assert {store.sizes[0] for store in site.dispatch.program.stores} == expected
    # who else could call a public executable is not known
    (site,) = sites(module.replace("hal.executable private", "hal.executable public"))
    assert site.dispatch.program is not None
    assert {store.sizes[0] for store in site.dispatch.program.stores} == {SIZE_0, SIZE_2}


def test_constants_of_one_dispatch_only() -> None:
    text = executable("%m = size 0\n%n = size 2\n" + copies("%n"), bindings=4, constants=4)
    with context():
        found = equal_constants(parse(text + host("%p, %high, %q, %high", body="")))
    assert list(found) == [("main_dispatch_0", "main_dispatch_0_work")]
    assert found["main_dispatch_0", "main_dispatch_0_work"].pairs == {push(3): push(1)}


def test_classes_of_equal_expressions() -> None:
    a, b, c = push(0), push(1), apply("mul", push(2), 4)
    assert isinstance(c, Expr) and len(leaves(c)) == 1
    equal = Equalities([(c, b), (b, a)])
    assert [equal.settle(x) for x in (a, b, c)] == [a, a, a]
    assert not equal.add(c, a)
    assert equal.add(c, 12)
    assert [equal.settle(x) for x in (a, b, c)] == [12, 12, 12]
    assert not equal.add(a, 13)
    assert equal.settle(a) == 12
