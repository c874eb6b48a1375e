"""Programs to build: for each shipped PTX kernel at edge sizes, and whole models."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime_tests.ptx_blobs.programs import BLOBS, definition, matmul

FUSED = ("--iree-opt-level=O2",)
"""With what IREE fuses the two reductions of a layer norm into one dispatch."""
MATMUL_SIZES = ((1, 128, 96, 128), (2, 65, 40, 72))
"""(B, M, K, N): whole tiles, and other sizes."""
Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """MLIR in which one kernel, or one pair for two architectures, is used."""

    name: str
    text: str
    kernels: tuple[str, ...]
    """Folders of `ptx_blobs`, the first of which has to be used."""
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProgram:
    """A whole model."""

    name: str
    write: Callable[[Path], tuple[Path, tuple[Array, ...], tuple[Array, ...]]]
    """Puts the model into a folder; its file, inputs, and what has to come out."""
    absolute: float


def kernel_programs() -> tuple[Program, ...]:
    """One for each kernel of `ptx_blobs`."""
    return (*_matmuls(), *_rows(), *_reductions(), *_norms(), _attention(), _elementwise())


def _matmuls() -> list[Program]:
    found = []
    for element in ("f16", "bf16"):
        for result in (element, "f32"):
            name = f"matmul_{element}" + ("_f32" if result == "f32" else "")
            text = _joined([matmul(*size, element, result) for size in MATMUL_SIZES])
            found += [
                Program(name=name, text=text, kernels=(name,)),
                Program(name=f"{name}_sm90a", text=text, kernels=(f"{name}_sm90a", name)),
            ]
    sizes = (*MATMUL_SIZES, (1, 64, 33, 67))
    text = _joined([matmul(*size, "f32", "f32") for size in sizes])
    few_rows = _joined([matmul(1, 1, 40, 72, "f32", "f32"), matmul(2, 5, 33, 20, "f32", "f32")])
    return [
        *found,
        Program(name="matmul_f32", text=text, kernels=("matmul_f32",)),
        Program(name="matvec_f32", text=few_rows, kernels=("matvec_f32",)),
    ]


def _rows() -> list[Program]:
    return [
        Program(
            name=name,
            kernels=(name,),
            text=_joined(
                [
                    definition(name, name, {"R": 5, "C": columns}, {"?x?xf32": f"5x{columns}xf32"})
                    for columns in (31, 300)
                ]
            ),
        )
        for name in ("softmax", "softmax_or_zero")
    ]


def _reductions() -> list[Program]:
    found = []
    for name, form in (("row_sum", "sum"), ("row_max", "maximum")):
        texts = [
            definition(name, form, {"R": rows}, {"?x?xf32": f"{rows}x{columns}xf32", "?xf32": f"{rows}xf32"})
            for rows, columns in ((5, 33), (3, 300))
        ]
        found.append(Program(name=name, text=_joined(texts), kernels=(name,)))
    return found


def _elementwise() -> Program:
    """A polynomial: what fills the kernel's slot."""
    text = """
func.func @case_0(%x: tensor<33x31xf32>, %b: tensor<31xf32>) -> tensor<33x31xf32> {
  %e = tensor.empty() : tensor<33x31xf32>
  %y = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%x, %b : tensor<33x31xf32>, tensor<31xf32>) outs(%e : tensor<33x31xf32>) {
  ^bb0(%in: f32, %bias: f32, %out: f32):
    %square = arith.mulf %in, %in : f32
    %value = arith.addf %square, %bias : f32
    linalg.yield %value : f32
  } -> tensor<33x31xf32>
  return %y : tensor<33x31xf32>
}
"""
    return Program(name="elementwise", text=text, kernels=("elementwise",))


def _norms() -> list[Program]:
    """Widths that the definitions name: one square and one power of RMS norm, two of layer norm."""
    found = []
    for name, forms, epsilon in (
        ("rms_norm", ("square_384", "power_256", "power_512"), 1e-6),
        ("layer_norm", ("layer_norm_256", "layer_norm_768", "layer_norm_384"), 1e-5),
    ):
        texts = []
        for form in forms:
            width = form.rpartition("_")[2]
            shapes = {f"?x{width}xf32": f"3x{width}xf32", "?xf32": "3xf32"}
            texts.append(definition(name, form, {"R": 3}, shapes, epsilon=epsilon))
        flags = FUSED if name.startswith("layer") else ()
        found.append(Program(name=name, text=_joined(texts), kernels=(name,), flags=flags))
    return found


