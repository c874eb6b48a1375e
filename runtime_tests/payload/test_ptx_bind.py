"""Canonical PTX and CUDA C bound into dispatches of a compiled model, and run by the simulated device's executor."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from substitute import compile_model
from substitute.errors import PayloadError
from substitute.model.index import Expr, Index, add, evaluate, leaves, mul
from substitute.model.plan import Payload, Request, Substitution
from substitute.payload.build import build
from substitute.payload.programs import find_program
from substitute.payload.ptx.cuda_c import can_compile, cuda_to_ptx
from substitute.payload.ptx.parse import parse
from substitute.payload.ptx.unreachable import drop_unreachable

from .ptx_run import run_entry

SAMPLE = Path(__file__).parents[2] / "samples" / "cuda_ptx"
FLAGS = ("--iree-hal-target-device=cuda", "--iree-cuda-target=sm_80")
cuda_c = pytest.mark.skipif(not can_compile(), reason="neither NVRTC nor nvcc is installed")
ROWS = 5


@pytest.fixture(scope="module")
def substitutions() -> tuple[Substitution, ...]:
    """Return the substitutions of the sample's kernels in its model with several layers."""
    folders = [SAMPLE / "kernels", *([SAMPLE / "cuda_c"] if can_compile() else [])]
    result = compile_model(SAMPLE / "layers.mlir", kernels=folders, builtin=False, flags=FLAGS)
    return result.plan.substitutions


def push_constants(request: Request) -> tuple[int, ...]:
    """Words that put each dynamic size at `ROWS`, and each dynamic offset at another multiple of 64 bytes."""
    words = [0] * request.substitution.dispatch.layout.constants
    for value in request.scalars:
        _assign(words, value, ROWS)
    for number, parameter in enumerate(request.parameters):
        _assign(words, parameter.operand.byte_offset, 8192 * (number + 1))
    return tuple(words)


def _assign(words: list[int], value: Index, wanted: int) -> None:
    """Sets the low word of an (i64) value, or the only one."""
    ordinals = sorted(int(str(leaf.args[0])) for leaf in leaves(value))
    if ordinals:
        words[ordinals[0]] = wanted
        assert isinstance(value, Expr)
        assert evaluate(value, tuple(words)) == wanted


def run(request: Request, payload: Payload, inputs: dict[str, np.ndarray], output: str) -> np.ndarray:
    """Lays the operands out as the dispatch has them, launches, and gives one back; nothing else may have changed."""
    words = push_constants(request)
    layout = request.substitution.dispatch.layout
    bindings = [np.zeros(1 << 16, np.uint8) for _ in layout.bindings]
    starts: dict[str, tuple[int, int]] = {}
    for parameter in request.parameters:
        offset = add(parameter.operand.byte_offset, mul(parameter.view.offset, parameter.operand.type.element_bytes))
        starts[parameter.name] = (parameter.operand.binding, evaluate(offset, words))
    for name, array in inputs.items():
        binding, start = starts[name]
        bindings[binding][start : start + array.nbytes] = array.reshape(-1).view(np.uint8)
    x, y, z = (evaluate(c, words) for c in payload.workgroup_count)
    assert payload.workgroup_size is not None
    after = run_entry(
        payload.data.decode(), payload.entry, bindings, words, grid=(x, y, z), block=payload.workgroup_size
    )
    binding, start = starts[output]
    size = inputs[output].nbytes
    after = [a.copy() for a in after]
    result = after[binding][start : start + size].copy()
    after[binding][start : start + size] = inputs[output].reshape(-1).view(np.uint8)
    assert all(np.array_equal(a, b) for a, b in zip(after, bindings, strict=True))
    return result.view(inputs[output].dtype).reshape(inputs[output].shape)


def of_kernel(substitutions: tuple[Substitution, ...], name: str) -> list[Substitution]:
    return [s for s in substitutions if s.kernel.name == name]


def test_offsets_and_sizes_from_push_constants(substitutions: tuple[Substitution, ...]) -> None:
    found = of_kernel(substitutions, "sample_matmul")
    assert len(found) >= 2
    dynamic = False
    for substitution in found:
        request, payload = build(substitution)
        _, k, n = (evaluate(axis, push_constants(request)) for axis in request.scalars)
        random = np.random.default_rng(k)
        a, b = random.standard_normal((ROWS, k), np.float32), random.standard_normal((k, n), np.float32)
        result = run(request, payload, {"a": a, "b": b, "c": np.full((ROWS, n), np.nan, np.float32)}, "c")
        np.testing.assert_allclose(result, a.astype(np.float64) @ b, rtol=1e-5, atol=1e-5)
        dynamic |= any(isinstance(p.operand.byte_offset, Expr) for p in request.parameters)
    assert dynamic  # some operand begins where only a push constant says


def test_notes_say_what_ptxas_found(substitutions: tuple[Substitution, ...]) -> None:
    _, payload = build(of_kernel(substitutions, "sample_matmul")[0])
    assert payload.summary.startswith("kernel.ptx: ")
    words = "no spills" if find_program("ptxas") else "ptxas: not installed"
    assert words in payload.summary


