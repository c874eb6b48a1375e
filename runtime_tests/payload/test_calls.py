"""Description of a kernel's call: every kind has one, and the code is checked against it."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from substitute.catalog.manifest import parse_manifest
from substitute.errors import PayloadError
from substitute.model.dispatch import Dispatch, PipelineLayout, Target
from substitute.model.kernel import Kernel
from substitute.model.parameter import BoundParameter, ParameterValue
from substitute.model.plan import Axis, Match, Placement, Substitution
from substitute.payload.calls import list_arguments
from substitute.payload.kinds import KINDS, find_kind
from substitute.read.definition import read_forms

DEFINITION = """
func.func @scaled(%x: tensor<?x?xf16>, %flag: tensor<?xi1>, %eps: f16, %n: i8) -> tensor<?x?xf16> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = tensor.dim %x, %c0 : tensor<?x?xf16>
  %k = tensor.dim %x, %c1 : tensor<?x?xf16>
  %init = tensor.empty(%m, %k) : tensor<?x?xf16>
  %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>,
      affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
      ins(%x, %flag : tensor<?x?xf16>, tensor<?xi1>) outs(%init : tensor<?x?xf16>) {
  ^bb0(%a: f16, %f: i1, %o: f16):
    %i = arith.sitofp %n : i8 to f16
    %p = arith.mulf %a, %i : f16
    %s = arith.select %f, %p, %eps : f16
    linalg.yield %s : f16
  } -> tensor<?x?xf16>
  return %y : tensor<?x?xf16>
}
"""
MANIFEST = """
schema = 1
name = "scaled"
[operands]
x = {{ axes = ["M", "K"], strided = {strided} }}
flag = ["K"]
y = ["M", "K"]
[[target]]
backend = "{backend}"
[payload]
kind = "{kind}"
file = "code"
entry = "scaled"
{launch}
"""


def kernel_of(folder: Path, kind: str, *, strided: bool = True) -> Kernel:
    (folder / "code").write_text("")
    (folder / "definition.mlir").write_text(DEFINITION)
    found = find_kind(kind)
    launch = "" if found.launch != "manifest" else '[launch]\nworkgroup_count = ["M", "1", "1"]\n'
    launch += "workgroup_size = [32, 1, 1]\n" if found.launch == "manifest" and found.backends[0] != "llvm-cpu" else ""
    text = MANIFEST.format(backend=found.backends[0], kind=kind, launch=launch, strided="true" if strided else "false")
    kernel = parse_manifest(text, folder / "kernel.toml").kernel
    return replace(kernel, forms=read_forms(folder / "definition.mlir", DEFINITION, kernel.operands))


@pytest.mark.parametrize("kind", [k.name for k in KINDS if k.has_file and k.strides != "none"])
def test_every_argument_is_named(tmp_path: Path, kind: str) -> None:
    text = kernel_of(tmp_path, kind).payload.kind.describe_call(kernel_of(tmp_path, kind))
    if kind == "rule":
        assert "rewrite(site)" in text
        return
    for name in ("x", "flag", "y", "M", "K", "eps", "n"):
        assert re.search(rf"(\b|_){name}\b", text), name


def request_of(kernel: Kernel) -> Substitution:
    """A substitution in a dispatch that computes what the definition says, for M = 4 and K = 5."""
    (form,) = kernel.forms
    program = form.program
    views = [read.source for read in program.stores[0].reads] + [program.stores[0].writes[0].view]
    placements = tuple(
        Placement(name=spec.name, view=view, start=0, dimensions=tuple(((4, 1),) for _ in spec.axes))
        for spec, view in zip(kernel.operands, views, strict=True)
    )
    values = {"eps": ParameterValue(type="f16", bits=1), "n": ParameterValue(type="i8", bits=1)}
    match = Match(
        form=form.name,
        axes=(Axis(name="M", loops=(0,), sizes=(4,)), Axis(name="K", loops=(1,), sizes=(5,))),
        program=program,
        arguments=(),
        placements=placements,
        specificity=1,
        parameters=tuple(BoundParameter(name=p.name, value=values[p.name]) for p in form.parameters),
    )
    dispatch = Dispatch(
        executable="e",
        variant="v",
        name="d",
        target=Target(backend="llvm-cpu", format="embedded-elf-x86_64", config=()),
        layout=PipelineLayout(constants=0, bindings=()),
        workload=(),
        program=program,
        reason="",
        operations=(),
        kind="elementwise",
    )
    return Substitution(dispatch=dispatch, kernel=kernel, match=match)


@pytest.mark.parametrize("strided", [False, True])
def test_the_llvm_prototype_is_what_is_checked(tmp_path: Path, strided: bool) -> None:
    from substitute.abi.bind import bind
    from substitute.payload.llvm.optimize import parse_ir
    from substitute.payload.llvm.signature import check_signature

    kernel = kernel_of(tmp_path, "llvm-ir", strided=strided)
    request = bind(request_of(kernel), entry="scaled")
    text = f"{kernel.payload.kind.describe_call(kernel)} {{\n  ret void\n}}\n"
    check_signature(parse_ir(text, "code"), request, "scaled", "code")
    shorter = text.replace("i64 %K", "i32 %K")
    assert shorter != text
    with pytest.raises(PayloadError, match="does not have the parameters"):
        check_signature(parse_ir(shorter, "code"), request, "scaled", "code")
    without = "\n".join(line for line in text.splitlines() if "i64 %K," not in line)
    assert without != text
    with pytest.raises(PayloadError) as caught:
        check_signature(parse_ir(without, "code"), request, "scaled", "code")
    assert f"it takes 1 fewer than {', '.join(request.scalar_names)}" in caught.value.next_step


def test_the_ptx_prototype_is_what_is_checked(tmp_path: Path) -> None:
    from substitute.abi.bind import bind
    from substitute.payload.ptx.parse import parse
    from substitute.payload.ptx.signature import canonical_signature, check_parameters

    kernel = kernel_of(tmp_path, "ptx")
    request = bind(request_of(kernel), entry="scaled")
    expected = canonical_signature(
        tuple(p.name for p in request.parameters),
        request.scalar_names,
        tuple((v.name, v.passed_type) for v in request.values),
    )
    text = f".version 8.0\n.target sm_80\n.address_size 64\n{kernel.payload.kind.describe_call(kernel)}\n{{ ret; }}\n"
    for source, fits in ((text, True), (text.replace(".f32 eps", ".u32 eps"), False)):
        module = parse(source)
        try:
            check_parameters(module, module.functions[0], expected, passer="the canonical ABI")
        except PayloadError:
            assert not fits
        else:
            assert fits


def test_c_and_glsl(tmp_path: Path) -> None:
    kernel = kernel_of(tmp_path, "object", strided=False)
    text = " ".join(re.sub(r"//.*", "", kernel.payload.kind.describe_call(kernel)).split())
    assert text == (
        "void scaled( const _Float16 *x, const uint8_t *flag, _Float16 *y, int64_t M, int64_t K, float eps, "
        "int32_t n, int64_t id_x, int64_t id_y, int64_t id_z );"
    )
    assert [a.name for a in list_arguments(kernel_of(tmp_path, "object"), workgroup=False)][5:7] == [
        "stride_x_M",
        "stride_x_K",
    ]
    glsl = kernel_of(tmp_path, "glsl").payload.kind.describe_call(kernel_of(tmp_path, "glsl"))
    for line in ("float load_x(int m, int k);", "bool load_flag(int k);", "void store_y(int m, int k, float value);"):
        assert line in glsl
