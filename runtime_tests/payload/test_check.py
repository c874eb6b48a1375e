"""Code of kernels that fit, checked before anything is compiled; window axes; debug information."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from substitute import Session, compile_model, inspect_model
from substitute.errors import ManifestError, PayloadError
from substitute.inspection import make_code
from substitute.model.plan import Plan
from substitute.payload.check import BROKEN, pair_of

pytestmark = pytest.mark.device

FIR = """\
#x = affine_map<(m, n, r) -> (m, n + r)>
#w = affine_map<(m, n, r) -> (r)>
#y = affine_map<(m, n, r) -> (m, n)>
func.func @fir(%x: tensor<{M}x{W}xf32>, %w: tensor<{R}xf32>) -> tensor<{M}x{N}xf32> {{
  %z = arith.constant 0.0 : f32
{sizes}
  %e = tensor.empty({dynamic}) : tensor<{M}x{N}xf32>
  %i = linalg.fill ins(%z : f32) outs(%e : tensor<{M}x{N}xf32>) -> tensor<{M}x{N}xf32>
  %r = linalg.generic {{indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "reduction"]}}
      ins(%x, %w : tensor<{M}x{W}xf32>, tensor<{R}xf32>) outs(%i : tensor<{M}x{N}xf32>) {{
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  }} -> tensor<{M}x{N}xf32>
  return %r : tensor<{M}x{N}xf32>
}}
"""
OPEN = """\
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = tensor.dim %x, %c0 : tensor<?x?xf32>
  %W = tensor.dim %x, %c1 : tensor<?x?xf32>
  %R = tensor.dim %w, %c0 : tensor<?xf32>
  %d = arith.subi %W, %R : index
  %n = arith.addi %d, %c1 : index"""
DEFINITION = FIR.format(M="?", W="?", R="?", N="?", sizes=OPEN, dynamic="%m, %n")
MODEL = FIR.format(M=5, W=12, R=3, N=10, sizes="", dynamic="")
MANIFEST = """\
schema = 1
name = "fir"
{more}
[operands]
x = ["M", "W"]
w = ["R"]
y = ["M", "N"]
[[target]]
backend = "llvm-cpu"
[payload]
kind = "llvm-ir"
file = "k.ll"
entry = "fir"
[launch]
workgroup_count = ["{count}", "1", "1"]
"""
CODE = """\
define void @fir(ptr %x, ptr %w, ptr %y, {sizes}, i64 %row, i64 %wy, i64 %wz) {{
entry:
  %xo = mul i64 %row, %W
  %yo = mul i64 %row, %N
  %xr = getelementptr float, ptr %x, i64 %xo
  %yr = getelementptr float, ptr %y, i64 %yo
  br label %outer
outer:
  %i = phi i64 [0, %entry], [%i1, %done]
  %xi = getelementptr float, ptr %xr, i64 %i
  br label %inner
inner:
  %r = phi i64 [0, %outer], [%r1, %inner]
  %s = phi float [0.0, %outer], [%s1, %inner]
  %xp = getelementptr float, ptr %xi, i64 %r
  %wp = getelementptr float, ptr %w, i64 %r
  %xv = load float, ptr %xp
  %wv = load float, ptr %wp
  %p = fmul float %xv, %wv
  %s1 = fadd float %s, %p
  %r1 = add i64 %r, 1
  %rm = icmp slt i64 %r1, %R
  br i1 %rm, label %inner, label %done
done:
  %yp = getelementptr float, ptr %yr, i64 %i
  store float %s1, ptr %yp
  %i1 = add i64 %i, 1
  %im = icmp slt i64 %i1, %N
  br i1 %im, label %outer, label %end
end:
  ret void
}}
"""
NO_SIZE = "no size of `N` meets the constraints"
SIZES = "i64 %M, i64 %W, i64 %R, i64 %N"


def kernel(folder: Path, *, sizes: str = SIZES, count: str = "M", more: str = "", code: str = CODE) -> Path:
    folder.mkdir()
    (folder / "definition.mlir").write_text(DEFINITION)
    (folder / "kernel.toml").write_text(MANIFEST.format(more=more, count=count))
    (folder / "k.ll").write_text(code.format(sizes=sizes))
    (folder / "model.mlir").write_text(MODEL)
    return folder


def plan_of(folder: Path) -> Plan:
    return inspect_model(folder / "model.mlir", kernels=[folder], builtin=False)


def result_of(folder: Path) -> bytes:
    """Compiles and runs it, and compares with the sums; returns the code that was embedded."""
    random = np.random.default_rng(1)
    x, w = random.normal(size=(5, 12)).astype(np.float32), random.normal(size=3).astype(np.float32)
    made = compile_model(folder / "model.mlir", kernels=[folder], builtin=False, require=["fir"])
    with Session(made.vmfb, device="local-sync") as session:
        (found,) = session.call(None, [x, w])
    wanted = np.lib.stride_tricks.sliding_window_view(x, 3, axis=1) @ w
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    (payload,) = made.payloads.values()
    return payload.data


def test_an_axis_that_only_a_window_moves_along_is_passed(tmp_path: Path) -> None:
    made = kernel(tmp_path / "k", more='constraints = ["W % 2 == 0", "W == N + R - 1"]')
    (substitution,) = plan_of(made).substitutions
    assert [(a.name, a.size) for a in substitution.match.axes] == [("M", 5), ("N", 10), ("R", 3), ("W", 12)]
    result_of(made)


def test_a_launch_over_a_windows_axis(tmp_path: Path) -> None:
    """One workgroup for each element of a row of the input: those beyond the rows have nothing to do."""
    code = CODE.replace("entry:\n", "entry:\n  %in = icmp slt i64 %row, %M\n  br i1 %in, label %go, label %end\ngo:\n")
    result_of(kernel(tmp_path / "k", count="W", code=code.replace("[0, %entry], [%i1", "[0, %go], [%i1")))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"sizes": "i64 %M, i64 %W, i64 %R, i64 %N, i64 %more"}, "does not have the parameters"),
        ({"sizes": "i32 %M, i64 %W, i64 %R, i64 %N"}, "does not have the parameters"),
        ({"code": CODE.replace("@fir", "@other")}, "does not define @fir"),
        ({"code": CODE.replace("ret void", "ret i32 0")}, "k.ll, line"),
        (
            {"code": CODE.replace("  ret void", "  call void @nobody()\n  ret void") + "declare void @nobody()\n"},
            "calls what nobody defines: nobody",
        ),
    ],
)
def test_what_does_not_compile_does_not_fit(tmp_path: Path, change: dict[str, str], found: str) -> None:
    made = kernel(tmp_path / "k", **change)
    plan = plan_of(made)
    assert plan.substitutions == ()
    (decision,) = plan.decisions
    assert not decision.accepted
    assert decision.rules[-1].name == BROKEN
    assert found in decision.rules[-1].found
    with pytest.raises(PayloadError):
        compile_model(made / "model.mlir", kernels=[made], builtin=False)


def test_a_kernel_that_would_end_the_compilation_leaves_no_substitution(tmp_path: Path) -> None:
    """Not even of a built-in kernel: compiling the model ends in the error."""
    made = kernel(tmp_path / "k", sizes="i64 %M")
    plan = inspect_model(made / "model.mlir", kernels=[made])
    assert plan.substitutions == ()
    assert any(d.accepted and d.kernel.builtin for d in plan.decisions), "twin: one would take it"
    assert inspect_model(made / "model.mlir").substitutions


GENERATOR = """
from substitute.errors import PayloadError
from substitute.model.plan import Generated


