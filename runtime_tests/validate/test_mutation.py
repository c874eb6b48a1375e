from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest

from runtime_tests.mutants import killed_share, table
from substitute.errors import UsageError
from substitute.payload.llvm.optimize import parse_ir
from substitute.validate.kernel import find_kernels
from substitute.validate.mutation import ptx_text
from substitute.validate.mutation.code import Code
from substitute.validate.mutation.embed import Extraction
from substitute.validate.mutation.llvm_text import apply, mutants_of
from substitute.validate.mutation.mutant import Mutant, MutationReport, Outcome
from substitute.validate.mutation.mutate import draw, join, mutate_kernel, mutate_kernels
from substitute.validate.mutation.patch import patched
from substitute.validate.mutation.trampoline import MOST_SLOTS

KERNEL = """define void @clamp(ptr %x, ptr %y, i64 %N, i64 %id_x, i64 %id_y, i64 %id_z) {
entry:
  %some = icmp sgt i64 %N, 0
  br i1 %some, label %loop, label %done
loop:
  %n = phi i64 [ 0, %entry ], [ %next, %loop ]
  %from = getelementptr float, ptr %x, i64 %n
  %value = load float, ptr %from, align 4
  %positive = call float @llvm.maximum.f32(float %value, float 0.0)
  %scaled = fmul float %positive, 0.5
  %to = getelementptr float, ptr %y, i64 %n
  store float %scaled, ptr %to, align 4
  %next = add nuw nsw i64 %n, 1
  %more = icmp slt i64 %next, %N
  br i1 %more, label %loop, label %done
done:
  ret void
}
declare float @llvm.maximum.f32(float, float)
"""
MANIFEST = """schema = 1
name = "clamp"
[operands]
x = ["N"]
y = ["N"]
[[target]]
backend = "llvm-cpu"
[payload]
kind = "llvm-ir"
file = "kernel.ll"
entry = "clamp"
[launch]
workgroup_count = ["1", "1", "1"]
"""
DEFINITION = """func.func @clamp(%x: tensor<?xf32>) -> tensor<?xf32> {
  %zero = arith.constant 0.0 : f32
  %half = arith.constant 0.5 : f32
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?xf32>
  %e = tensor.empty(%n) : tensor<?xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%x : tensor<?xf32>) outs(%e : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %p = arith.maximumf %a, %zero : f32
    %s = arith.mulf %p, %half : f32
    linalg.yield %s : f32
  } -> tensor<?xf32>
  return %y : tensor<?xf32>
}
"""


def folder(place: Path, text: str = KERNEL) -> Path:
    place.mkdir()
    (place / "kernel.ll").write_text(text)
    (place / "kernel.toml").write_text(MANIFEST)
    (place / "definition.mlir").write_text(DEFINITION)
    return place


@pytest.mark.unit
def test_every_mutant_is_another_module_of_one_changed_line() -> None:
    mutants = mutants_of(KERNEL)
    texts = {apply(KERNEL, mutant) for mutant in mutants}
    assert len(texts) == len(mutants) > 25
    for text in texts:
        parse_ir(text, "a mutant")
    changes = {(m.line, m.operator, m.after.strip()) for m in mutants}
    assert (14, "bound", "%more = icmp sle i64 %next, %N") in changes
    assert (12, "missing store", "") in changes
    assert any(line == 10 and operator == "swapped operands" for line, operator, _ in changes) is False  # it commutes
    drawn = draw(mutants, 10, seed=3)
    assert drawn == draw(mutants, 10, seed=3) != draw(mutants, 10, seed=4)
    assert len({m.operator for m in drawn}) == 10


PTX = """.visible .entry k(.param .u64 a)
{
  .reg .pred p;
  setp.lt.u32 p, x, 32;
  @p bra done;
  max.NaN.f32 f, f, 0f3F800000;
  bar.sync 0;
  st.global.f32 [out], f;
done:
  ret;
}
"""


@pytest.mark.unit
def test_mutants_of_ptx_keep_the_length_of_the_text() -> None:
    mutants = ptx_text.mutants_of(PTX, code=0)
    for mutant in mutants:
        changed = patched(PTX.encode(), mutant).decode()
        assert len(changed) == len(PTX) and changed != PTX
        assert [n for n, (a, b) in enumerate(zip(PTX.split("\n"), changed.split("\n"), strict=True), 1) if a != b] == [
            mutant.line
        ]
    changes = {(m.line, m.operator, m.after.strip()) for m in mutants}
    assert {
        (4, "bound", "setp.le.u32 p, x, 32;"),
        (4, "constant", "setp.lt.u32 p, x, 31;"),
        (7, "dropped barrier", ";"),
        (4, "signedness", "setp.lt.s32 p, x, 32;"),
        (5, "negated condition", "@!p bra done;"),
        (6, "NaN ignored", "max.f32 f, f, 0f3F800000;"),
        (8, "missing store", ";"),
    } <= changes