@cuda_c
def test_cuda_c(substitutions: tuple[Substitution, ...]) -> None:
    (substitution,) = of_kernel(substitutions, "sample_scale_rows")
    request, payload = build(substitution)
    random = np.random.default_rng(3)
    a, s = random.standard_normal((ROWS, 24), np.float32), random.standard_normal(ROWS, np.float32)
    result = run(request, payload, {"a": a, "s": s, "c": np.full((ROWS, 24), np.nan, np.float32)}, "c")
    np.testing.assert_array_equal(result, a * s[:, None])


@cuda_c
def test_cuda_c_errors() -> None:
    source = (SAMPLE / "cuda_c/scale_rows/kernel.cu").read_text()
    with pytest.raises(PayloadError) as caught:
        cuda_to_ptx(source.replace("size_t at", "size_t it"), arch="sm_80", name="kernel.cu")
    text = str(caught.value)
    assert text.startswith("kernel.cu:7: the CUDA C source does not compile\n     7 |     c[at] = a[at]")
    assert 'identifier "at" is undefined' in text
    with pytest.raises(PayloadError, match="makes no code for sm_9999"):
        cuda_to_ptx(source, arch="sm_9999", name="kernel.cu")


def test_cuda_c_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("substitute.payload.ptx.cuda_c.find_nvrtc", lambda: None)
    monkeypatch.setattr("substitute.payload.ptx.cuda_c.find_program", lambda _name: None)
    with pytest.raises(PayloadError) as caught:
        cuda_to_ptx("", arch="sm_80", name="kernel.cu")
    assert str(caught.value) == (
        "kernel.cu: nothing here compiles CUDA C\n"
        "  expected:  NVRTC (libnvrtc.so.13) or nvcc\n"
        "  found:     neither\n"
        "  next:      pip install 'iree-substitute[cuda]', or compile it elsewhere (nvcc -ptx) and use kind = ptx"
    )


@pytest.mark.skipif(find_program("nvcc") is None, reason="nvcc is not installed")
def test_cuda_c_by_nvcc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("substitute.payload.ptx.cuda_c.find_nvrtc", lambda: None)
    text = cuda_to_ptx((SAMPLE / "cuda_c/scale_rows/kernel.cu").read_text(), arch="sm_80", name="kernel.cu")
    assert ".visible .entry scale_rows(" in text


def changed(substitution: Substitution, tmp_path: Path, old: str, new: str) -> Substitution:
    """The same with a fault in its file."""
    payload = substitution.kernel.payload
    text = payload.path.read_text()
    assert old in text
    path = tmp_path / payload.path.name
    path.write_text(text.replace(old, new, 1))
    return replace(substitution, kernel=replace(substitution.kernel, payload=replace(payload, path=path)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  .param .u32 M,\n", "", "entry matmul has 5 parameters, the canonical ABI passes 6"),
        (".param .u64 b,", ".param .u32 b,", "parameter 1 (b) does not fit operand b"),
        (".param .u32 M,", ".param .f32 M,", "parameter 3 (M) does not fit axis M"),
        (".param .u32 N\n", ".param .u32 N, .param .u32 more\n", "has 7 parameters, the canonical ABI passes 6"),
        ("ld.global.f32 y", "ld.global.f23 y", "ptxas refuses the PTX"),
        ("ld.param.u32 rows, [M];", "ld.param.u32 rows, [m];", "m is read, but not every path wrote it"),
        (".version 7.0\n.target sm_80", ".version 7.1\n.target sm_86", "the PTX does not run on sm_80"),
    ],
)
def test_faults(substitutions: tuple[Substitution, ...], tmp_path: Path, old: str, new: str, message: str) -> None:
    wrong = changed(of_kernel(substitutions, "sample_matmul")[0], tmp_path, old, new)
    if "ptxas" in message and find_program("ptxas") is None:
        pytest.skip("ptxas is not installed")
    with pytest.raises(PayloadError) as caught:
        build(wrong)
    assert message in str(caught.value)
    assert str(tmp_path / "kernel.ptx") in str(caught.value)  # the author's own file, and its line
    assert caught.value.source is not None
    assert caught.value.source.text in (tmp_path / "kernel.ptx").read_text()


SIBLINGS = """.global .texref picture;
.extern .func (.param .b32 r) vprintf (.param .b64 f, .param .b64 a);
.func unused() { .reg .b32 %a; mov.b32 %a, %nonsense; ret; }
.visible .entry shows(.param .u64 pout) {
  .reg .f32 %f<4>; .reg .b32 %r; .reg .b64 %p;
  tex.2d.v4.f32.f32 {%f0, %f1, %f2, %f3}, [picture, {%f0, %f1}]; mov.b64 %p, 0;
  { .param .b64 a; .param .b64 b; .param .b32 c; st.param.b64 [a], %p; st.param.b64 [b], 0;
    call.uni (c), vprintf, (a, b); ld.param.b32 %r, [c]; }
  call unused; ret;
}
"""


