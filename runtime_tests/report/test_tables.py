"""Tables as they are printed, whole: narrow and wide terminals, and plain text."""

import io
from dataclasses import replace
from textwrap import dedent

import pytest
from rich.console import Console, RenderableType

from substitute.model.payload_kind import PayloadFormat
from substitute.model.plan import Decision, Payload, Plan, dispatch_key
from substitute.report import tables
from substitute.report.kernels import kernels_table
from substitute.report.rows import find_verdict

pytestmark = pytest.mark.unit


def text(renderable: RenderableType, width: int | None) -> str:
    """The lines of a table without the spaces at their ends."""
    file = io.StringIO()
    Console(file=file, width=width or 10_000, color_system=None).print(renderable)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def test_dispatches_as_plain_text(plan: Plan) -> None:
    lines = text(tables.dispatch_table(plan, width=None), None).splitlines()
    assert [[cell.strip() for cell in line.split("  ") if cell] for line in lines] == [
        ["dispatch", "target", "computes", "kernel, or the nearest and why not", "FLOP", "bytes"],
        [
            "m$async_dispatch_0_matmul",
            "llvm-cpu, embedded-elf-x86_64",
            "contraction (fill, matmul); 64x48xf32, 48x32xf32 → 64x32xf32",
            "matmul_f32; M = 8·8, N = 32, K = 1",
            "199 k",
            "26.6 kB",
        ],
        [
            "m$async_dispatch_1_matmul_D",
            "llvm-cpu, embedded-elf-x86_64",
            "contraction (matmul, generic (×2)); ?x48xf32, 48x33xf32 → ?x33xf32",
            "not matmul_f32: constraint; expected N % 16 == 0, found N = 33",
            "dynamic",
            "dynamic",
        ],
        [
            "m$async_dispatch_10_sort",
            "llvm-cpu, embedded-elf-x86_64",
            "sort (sort); not read: tensor.unpack is not known",
            "not matmul_f32: target; expected llvm-cpu with avx2, found llvm-cpu",
            "?",
            "?",
        ],
        ["1 of 3 dispatches have a kernel: contraction 1/2, sort 0/1; 1 could not be read"],
    ]


def test_dispatches_on_a_narrow_terminal(plan: Plan) -> None:
    assert text(tables.dispatch_table(plan, width=80), 80) == dedent(
        """
         dispatch; computes; kernel, or the nearest and why not          FLOP     bytes
         ──────────────────────────────────────────────────────────────────────────────
         0_matmul                                                       199 k   26.6 kB
         contraction (fill, matmul)
         64x48xf32, 48x32xf32 → 64x32xf32
         matmul_f32
         M = 8·8, N = 32, K = 1

         1_matmul_D                                                   dynamic   dynamic
         contraction (matmul, generic (×2))
         ?x48xf32, 48x33xf32 → ?x33xf32
         not matmul_f32: constraint
         expected N % 16 == 0, found N = 33

         10_sort                                                            ?         ?
         sort (sort)
         not read: tensor.unpack is not known
         not matmul_f32: target
         expected llvm-cpu with avx2, found llvm-cpu

        1 of 3 dispatches have a kernel: contraction 1/2, sort 0/1; 1 could not be read
        All are for llvm-cpu, embedded-elf-x86_64
        All names begin with m$async_dispatch_
        """
    )


@pytest.mark.parametrize("width", [60, 80, 120, 160])
def test_nothing_is_cut_on_any_terminal(plan: Plan, width: int) -> None:
    long = replace(plan.dispatches[1], name="m$async_dispatch_1_" + "Q" * 300)
    changed = replace(
        plan,
        dispatches=(*plan.dispatches[:1], long, *plan.dispatches[2:]),
        decisions=tuple(replace(d, dispatch=long) if d.dispatch is plan.dispatches[1] else d for d in plan.decisions),
    )
    printed = text(tables.dispatch_table(changed, width=width), width)
    assert printed.count("Q") == 300
    assert "…" not in printed
    assert max(map(len, printed.splitlines())) <= width


def test_target_column_where_targets_differ(plan: Plan) -> None:
    other = replace(plan.dispatches[2], target=replace(plan.dispatches[2].target, backend="cuda", format=""))
    mixed = replace(plan, dispatches=(*plan.dispatches[:2], other))
    printed = text(tables.dispatch_table(mixed, width=160), 160)
    assert "target" in printed.split("──")[0]
    assert "cuda" in printed
    assert "All are for" not in printed


def test_no_nearest_kernel_for_what_was_not_read(plan: Plan) -> None:
    """The failed rule would only say again that it was not read."""
    decision = replace(plan.decisions[2], rules=(replace(plan.decisions[2].rules[0], name="structure.read"),))
    printed = text(tables.dispatch_table(replace(plan, decisions=(decision,)), width=None), None)
    assert "not matmul_f32" not in printed
    assert "not read: tensor.unpack is not known" in printed


def test_code_that_the_program_brings_along_is_not_unread(plan: Plan) -> None:
    external = replace(plan.dispatches[2], kind="external", operations=(), reason="its code is an object")
    printed = text(tables.dispatch_table(replace(plan, dispatches=(external,), substitutions=()), width=None), None)
    assert "external; its code is an object " in printed
    assert "read" not in printed
    assert printed.splitlines()[-1] == "0 of 1 dispatches have a kernel: 1 brought along by the program"


