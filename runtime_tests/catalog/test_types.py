"""Element types as variables: the kernels that a manifest with `[types]` is, and their definitions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from substitute import compile_model
from substitute.catalog.catalog import load_catalog
from substitute.catalog.types import instantiate, list_bindings
from substitute.device import Session
from substitute.errors import ManifestError, UsageError
from substitute.validate.kernel import find_kernels

MANIFEST = """
schema = 1
name = "scaled"
summary = "In {T}"
[types]
T = ["f32", "f64"]
A = ["T", "f64"]
[operands]
x = ["N"]
y = ["N"]
[parameters]
scale = "scale > 0"
[[target]]
backend = "llvm-cpu"
[payload]
kind = "llvm-ir"
file = "{T}_{A}.ll"
entry = "scaled_{T}"
[launch]
workgroup_count = ["N", "1", "1"]
"""
DEFINITION = """
!T = f32  // an element
!A = f32
func.func @scaled(%x: tensor<?x!T>, %scale: !A) -> tensor<?x!A> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x!T>
  %low = arith.constant 0xC0000000 : !A  // -2
  %e = tensor.empty(%n) : tensor<?x!A>
  %y = linalg.generic {indexing_maps = [affine_map<(n) -> (n)>, affine_map<(n) -> (n)>],
      iterator_types = ["parallel"]} ins(%x : tensor<?x!T>) outs(%e : tensor<?x!A>) {
  ^bb0(%a: !T, %o: !A):
    %w = arith.extf %a : !T to !A
    %m = arith.maximumf %w, %low : !A
    %r = arith.mulf %m, %scale : !A
    linalg.yield %r : !A
  } -> tensor<?x!A>
  return %y : tensor<?x!A>
}
"""
LLVM = {"f32": "float", "f64": "double"}
MARK = 7


def code(source: str, result: str) -> str:
    a, b = LLVM[source], LLVM[result]
    widened = "%v = fpext float %u to double" if a != b else f"%v = bitcast {a} %u to {b}"
    return f"""define void @scaled_{source}(ptr %x, ptr %y, i64 %N, {b} %scale, i64 %i, i64 %j, i64 %k) {{
  %from = getelementptr {a}, ptr %x, i64 %i
  %to = getelementptr {b}, ptr %y, i64 %i
  %u = load {a}, ptr %from
  {widened}
  %s = fmul {b} %v, %scale
  %t = fadd {b} %s, {float(MARK)}
  store {b} %t, ptr %to
  ret void
}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "scaled"
    place.mkdir()
    (place / "kernel.toml").write_text(MANIFEST)
    (place / "definition.mlir").write_text(DEFINITION)
    for source, result in (("f32", "f32"), ("f32", "f64"), ("f64", "f64")):
        (place / f"{source}_{result}.ll").write_text(code(source, result))
    return place


@pytest.mark.unit
def test_bindings() -> None:
    types = {"T": ["f32", "f16"], "A": ["T", "f32"]}
    assert list_bindings(types) == [
        (("T", "f32"), ("A", "f32")),
        (("T", "f16"), ("A", "f16")),
        (("T", "f16"), ("A", "f32")),
    ]
    assert list_bindings({}) == [()]


@pytest.mark.unit
@pytest.mark.parametrize(
    ("line", "types", "result"),
    [
        ("%w = arith.extf %a : !T to !A", ("f32", "f32"), "%w = arith.bitcast %a : !T to !A"),
        ("%w = arith.extf %a : !T to !A", ("f16", "f32"), "%w = arith.extf %a : !T to !A"),
        ("%w = arith.extf %a : !T to !A", ("f64", "f32"), "%w = arith.truncf %a : !T to !A"),
        ("%w = arith.truncf %a : !A to !T", ("f64", "f32"), "%w = arith.extf %a : !A to !T"),
        ("%w = arith.truncf %a fastmath<nnan> : !A to !T", ("f32", "f32"), ""),
        (
            "%w = arith.extf %a : tensor<?x!T> to tensor<?x!A>",
            ("f32", "f32"),
            "%w = arith.bitcast %a : tensor<?x!T> to tensor<?x!A>",
        ),
        ("%w = arith.extf %a : f16 to f32", ("f32", "f32"), "%w = arith.extf %a : f16 to f32"),
        ("%w = arith.constant 0xFF800000 : !T", ("f16", "f32"), "%w = arith.constant 0xFC00 : !T"),
        ("%w = arith.constant 0xFF800000 : !T", ("bf16", "f32"), "%w = arith.constant 0xFF80 : !T"),
        ("%w = arith.constant 0xFF800000 : !A", ("f16", "f32"), "%w = arith.constant 0xFF800000 : !A"),
        ("%w = arith.constant 0x3FC00000 : !T", ("f64", "f32"), "%w = arith.constant 0x3FF8000000000000 : !T"),
        ("%w = arith.constant 0xFF800000 : f32", ("f16", "f32"), "%w = arith.constant 0xFF800000 : f32"),
    ],
)
def test_instances(line: str, types: tuple[str, str], result: str) -> None:
    head = "!T = f32\n!A = f32\n"
    found = instantiate(head + line, (("T", types[0]), ("A", types[1])), "definition.mlir")
    assert found.startswith(f"!T = {types[0]}\n!A = {types[1]}\n")
    assert found.splitlines()[2] == (result or line), found


@pytest.mark.compile
def test_a_kernel_for_each_choice(folder: Path) -> None:
    found = load_catalog([folder], builtin=False).kernels
    assert [(k.name, k.family, k.payload.path.name, k.payload.entry, k.summary) for k in found] == [
        ("scaled.f32.f32", "scaled", "f32_f32.ll", "scaled_f32", "In f32"),
        ("scaled.f32.f64", "scaled", "f32_f64.ll", "scaled_f32", "In f32"),
        ("scaled.f64.f64", "scaled", "f64_f64.ll", "scaled_f64", "In f64"),
    ]
    elements = [[o.type.element for o in k.forms[0].program.operands] + [k.parameters[0].type] for k in found]
    assert elements == [["f32", "f32", "f32"], ["f32", "f64", "f64"], ["f64", "f64", "f64"]]
    assert load_catalog([folder], builtin=False, kept=True).kernels == found
    assert [k.name for k in find_kernels(["scaled"], folders=[folder], builtin=False)] == [k.name for k in found]
    with pytest.raises(UsageError, match="several kernels"):
        load_catalog([folder], builtin=False).kernel("scaled")


@pytest.mark.compile
@pytest.mark.parametrize(
    ("file", "old", "new", "what"),
    [
        ("kernel.toml", 'A = ["T", "f64"]', 'A = ["U", "f64"]', "unknown type `U`"),
        ("kernel.toml", 'A = ["T", "f64"]', 'A = ["f23"]', "unknown type `f23`"),
        ("kernel.toml", 'A = ["T", "f64"]', 'A = ["T", "f64"]\nB = ["f32"]', "the definition has no type `!B`"),
        ("kernel.toml", "{T}_{A}.ll", "{T}.ll", "there is no file `f32.ll`"),
        ("kernel.toml", "scaled_{T}", "scaled_{B}", "a name in braces is no variable"),
        ("definition.mlir", "%m, %scale : !A", "%m, %scale : !T", "the definition is not valid MLIR"),
    ],
)
def test_what_is_wrong(file: str, old: str, new: str, what: str, folder: Path) -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    with pytest.raises(ManifestError) as failure:
        load_catalog([folder], builtin=False)
    assert what in str(failure.value)


def function(name: str, source: str, result: str, op: str = "mulf") -> str:
    text = DEFINITION.partition("func.func")[2].replace("@scaled", f"@{name}").replace(", %scale: !A", "")
    text = text.replace("tensor.empty(%n)", "tensor.empty()").replace("?", "24").replace("mulf", op)
    text = text.replace("%c0 =", "%scale = arith.constant 0.5 : !A\n  %c0 =")
    typed = instantiate(f"!T = f32\n!A = f32\nfunc.func{text}", (("T", source), ("A", result)), "model")
    return typed.partition("\n!A")[2].partition("\n")[2].replace("!T", source).replace("!A", result)


@pytest.mark.device
def test_each_choice_takes_its_dispatch(folder: Path, tmp_path: Path) -> None:
    cases = {"single": ("f32", "f32"), "wider": ("f32", "f64"), "double": ("f64", "f64")}
    texts = [function(name, *types) for name, types in cases.items()]
    (tmp_path / "model.mlir").write_text("\n".join([*texts, function("other", "f32", "f32", "addf")]))
    flags = ("--iree-input-demote-f64-to-f32=false",)
    made = compile_model(tmp_path / "model.mlir", kernels=[folder], builtin=False, flags=flags)
    taken = [(s.dispatch.name.partition("_dispatch")[0], s.kernel.name) for s in made.plan.substitutions]
    assert taken == [(name, f"scaled.{a}.{b}") for name, (a, b) in cases.items()]  # (`other` is something else)
    with Session(made.vmfb, device="local-sync") as session:
        for name, (source, result) in cases.items():
            x = np.linspace(-1, 1, 24).astype(source.replace("f", "float"))
            (found,) = session.call(name, [x])
            np.testing.assert_allclose(found, x.astype(result.replace("f", "float")) * 0.5 + MARK)