def _attention() -> Program:
    """The definition with open sizes, called with fixed ones: its mask has three of them."""
    text = (BLOBS / "attention_f32" / "definition.mlir").read_text(encoding="utf-8")
    text = text.replace("func.func @attention(", "func.func private @attention(")
    opened = ("?x?x64xf32", "?x?x64xf32", "?x?x64xf32", "?x?x?xi8")
    for number, (heads, queries, keys) in enumerate(((2, 40, 40), (3, 5, 70))):
        q, k = (f"{length}x{heads}x64xf32" for length in (queries, keys))
        fixed = (q, k, k, f"{heads}x{queries}x{keys}xi8")
        arguments = ", ".join(f"%in{i}: tensor<{shape}>" for i, shape in enumerate(fixed))
        casts = "\n".join(
            f"  %a{i} = tensor.cast %in{i} : tensor<{shape}> to tensor<{open_}>"
            for i, (shape, open_) in enumerate(zip(fixed, opened, strict=True))
        )
        types = ", ".join(f"tensor<{open_}>" for open_ in opened)
        text += f"""
func.func @case_{number}({arguments}) -> tensor<{q}> {{
{casts}
  %r = func.call @attention(%a0, %a1, %a2, %a3) : ({types}) -> tensor<{opened[0]}>
  %y = tensor.cast %r : tensor<{opened[0]}> to tensor<{q}>
  return %y : tensor<{q}>
}}
"""
    return Program(name="attention_f32", text=text, kernels=("attention_f32",))


def _joined(texts: list[str]) -> str:
    """One module of several, with functions under names of their own and each map once."""
    maps: dict[str, None] = {}
    functions = []
    for number, text in enumerate(texts):
        maps |= dict.fromkeys(re.findall(r"(?m)^#.*$", text))
        body = re.sub(r"(?m)^#.*$", "", text)
        functions.append(re.sub(r"func\.func @\w+\(", f"func.func @case_{number}(", body, count=1))
    return "\n".join([*maps, *functions])


def model_programs() -> tuple[ModelProgram, ...]:
    """Return models in which IREE's code and ours are combined.

    Attention in f32, all of it PTX; the same with its first product in f16, which has code for two architectures; a
    softmax with fully masked rows; and a transformer block from ONNX.
    """
    return (
        ModelProgram(name="attention", write=partial(_attention_model, element="f32"), absolute=2e-5),
        ModelProgram(name="attention_f16", write=partial(_attention_model, element="f16"), absolute=2e-5),
        ModelProgram(name="masked_softmax", write=_masked_softmax, absolute=1e-6),
        ModelProgram(name="transformer", write=_transformer, absolute=5e-5),
    )


def _attention_model(folder: Path, element: str) -> tuple[Path, tuple[Array, ...], tuple[Array, ...]]:
    """softmax(q · k) · v, written out."""
    batch, length, size = 2, 40, 32
    q, k, s = (f"tensor<{batch}x{shape}x" for shape in (f"{length}x{size}", f"{size}x{length}", f"{length}x{length}"))
    text = f"""
func.func @main(%q: {q}{element}>, %k: {k}{element}>, %v: {q}f32>) -> {q}f32> {{
  %zero = arith.constant 0.0 : f32
  %es = tensor.empty() : {s}f32>
  %is = linalg.fill ins(%zero : f32) outs(%es : {s}f32>) -> {s}f32>
  %s = linalg.batch_matmul ins(%q, %k : {q}{element}>, {k}{element}>) outs(%is : {s}f32>) -> {s}f32>
  %p = linalg.softmax dimension(2) ins(%s : {s}f32>) outs(%es : {s}f32>) -> {s}f32>
  %eo = tensor.empty() : {q}f32>
  %io = linalg.fill ins(%zero : f32) outs(%eo : {q}f32>) -> {q}f32>
  %o = linalg.batch_matmul ins(%p, %v : {s}f32>, {q}f32>) outs(%io : {q}f32>) -> {q}f32>
  return %o : {q}f32>
}}
"""
    path = folder / f"attention_{element}.mlir"
    path.write_text(text, encoding="utf-8")
    random = np.random.default_rng(0)
    shapes = ((batch, length, size), (batch, size, length), (batch, length, size))
    kinds = (*[np.dtype(f"f{int(element[1:]) // 8}")] * 2, np.dtype("f4"))
    inputs = tuple(random.standard_normal(s).astype(kind) for s, kind in zip(shapes, kinds, strict=True))
    scores = inputs[0].astype("f8") @ inputs[1].astype("f8")
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return path, inputs, (powers / powers.sum(axis=-1, keepdims=True) @ inputs[2].astype("f8"),)


def _masked_softmax(folder: Path) -> tuple[Path, tuple[Array, ...], tuple[Array, ...]]:
    """0 for a row that is masked as a whole."""
    path = folder / "masked_softmax.mlir"
    text = definition("softmax_or_zero", "softmax_or_zero", {"R": 6, "C": 200}, {"?x?xf32": "6x200xf32"})
    path.write_text(text, encoding="utf-8")
    x = np.random.default_rng(0).standard_normal((6, 200)).astype("f4")
    x[1, ::2] = x[4] = -np.inf
    wide = x.astype("f8")
    with np.errstate(invalid="ignore"):
        powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    return path, (x,), (np.nan_to_num(powers / powers.sum(axis=1, keepdims=True)),)


def _transformer(folder: Path) -> tuple[Path, tuple[Array, ...], tuple[Array, ...]]:
    from runtime_tests.models import make_transformer

    model = make_transformer(folder)
    return model.path, model.inputs, model.expected