def test_model_without_dispatches() -> None:
    empty = Plan(substitutions=(), decisions=(), dispatches=())
    assert text(tables.dispatch_table(empty, width=None), None).splitlines()[-1] == (
        "0 of 0 dispatches have a kernel: the model has none"
    )
    assert text(tables.substitution_table(empty, {}, width=80), 80) == "0 of 0 dispatches substituted\n"


def test_substitutions(plan: Plan) -> None:
    payload = Payload(
        format=PayloadFormat.BITCODE, data=b"x" * 1234, entry="e", workgroup_count=(1, 1, 1), summary="6×16 tiles"
    )
    printed = text(tables.substitution_table(plan, {plan.dispatches[0].name: payload}, width=None), None)
    assert [[cell.strip() for cell in line.split("  ") if cell] for line in printed.splitlines()] == [
        ["dispatch", "kernel", "axes", "payload"],
        [
            "m$async_dispatch_0_matmul",
            "matmul_f32",
            "M = 8·8, N = 32, K = 1; IREE's own code unless M % 4 == 0",
            "llvm-bitcode, 1.23 kB; 6×16 tiles",
        ],
        ["1 of 3 dispatches substituted"],
    ]


def test_no_substitutions_say_what_to_do(plan: Plan) -> None:
    printed = text(tables.substitution_table(replace(plan, substitutions=()), {}, width=None), None)
    assert printed == (
        "0 of 3 dispatches substituted; `iree-substitute inspect` shows which kernel came nearest and why it was not "
        "taken\n"
    )


def test_explanations(accepted: Decision, rejected: Decision) -> None:
    assert text(tables.explanation_table(rejected, width=None), None) == dedent(
        """\
        matmul_f32 does not fit m$async_dispatch_1_matmul_D: constraint failed
        rule        expected     found
        target      llvm-cpu     llvm-cpu  ok
        constraint  N % 16 == 0  N = 33    failed
        """
    )
    assert text(tables.explanation_table(accepted, width=None), None).splitlines()[0] == (
        "matmul_f32 fits m$async_dispatch_0_matmul "
        "(form plain; M = 8·8, N = 32, K = 1; IREE's own code unless M % 4 == 0)"
    )


def test_a_kept_verdict_stands_beside_the_kernel_that_it_is_about(plan: Plan, accepted: Decision) -> None:
    (given,) = [s for s in plan.substitutions if s.dispatch == accepted.dispatch]
    judged = replace(plan, verdicts=((dispatch_key(given.dispatch), "right, 1.30× faster"),))
    shown = [
        text(tables.dispatch_table(judged, width=None), None),
        text(tables.decisions_table([accepted], judged, width=None), None),
        text(tables.explanation_table(accepted, find_verdict(judged, accepted), width=None), None),
    ]
    assert all("right, 1.30× faster" in table for table in shown)
    other = replace(accepted, kernel=replace(accepted.kernel, name="other"))
    assert find_verdict(judged, other) == find_verdict(plan, accepted) == ""


def test_decisions(plan: Plan, accepted: Decision, rejected: Decision) -> None:
    assert text(tables.decisions_table([accepted, rejected], plan, width=None), None) == dedent(
        """\
        kernel matmul_f32
        dispatch                     rules passed  result
        m$async_dispatch_0_matmul               1  fits
        m$async_dispatch_1_matmul_D             1  constraint: expected N % 16 == 0, found N = 33
        """
    )
    other = replace(accepted, kernel=replace(accepted.kernel, name="other"))
    assert text(tables.decisions_table([accepted, other], plan, width=None), None) == dedent(
        """\
        dispatch m$async_dispatch_0_matmul
        kernel      rules passed  result
        matmul_f32             1  fits
        other                  1  fits
        """
    )


def test_kernels(accepted: Decision) -> None:
    raw = replace(
        accepted.kernel,
        name="raw",
        abi="raw",
        operands=(),
        slots=frozenset(),
        constraints=(),
        dispatches=("matmul_.*",),
        kinds=("copy",),
    )
    printed = text(kernels_table([accepted.kernel, raw], width=None), None)
    assert [[cell.strip() for cell in line.split("  ") if cell] for line in printed.splitlines()] == [
        ["kernel", "backend: payload", "operands, slots, constraints", "summary"],
        [
            "matmul_f32",
            "llvm-cpu (avx2): llvm-generator",
            "a[M,K] b[K,N] c[M,N]; slots: epilogue; where N % 16 == 0",
            "Matrix multiply",
        ],
        [
            "raw",
            "llvm-cpu (avx2): llvm-generator (raw)",
            "dispatches of kind copy; dispatches named matmul_.*",
            "Matrix multiply",
        ],
        ["2 kernels"],
    ]


def test_text_of_models_is_no_markup(plan: Plan, rejected: Decision) -> None:
    """Brackets in names and types are data, though rich would take them for styles."""
    odd = replace(rejected.dispatch, name="[bold]x[/bold]")
    printed = text(tables.explanation_table(replace(rejected, dispatch=odd), width=None), None)
    assert "[bold]x[/bold]" in printed
    printed = text(tables.dispatch_table(replace(plan, dispatches=(odd,)), width=None), None)
    assert "[bold]x[/bold]" in printed
