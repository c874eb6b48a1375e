"""Growth of compile time: synthetic modules with many executables, synthetic catalogs with many kernels."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from ..isolate import Call, isolated
from ..pipeline import compile_model
from ..progress import Progress
from .samples import STOCK, SUBSTITUTED, CatalogGrowth, ModuleGrowth

MODULE_SIZES = (10, 100, 1000)
CATALOG_SIZES = (1, 10, 100, 500)
CATALOG_EXECUTABLES = 14
"""Number of dispatches that catalogs are matched with, as many as MiniLM has."""

_MATMUL = """
func.func @f{i}(%a: tensor<8x{k}xf32>, %b: tensor<{k}x{n}xf32>) -> tensor<8x{n}xf32> {{
  %zero = arith.constant 0.0 : f32
  %bias = arith.constant {c} : f32
  %empty = tensor.empty() : tensor<8x{n}xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<8x{n}xf32>) -> tensor<8x{n}xf32>
  %product = linalg.matmul ins(%a, %b : tensor<8x{k}xf32>, tensor<{k}x{n}xf32>)
                           outs(%init : tensor<8x{n}xf32>) -> tensor<8x{n}xf32>
  %result = linalg.generic {{indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
                            iterator_types = ["parallel", "parallel"]}}
    ins(%product : tensor<8x{n}xf32>) outs(%empty : tensor<8x{n}xf32>) {{
  ^bb0(%x: f32, %old: f32):
    %sum = arith.addf %x, %bias : f32
    %relu = arith.maximumf %sum, %zero : f32
    linalg.yield %relu : f32
  }} -> tensor<8x{n}xf32>
  return %result : tensor<8x{n}xf32>
}}"""
_ELEMENTWISE = """
func.func @f{i}(%a: tensor<{n}x{k}xf32>) -> tensor<{n}x{k}xf32> {{
  %factor = arith.constant {c} : f32
  %empty = tensor.empty() : tensor<{n}x{k}xf32>
  %result = linalg.generic {{indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
                            iterator_types = ["parallel", "parallel"]}}
    ins(%a : tensor<{n}x{k}xf32>) outs(%empty : tensor<{n}x{k}xf32>) {{
  ^bb0(%x: f32, %old: f32):
    %scaled = arith.mulf %x, %factor : f32
    %squared = arith.mulf %scaled, %x : f32
    %sum = arith.addf %squared, %scaled : f32
    linalg.yield %sum : f32
  }} -> tensor<{n}x{k}xf32>
  return %result : tensor<{n}x{k}xf32>
}}"""
_REDUCTION = """
func.func @f{i}(%a: tensor<{n}x{k}xf32>) -> tensor<{n}xf32> {{
  %zero = arith.constant 0.0 : f32
  %factor = arith.constant {c} : f32
  %empty = tensor.empty() : tensor<{n}xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<{n}xf32>) -> tensor<{n}xf32>
  %result = linalg.generic {{indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>],
                            iterator_types = ["parallel", "reduction"]}}
    ins(%a : tensor<{n}x{k}xf32>) outs(%init : tensor<{n}xf32>) {{
  ^bb0(%x: f32, %total: f32):
    %scaled = arith.mulf %x, %factor : f32
    %sum = arith.addf %total, %scaled : f32
    linalg.yield %sum : f32
  }} -> tensor<{n}xf32>
  return %result : tensor<{n}xf32>
}}"""

_MANIFEST = """\
schema = 1
name = "synthetic{i}"

[operands]
a = ["M", "N"]
b = ["M"]

[[target]]
backend = "llvm-cpu"

[payload]
kind = "llvm-ir"
file = "kernel.ll"
entry = "kernel"

