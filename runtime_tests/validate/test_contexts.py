"""Programs in which a definition stands among other work."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from substitute.model.kernel import Kernel
from substitute.validate.contexts import context_functions, contexts_of
from substitute.validate.kernel import find_kernels
from substitute.validate.programs import definition_parts, module_text
from substitute.validate.shapes import draw_sizes

pytestmark = pytest.mark.compile
ROW_SQUARES = Path(__file__).parents[2] / "samples/cpu_llvm_ir/kernels/row_squares"
SIZES = [{"B": 2, "M": 5, "N": 7, "K": 3}, {"B": 3, "M": 9, "N": 4, "K": 11}]


@pytest.fixture(scope="module")
def matmul() -> Kernel:
    (kernel,) = find_kernels(["matmul"])
    return kernel


def test_every_context_is_valid_mlir_and_is_what_its_name_says(matmul: Kernel) -> None:
    from iree.compiler import ir

    functions = context_functions(
        matmul, matmul.forms[0], SIZES, first=0, quick=False, random=np.random.default_rng(0)
    ) + context_functions(matmul, matmul.forms[0], SIZES, first=50, quick=False, random=np.random.default_rng(1))
    text = module_text([definition_parts(matmul), *(f.text for f in functions)])
    with ir.Context(), ir.Location.unknown():
        ir.Module.parse(text).operation.verify()
    by_name = {f.label.rpartition(", ")[2]: f for f in functions}
    assert {"scaled and biased", "narrowed", "dequantised", "operands transposed"} <= set(by_name)
    assert "arith.sitofp" in by_name["dequantised"].text
    narrowed = by_name["narrowed"]
    assert re.search(r"-> \(tensor<\?x\w+xf16>\)", narrowed.text)
    for function in functions:
        arguments = len(re.findall(r"%in\d+: tensor", function.text))
        assert bool(function.shapes) == ("?" in function.label)
        assert all(len(shapes) == arguments for shapes in function.shapes)
    opened = [f for f in functions if len(f.shapes) == 2]
    assert opened
    assert all(a != b for a, b in (f.shapes for f in opened))


def test_other_sizes_of_a_convolution_fit_the_axis_that_is_not_open() -> None:
    (conv,) = find_kernels(["conv"])
    form = next(f for f in conv.forms if f.name == "conv")
    drawn = draw_sizes(conv, form, count=6, random=np.random.default_rng(0), most=2**18)
    launched = 0
    for seed in range(50, 64):
        for function in context_functions(conv, form, drawn, first=0, quick=True, random=np.random.default_rng(seed)):
            for (x, w), open_ in ((shapes[:2], function.label) for shapes in function.shapes):
                label = dict(re.findall(r"(\w+)=(\d+)", open_))
                if "P" in label:
                    launched += 1
                    assert x[-1] >= int(label["P"]) - 1 + w[-1], function.label
    assert launched > 3


def test_kernels_get_contexts_for_what_they_offer(matmul: Kernel) -> None:
    form = matmul.forms[0]
    every = {c.name for c in contexts_of(matmul, form, quick=False)}
    assert {"two results", "stored transposed", "argument 1 biased", "argument 0 transposed"} <= every
    plain = replace(matmul, slots=(), operands=tuple(replace(o, strided=False) for o in matmul.operands))
    assert {c.name.partition(":")[0] for c in contexts_of(plain, form, quick=False)} == {
        "one size open",
        "all sizes but one open",
        "other sizes open",
    }
    (strided,) = find_kernels([str(ROW_SQUARES)])
    assert {c.name for c in contexts_of(strided, strided.forms[0], quick=True)} == {
        "operands transposed",
        "one size open",
    }