@pytest.mark.unit
def test_one_change_in_the_text_of_several_dispatches_is_one_mutant() -> None:
    codes = [Code(number=n, format="ptx", text=PTX + "//" * n, entry="k", entries=(f"run_{n}",)) for n in range(3)]
    alone = [ptx_text.mutants_of(code.text, code=code.number) for code in codes]
    joined = join([m for mutants in alone for m in mutants], codes)
    assert len(joined) == len(alone[0])
    assert all([m.code for m in (mutant, *mutant.elsewhere)] == [0, 1, 2] for mutant in joined)
    generated = [replace(code, title=f"dispatch {code.number}") for code in codes]
    assert len(join([m for mutants in alone for m in mutants], generated)) == 3 * len(alone[0])


@pytest.mark.unit
def test_the_table_of_all_kernels() -> None:
    data = {
        "a x/a": {"message": "", "counts": {"killed": 9, "survived": 1, "equivalent": 2}},
        "b x/b": {"message": "the kernel itself is wrong", "counts": {}},
    }
    text = table(data)
    assert "| a | 12 | 9 | 1 | 2 |" in text and "the kernel itself is wrong" in text
    assert text.endswith("killed: 90.0%") and killed_share({}) == 0.0


def reported(*statuses: str) -> MutationReport:
    mutant = Mutant(code=0, operator="bound", place=0, line=1, before="a", after="b")
    outcomes = tuple(Outcome(mutant=mutant, status=status, reason="it does not verify") for status in statuses)
    return MutationReport(
        kernel="k", device="local-task", seed=0, quick=True, file="k.ll", outcomes=outcomes, possible=len(outcomes)
    )


@pytest.mark.unit
@pytest.mark.parametrize(
    ("statuses", "passed", "unproven"),
    [
        (("invalid", "killed"), True, False),
        (("invalid", "killed", "survived"), False, False),
        (("survived",), False, False),
        (("invalid", "equivalent"), False, True),
        ((), False, True),
    ],
)
def test_mutants_that_change_nothing_prove_nothing(statuses: tuple[str, ...], passed: bool, unproven: bool) -> None:
    report = reported(*statuses)
    assert (report.passed, bool(report.unproven)) == (passed, unproven)
    judged = [status for status in statuses if status in ("killed", "survived")]
    assert report.share == (judged.count("killed") / len(judged) if judged else 0.0)


@pytest.mark.device
def test_a_kernel_of_which_there_are_no_mutants_says_why_and_costs_no_other(tmp_path: Path) -> None:
    (kernel,) = find_kernels([str(folder(tmp_path / "clamp"))])
    (elsewhere,) = find_kernels(["vulkan_softmax"])
    none, error = mutate_kernels([kernel, elsewhere], quick=True, count=1, case="nowhere")
    assert (none.passed, none.unproven) == (False, "no case holds 'nowhere'")
    assert error.error.partition("\n")[0].endswith("vulkan_softmax is not for local-task") and error.unproven
    with pytest.raises(UsageError, match="is not for local-task"):
        mutate_kernels([elsewhere])


@pytest.mark.unit
@pytest.mark.parametrize(("format_", "numbers"), [("llvm", []), ("ptx", [MOST_SLOTS])])
def test_a_full_table_leaves_other_code_for_the_cpu_as_it_is(
    monkeypatch: pytest.MonkeyPatch, format_: Literal["llvm", "ptx"], numbers: list[int]
) -> None:
    extraction = Extraction()
    code = Code(number=0, format=format_, text="", entry="k")
    extraction.codes = [replace(code, number=n, text=str(n)) for n in range(MOST_SLOTS)]
    monkeypatch.setattr(extraction, "_code", lambda built: code)
    dispatch = SimpleNamespace(name="d")
    built = SimpleNamespace(payload=None, request=None, substitution=SimpleNamespace(dispatch=dispatch))
    assert extraction([built]) == [built] and extraction.codes_of("d") == numbers  # type: ignore[list-item]


@pytest.mark.slow
@pytest.mark.device
def test_the_cases_see_the_faults_and_what_they_do_not_see_is_named(tmp_path: Path) -> None:
    (kernel,) = find_kernels([str(folder(tmp_path / "clamp"))])
    report = mutate_kernel(kernel, quick=True, count=100)
    assert not report.message
    assert len(report.outcomes) == report.possible
    assert report.count("invalid") == 0
    seen = {(o.mutant.line, o.mutant.operator) for o in report.outcomes if o.status == "killed"}
    # by results, by memory next to an operand, by an address, by a time limit
    assert {(9, "wrong function"), (12, "write past the end"), (11, "index"), (13, "wrong operation")} <= seen
    assert "it does not end" in {o.reason.partition(": ")[2].partition(":")[0] for o in report.outcomes}
    assert report.share > 0.85
    # the same with inputs that hold no NaN and no infinity
    fewer = mutate_kernel(kernel, quick=True, count=100, case="[exact]")
    assert {o.mutant.change for o in report.survivors} < {o.mutant.change for o in fewer.survivors}


@pytest.mark.device
def test_a_kernel_that_is_wrong_itself_is_said_to_be(tmp_path: Path) -> None:
    (kernel,) = find_kernels([str(folder(tmp_path / "clamp", KERNEL.replace("float 0.0)", "float 1.0)")))])
    report = mutate_kernel(kernel, quick=True, count=5, case="[exact]")
    assert report.message.startswith("the kernel itself is wrong: error:")
    assert not report.outcomes