[launch]
workgroup_count = ["M", "1", "1"]
"""
# the largest product of a row's elements, each turned into c - x: valid, but in no real model
_DEFINITION = """\
func.func @kernel(%a: tensor<?x?xf32>) -> tensor<?xf32> {{
  %low = arith.constant 0xFF800000 : f32
  %factor = arith.constant {c} : f32
  %c0 = arith.constant 0 : index
  %rows = tensor.dim %a, %c0 : tensor<?x?xf32>
  %empty = tensor.empty(%rows) : tensor<?xf32>
  %init = linalg.fill ins(%low : f32) outs(%empty : tensor<?xf32>) -> tensor<?xf32>
  %result = linalg.generic {{indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>],
                            iterator_types = ["parallel", "reduction"]}}
    ins(%a : tensor<?x?xf32>) outs(%init : tensor<?xf32>) {{
  ^bb0(%x: f32, %largest: f32):
    %difference = arith.subf %factor, %x : f32
    %product = arith.mulf %difference, %x : f32
    %larger = arith.maximumf %largest, %product : f32
    linalg.yield %larger : f32
  }} -> tensor<?xf32>
  return %result : tensor<?xf32>
}}
"""
_PAYLOAD = """\
define void @kernel(ptr %a, ptr %b, i64 %M, i64 %N, i64 %x, i64 %y, i64 %z) {
  ret void
}
"""


def synthetic_module(executables: int) -> str:
    """Return MLIR with this many functions of one dispatch each, all different.

    A third each are matrix products with bias and ReLU, element-wise functions, and reductions.
    """
    forms = (_MATMUL, _ELEMENTWISE, _REDUCTION)
    return "\n".join(
        # only the constant differs; odd sizes would mostly measure the generation of their remainders
        forms[i % 3].format(i=i, k=16 + 16 * (i // 12 % 4), n=16 + 16 * (i // 3 % 4), c=f"{1 + i / 1024:.10f}")
        for i in range(executables)
    )


def write_catalog(folder: Path, kernels: int) -> Path:
    """Write this many different kernels that match nothing."""
    for i in range(kernels):
        kernel = folder / f"synthetic{i}"
        kernel.mkdir(parents=True)
        (kernel / "kernel.toml").write_text(_MANIFEST.format(i=i))
        (kernel / "definition.mlir").write_text(_DEFINITION.format(c=f"{1 + i / 1024:.10f}"))
        (kernel / "kernel.ll").write_text(_PAYLOAD)
    return folder


def measure_module(
    executables: int, kernels: Sequence[Path], folder: Path, *, repeat: int, progress: Progress
) -> ModuleGrowth:
    """Compile a synthetic module with and without kernels, each in a process of its own."""
    source = folder / f"synthetic{executables}.mlir"
    source.write_text(synthetic_module(executables))
    seconds: dict[str, list[float]] = {STOCK: [], SUBSTITUTED: []}
    phases: list[dict[str, float]] = []
    substituted = 0
    for _ in range(repeat):
        for case, times in seconds.items():
            progress(f"{executables} executables, {case}", None)
            start = time.perf_counter()
            result = compile_model(
                source,
                kernels=kernels,
                substitute=case == SUBSTITUTED,
                check=False,
                isolate=True,
                progress=progress,
            )
            times.append(time.perf_counter() - start)
            if case == SUBSTITUTED:
                phases.append(dict(result.seconds))
                substituted = len(result.plan.substitutions)
    source.unlink()
    return ModuleGrowth(
        executables=executables,
        substituted=substituted,
        seconds={case: tuple(times) for case, times in seconds.items()},
        phases={phase: tuple(one[phase] for one in phases) for phase in phases[0]},
    )


def measure_catalogs(sizes: Sequence[int], folder: Path, *, repeat: int, progress: Progress) -> list[CatalogGrowth]:
    """Load and match synthetic catalogs with the dispatches of a synthetic module, in one process."""
    for size in sizes:
        write_catalog(folder / f"catalog{size}", size)
    source = synthetic_module(CATALOG_EXECUTABLES).encode()
    work = Call(_catalogs, {"source": source, "sizes": sizes, "folder": folder, "repeat": repeat})
    return cast(list[CatalogGrowth], isolated(work, progress))


def _catalogs(
    source: bytes, sizes: Sequence[int], folder: Path, repeat: int, progress: Progress
) -> list[CatalogGrowth]:
    from ..catalog.catalog import load_catalog
    from ..compiler import Compilation
    from ..flags import HOST_FLAGS
    from ..match.planner import make_plan
    from ..payload.build import accepts
    from ..read.definition import read_forms
    from ..read.module import read_module

    with Compilation(HOST_FLAGS, name="synthetic") as compilation:
        compilation.parse(source)
        compilation.run("start", "executable-sources")
        assert compilation.module is not None
        dispatches = [site.dispatch for site in read_module(compilation.module)]
    found = []
    for size in sizes:
        load_s: list[float] = []
        match_s: list[float] = []
        for _ in range(repeat):
            progress(f"{size} kernels", None)
            start = time.perf_counter()
            catalog = load_catalog(
                [folder / f"catalog{size}"], builtin=False, backends=frozenset({"llvm-cpu"}), read_forms=read_forms
            )
            loaded = time.perf_counter()
            plan = make_plan(dispatches, catalog.kernels, accepts)
            load_s.append(loaded - start)
            match_s.append(time.perf_counter() - loaded)
            assert not plan.substitutions, "the synthetic kernels must not match"
        found.append(
            CatalogGrowth(kernels=size, dispatches=len(dispatches), load_s=tuple(load_s), match_s=tuple(match_s))
        )
    return found