def can_generate(program):
    return ""


def generate(request):
    {body}
"""


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise PayloadError('no code for this one')", True),
        ("return Generated(text='define void @fir( {', workgroup_count=(1, 1, 1))", False),
    ],
)
def test_a_generator_is_asked_as_compiling_asks_it(tmp_path: Path, body: str, told: bool) -> None:
    """A refusal is known when a model is inspected; text that is no code when its pair is made."""
    made = kernel(tmp_path / "k")
    toml = (made / "kernel.toml").read_text().partition("[launch]")[0]
    toml = toml.replace('"llvm-ir"', '"llvm-generator"').replace('"k.ll"', '"generator.py"')
    (made / "kernel.toml").write_text(toml)
    (made / "generator.py").write_text(GENERATOR.format(body=body))
    plan = plan_of(made)
    (decision,) = plan.decisions
    assert decision.accepted is not told
    plan = make_code(plan, frozenset({pair_of(decision)}))
    assert plan.substitutions == ()
    assert plan.decisions[0].rules[-1].name == BROKEN
    with pytest.raises(PayloadError) as error:
        compile_model(made / "model.mlir", kernels=[made], builtin=False)
    assert error.value.what in plan.decisions[0].rules[-1].found


def test_code_with_debug_information(tmp_path: Path) -> None:
    """IREE calls it from a function with its own debug information, which LLVM's verifier may refuse."""
    from substitute.payload.llvm.optimize import parse_bitcode

    code = CODE.replace("%wz) {{", "%wz) !dbg !4 {{").replace("mul i64 %row, %N", "mul i64 %row, %N, !dbg !5")
    code += """
!llvm.dbg.cu = !{{!0}}
!llvm.module.flags = !{{!2}}
!0 = distinct !DICompileUnit(language: DW_LANG_C11, file: !1, producer: "hand", emissionKind: FullDebug)
!1 = !DIFile(filename: "k.c", directory: "/tmp")
!2 = !{{i32 2, !"Debug Info Version", i32 3}}
!3 = !DISubroutineType(types: !{{null}})
!4 = distinct !DISubprogram(name: "fir", scope: !1, file: !1, line: 3, type: !3, spFlags: DISPFlagDefinition, unit: !0)
!5 = !DILocation(line: 4, column: 3, scope: !4)
"""
    text = str(parse_bitcode(result_of(kernel(tmp_path / "k", code=code)), "k"))
    assert "define void @" in text
    assert "DISubprogram" not in text
    assert "!dbg" not in text


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('x = ["M", "W"]', 'x = ["M", "M"]', "the axis `M` has two sizes"),
        ('x = ["M", "W"]', 'x = ["M", "N"]', "the axis `N` has two sizes"),
        ('y = ["M", "N"]', 'y = ["N", "M"]', "the axes `N` and `M` are one loop of the definition"),
        (
            "[operands]",
            'constraints = ["N % 2 == 0", "N % 4 == 3"]\n[operands]',
            NO_SIZE,
        ),
        ("[operands]", 'constraints = ["N > 5", "N < 6 and M < 9"]\n[operands]', ""),
        ("[operands]", 'constraints = ["N > 5", "N < 6"]\n[operands]', NO_SIZE),
        ("[operands]", 'constraints = ["N % 5000 == 1", "N > 7000"]\n[operands]', ""),
    ],
)
def test_axes_that_cannot_be(tmp_path: Path, old: str, new: str, what: str) -> None:
    from substitute.catalog.catalog import load_catalog

    made = kernel(tmp_path / "k")
    text = (made / "kernel.toml").read_text()
    (made / "kernel.toml").write_text(text.replace(old, new))
    if not what:
        assert load_catalog([made], builtin=False).kernels
        return
    with pytest.raises(ManifestError) as caught:
        load_catalog([made], builtin=False)
    assert caught.value.what == what
