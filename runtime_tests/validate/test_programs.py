"""Programs drawn for a kernel: sizes within its constraints, and every one of them compiles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from substitute.catalog.catalog import load_catalog
from substitute.compiler import Compilation
from substitute.errors import UsageError
from substitute.flags import with_default_target
from substitute.model.constraints import evaluate_constraint, parse_constraint
from substitute.model.index import Index
from substitute.model.kernel import Kernel
from substitute.read.module import read_module
from substitute.validate import programs
from substitute.validate.kernel import check_device, find_kernels
from substitute.validate.kinds import PROGRAMS, functions_of_kinds
from substitute.validate.programs import (
    Function,
    definition_functions,
    definition_parts,
    module_text,
    shape_sets,
)
from substitute.validate.shapes import LONG, check_constraints, draw_sizes, free_axes, repaired
from substitute.validate.targets import flags_for

pytestmark = pytest.mark.compile


def builtin(name: str) -> Kernel:
    return load_catalog([]).kernel(name)


def kinds_in(functions: list[bytes]) -> set[str]:
    """Return the kinds of the dispatches that IREE makes of a module."""
    with Compilation(with_default_target(()), name="test") as compilation:
        compilation.parse(module_text([f.decode() for f in functions]))
        compilation.run("start", "executable-sources")
        assert compilation.module is not None
        return {site.dispatch.kind for site in read_module(compilation.module)}


@pytest.mark.parametrize("kind", list(PROGRAMS))
def test_programs_of_kinds(kind: str) -> None:
    functions = functions_of_kinds([kind], first=3, quick=True)
    assert [f.name for f in functions] == [f"case_{3 + i}" for i in range(len(functions))]
    assert len({f.label for f in functions}) == len(functions)
    assert kind in kinds_in([f.text.encode() for f in functions])
    assert len(functions_of_kinds([kind], first=0, quick=False)) >= len(functions)


def test_a_definition_at_many_sizes() -> None:
    kernel = builtin("matmul")
    functions = definition_functions(kernel, quick=True, random=np.random.default_rng(3))
    again = definition_functions(kernel, quick=True, random=np.random.default_rng(3))
    assert functions == again
    labels = " / ".join(f.label for f in functions)
    assert all(word in labels for word in ("B=1, M=1, N=1, K=1", "open sizes", "shared", "epilogue", "prologue"))
    texts = [definition_parts(kernel).encode(), *(f.text.encode() for f in functions)]
    assert kinds_in(texts) >= {"contraction", "elementwise"}
    sets = shape_sets(functions)
    open_ = next(f for f in functions if f.shapes)
    assert [s[open_.name] for s in sets] == list(open_.shapes)
    assert any(0 in shape for shapes in open_.shapes for shape in shapes)  # nothing to do, and nothing to be done


def offsets_in(kernel: Kernel, functions: Sequence[Function], device: str) -> dict[str, list[Index]]:
    """Return the offsets of the operands of each contraction or softmax dispatch in their bindings, by its function."""
    parts = [definition_parts(kernel), *(f.text for f in functions)]
    with Compilation(with_default_target(flags_for(device, ())), name="test") as compilation:
        compilation.parse(module_text(parts))
        compilation.run("start", "executable-sources")
        assert compilation.module is not None
        found = [site.dispatch for site in read_module(compilation.module)]
    return {
        d.name.partition("_dispatch")[0]: [o.byte_offset for o in d.program.operands if o.kind == "binding"]
        for d in found
        if d.kind in ("contraction", "softmax") and d.program is not None
    }


@pytest.mark.parametrize(
    ("name", "device"), [("matmul", "local-task"), ("softmax", "local-task"), ("vulkan_matmul", "vulkan")]
)
def test_operands_begin_inside_of_a_shared_binding(name: str, device: str) -> None:
    kernel = builtin(name)
    functions = definition_functions(kernel, quick=True, random=np.random.default_rng(3))
    (shared,) = [f for f in functions if f.label.endswith(", shared")]
    # with the other programs: a dispatch that is also theirs would get its offsets as constants
    found = offsets_in(kernel, functions, device)
    assert all(isinstance(offset, int) and offset > 0 for offset in found[shared.name]), found
    assert len(set(found[shared.name])) == len(found[shared.name]) >= 2
    plain = [f.name for f in functions if not f.shapes and re.fullmatch(r"@\w+ \w+=\d+(, \w+=\d+)*", f.label)]
    assert len(plain) >= 3
    assert {offset for name in plain for offset in found.get(name, ())} == {0}


def test_a_barrier_gives_each_operand_a_buffer_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def barred(result: str, values: Sequence[str], type_: str, rank: int, body: str) -> str:
        inner = programs._elementwise(f"{result}_inside", values, type_, rank, body)
        return f"{inner}\n{result} = util.optimization_barrier {result}_inside : {type_}"

    monkeypatch.setattr(programs, "_apart", barred)
    kernel = builtin("matmul")
    functions = definition_functions(kernel, quick=True, random=np.random.default_rng(3))
    (shared,) = [f for f in functions if f.label.endswith(", shared")]
    assert set(offsets_in(kernel, [shared], "local-task")[shared.name]) == {0}


def test_sizes_that_the_definition_names() -> None:
    folder = Path(__file__).parents[2] / "ptx_blobs" / "rms_norm"
    (kernel,) = find_kernels([str(folder)])
    functions = definition_functions(kernel, quick=True, random=np.random.default_rng(3))
    # of the forms that differ in nothing but their width, a few where there is little time, and all else
    quick = {f.label.partition(" ")[0] for f in functions}
    assert {"@square_256", "@square_4096", "@power_256", "@power_4096"} <= quick and len(quick) == 6
    assert "%in0: tensor<5x256xf32>, %in1: tensor<256xf32>" in " / ".join(f.text for f in functions)
    assert "tensor<?x4096xf32>, tensor<4096xf32>, f32) -> (tensor<?x4096xf32>)" in functions[-1].text
    assert {shape[1][0] for f in functions if f.label.startswith("@square_256 of open") for shape in f.shapes} == {256}
    for form in kernel.forms:
        width = int(form.name.rpartition("_")[2])
        for sizes in draw_sizes(kernel, form, count=4, random=np.random.default_rng(1), most=2**18):
            assert sizes["C"] == width and sizes["R"] * width <= 2**18
    texts = [definition_parts(kernel).encode(), *(f.text.encode() for f in functions)]
    assert "normalization" in kinds_in(texts)


def test_sizes_that_constraints_ask_for() -> None:
    axes = ("M", "N", "K")
    made = [parse_constraint(text, axes) for text in ("K % 8 == 0 and N % 8 == 0 and M >= 16", "N <= 64", "M < K * 9")]
    assert repaired(made, {"M": 5, "N": 31, "K": 64}) == {"M": 16, "N": 32, "K": 64}
    assert repaired(made, {"M": 33, "N": 65, "K": 3}) == {"M": 33, "N": 8, "K": 8}
    kernel = replace(builtin("matmul"), constraints=tuple(made))
    drawn = draw_sizes(kernel, kernel.forms[0], count=12, random=np.random.default_rng(1), most=2**22)
    assert len(drawn) == 12 and all(s["N"] <= 64 and s["M"] < s["K"] * 9 for s in drawn)
    assert {s["M"] for s in drawn} > {16, 17}


@pytest.mark.parametrize(
    ("texts", "sizes"),
    [
        (("M % 128 == 0", "N % 128 == 0", "K % 128 == 0"), {"M": 128, "N": 128, "K": 128}),
        (("M == 768 and N == 3072",), {"M": 768, "N": 3072}),
        (("N == 50257",), {"N": 50257}),
        (("N % 96 == 0", "N >= 1000"), {"N": 1056}),
        (("K == 3 * N", "N % 8 == 0"), {"N": 8, "K": 24}),
        (("M * N == 8192", "M == 32"), {"M": 32, "N": 256}),
        (("N < 4",), {"N": 1}),
    ],
)
def test_sizes_far_from_those_that_are_drawn(texts: tuple[str, ...], sizes: dict[str, int]) -> None:
    kernel = builtin("matmul")
    made = replace(kernel, constraints=tuple(parse_constraint(t, "BMNK") for t in texts))
    check_constraints(made)
    drawn = draw_sizes(made, made.forms[0], count=4, random=np.random.default_rng(1), most=2**18)
    assert drawn
    assert {axis: drawn[0][axis] for axis in sizes} == sizes
    assert all(evaluate_constraint(c, s) for s in drawn for c in made.constraints)


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (("N % 2 == 0", "M > 1", "N % 2 == 1"), "`N % 2 == 0` and `N % 2 == 1`"),
        (("N < 1 and N > 4",), "`N < 1 and N > 4`"),
        (("M == N", "M == 3", "N == 5"), "`M == N` and `M == 3` and `N == 5`"),
    ],
)
def test_constraints_that_contradict_each_other(texts: tuple[str, ...], found: str) -> None:
    made = replace(builtin("matmul"), constraints=tuple(parse_constraint(t, "BMNK") for t in texts))
    with pytest.raises(UsageError) as error:
        check_constraints(made)
    assert error.value.found == found


def test_axes_that_follow_from_others() -> None:
    kernel = builtin("conv")
    (form,) = kernel.forms
    assert set(free_axes(form)) == {"G", "N", "F", "P", "C", "R"}
    for sizes in draw_sizes(kernel, form, count=5, random=np.random.default_rng(1), most=10**6):
        assert sizes["X"] == sizes["P"] + sizes["R"] - 1


def test_one_axis_alone_is_long_too() -> None:
    kernel = builtin("matmul")
    assert LONG > 64 * 256
    (form, *_), random = kernel.forms, np.random.default_rng(1)
    nest = form.program.stores[0]
    program = replace(form.program, operands=(), cores=(), stores=(replace(nest, sizes=nest.sizes[:1]),))
    line, of_line = replace(form, program=program), replace(kernel, operands=())
    (axis,) = free_axes(line)
    assert LONG in [sizes[axis] for sizes in draw_sizes(of_line, line, count=6, random=random, most=2**18)]
    drawn = draw_sizes(kernel, form, count=24, random=random, most=2**40)
    assert not any(LONG in sizes.values() for sizes in drawn)


def test_sizes_keep_to_constraints() -> None:
    from substitute.model.constraints import parse_constraint

    kernel = builtin("matmul")
    texts = ("N % 16 == 0", "K >= 32 and K % 4 == 0")
    strict = replace(kernel, constraints=tuple(parse_constraint(t, "BMNK") for t in texts))
    drawn = draw_sizes(strict, kernel.forms[0], count=6, random=np.random.default_rng(1), most=10**7)
    assert len(drawn) == 6
    assert all(s["N"] % 16 == 0 and s["K"] >= 32 and s["K"] % 4 == 0 for s in drawn)
    loose = draw_sizes(kernel, kernel.forms[0], count=6, random=np.random.default_rng(1), most=10**7)
    assert not all(s["N"] % 16 == 0 for s in loose)


def test_finding_kernels() -> None:
    names = [k.name for k in find_kernels(["softmax", "matmul", "softmax"])]
    assert names == ["softmax", "matmul"]
    assert [k.name for k in find_kernels([str(builtin("conv").folder)])] == ["conv"]
    with pytest.raises(UsageError):
        find_kernels(["nothing"])
    check_device(builtin("conv"), "local-sync")
    with pytest.raises(UsageError, match="conv is not for vulkan"):
        check_device(builtin("conv"), "vulkan")