def test_what_the_entry_cannot_reach_is_left_out(substitutions: tuple[Substitution, ...], tmp_path: Path) -> None:
    substitution = of_kernel(substitutions, "sample_matmul")[0]
    text = substitution.kernel.payload.path.read_text()
    entry = text[text.index(".visible .entry") :]
    beside = changed(substitution, tmp_path, entry, SIBLINGS + entry)
    with_them, alone = (build(one)[1].data.decode() for one in (beside, substitution))
    assert "tex.2d" not in with_them and "unused" not in with_them
    # every line has kept its number, so that the driver's messages are right of the author's file
    assert with_them.count("\n") == alone.count("\n") + SIBLINGS.count("\n")
    changed(substitution, tmp_path, "ld.param.u32 rows, [M];", SIBLINGS.splitlines()[5] + "\nld.param.u32 rows, [M];")
    with pytest.raises(PayloadError, match="declared nowhere"):
        build(beside)


def test_functions_that_something_names_are_kept() -> None:
    text = """.version 8.0
.target sm_80
.address_size 64
.func named() { ret; }
.func called() { ret; }
.func other() { called2_: ret; }
.global .u64 table[1] = {named};
.visible .entry k() { call called; ret; }
.visible .entry sibling() { call other; ret; }
"""
    kept = [function.name for function in parse(drop_unreachable(parse(text), "k")).functions]
    assert kept == ["named", "called", "k"]
    assert drop_unreachable(parse(text), "nobody") == text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x7fELF" + bytes(100), "found:     a damaged ELF file"),
        (bytes(range(256)) * 4, "found:     binary"),
        (b"", "found:     nothing (an empty file)"),
        (b"// a text\nthat is no PTX\n", "PTX begins with .version"),
        (b".version 7.0\n.targ", ".target follows .version"),
    ],
)
def test_files_that_are_no_ptx(
    substitutions: tuple[Substitution, ...], tmp_path: Path, data: bytes, message: str
) -> None:
    wrong = changed(of_kernel(substitutions, "sample_matmul")[0], tmp_path, "matmul", "matmul")
    (tmp_path / "kernel.ptx").write_bytes(data)
    with pytest.raises(PayloadError) as caught:
        build(wrong)
    assert message in str(caught.value)


def test_a_cached_load_of_what_is_updated_in_place(substitutions: tuple[Substitution, ...], tmp_path: Path) -> None:
    """The match of the sample is changed to one whose result overwrites its first operand."""
    substitution = changed(
        of_kernel(substitutions, "sample_matmul")[0], tmp_path, "ld.global.f32 x", "ld.global.nc.f32 x"
    )
    build(substitution)  # here nothing is updated in place
    places = substitution.match.placements
    same = replace(places[2], view=places[0].view)
    in_place = replace(substitution, match=replace(substitution.match, placements=(*places[:2], same)))
    with pytest.raises(PayloadError, match="reads through a cache that does not see writes"):
        build(in_place)


TRANSPOSED = """
func.func @transposed(%a: tensor<24x?xf32>, %s: tensor<?xf32>) -> tensor<?x24xf32> {
  %c1 = arith.constant 1 : index
  %m = tensor.dim %a, %c1 : tensor<24x?xf32>
  %empty = tensor.empty(%m) : tensor<?x24xf32>
  %result = linalg.generic {
      indexing_maps = [affine_map<(m, n) -> (n, m)>, affine_map<(m, n) -> (m)>, affine_map<(m, n) -> (m, n)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%a, %s : tensor<24x?xf32>, tensor<?xf32>) outs(%empty : tensor<?x24xf32>) {
  ^bb0(%x: f32, %scale: f32, %out: f32):
    %scaled = arith.mulf %x, %scale : f32
    linalg.yield %scaled : f32
  } -> tensor<?x24xf32>
  return %result : tensor<?x24xf32>
}
"""


@cuda_c
def test_strides_follow_the_axes(tmp_path: Path) -> None:
    folder = tmp_path / "kernels" / "scale_rows"
    shutil.copytree(SAMPLE / "cuda_c/scale_rows", folder)
    manifest = (folder / "kernel.toml").read_text()
    (folder / "kernel.toml").write_text(
        manifest.replace('a = ["M", "N"]', 'a = { axes = ["M", "N"], strided = true }', 1)
    )
    source = (folder / "kernel.cu").read_text().replace("unsigned N)", "unsigned N, long row, long column)")
    (folder / "kernel.cu").write_text(source.replace("a[at]", "a[blockIdx.x * row + n * column]"))
    (tmp_path / "model.mlir").write_text(TRANSPOSED)
    result = compile_model(tmp_path / "model.mlir", kernels=[tmp_path / "kernels"], builtin=False, flags=FLAGS)
    (substitution,) = result.plan.substitutions
    request, payload = build(substitution)
    assert request.scalar_names[-2:] == ("stride_a_M", "stride_a_N")
    random = np.random.default_rng(4)
    a, s = random.standard_normal((24, ROWS), np.float32), random.standard_normal(ROWS, np.float32)
    found = run(request, payload, {"a": a, "s": s, "c": np.full((ROWS, 24), np.nan, np.float32)}, "c")
    np.testing.assert_array_equal(found, a.T * s[:, None])
