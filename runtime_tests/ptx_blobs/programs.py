"""Small programs for the shipped PTX, and how they are built and run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from substitute.device import Session
from substitute.pipeline import compile_model

Array = np.ndarray[Any, Any]
CUDA = ("--iree-hal-target-device=cuda", "--iree-cuda-target=sm_80")
FUSED = (*CUDA, "--iree-opt-level=O2")
"""With what IREE fuses the two reductions of a layer norm into one dispatch."""
BLOBS = Path(__file__).parents[2] / "ptx_blobs"


def definition(kernel: str, form: str, sizes: dict[str, int], shapes: dict[str, str], **parameters: float) -> str:
    """One function of a kernel's definition with `?` replaced: `shapes` says what each tensor type becomes.

    `parameters` are the values of its parameters, in f32.
    """
    text = (BLOBS / kernel / "definition.mlir").read_text()
    maps = "".join(re.findall(r"^#.*\n", text, re.MULTILINE))
    start = text.index(f"func.func @{form}(")
    body = text[start : text.index("\n}\n", start) + 3]
    for before, after in shapes.items():
        body = body.replace(f"tensor<{before}>", f"tensor<{after}>")
    body = re.sub(r"tensor\.empty\([^)]+\)", "tensor.empty()", body)
    assert "?" not in re.sub(r"(?m)^.*tensor\.dim.*$", "", body), body
    for name, value in parameters.items():
        body = body.replace(f", %{name}: f32", "", 1)
        body = body.replace("{\n", f"{{\n  %{name} = arith.constant {value:.17e} : f32\n", 1)
    for axis, size in sizes.items():
        body = re.sub(rf"%{axis} = tensor\.dim .*", f"%{axis} = arith.constant {size} : index", body)
    return maps + body


def matmul(batch: int, m: int, k: int, n: int, element: str, result: str) -> str:
    """c = a · b in batches, sums in f32, rounded at the end if `result` is no f32."""
    shape = f"{batch}x{m}x{n}"
    rounded = f"""
  %r = arith.truncf %c : tensor<{shape}xf32> to tensor<{shape}x{result}>
  return %r : tensor<{shape}x{result}>"""
    return f"""
func.func @main(%a: tensor<{batch}x{m}x{k}x{element}>, %b: tensor<{batch}x{k}x{n}x{element}>)
    -> tensor<{shape}x{result}> {{
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<{shape}xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<{shape}xf32>) -> tensor<{shape}xf32>
  %c = linalg.batch_matmul
      ins(%a, %b : tensor<{batch}x{m}x{k}x{element}>, tensor<{batch}x{k}x{n}x{element}>)
      outs(%i : tensor<{shape}xf32>) -> tensor<{shape}xf32>
{f"  return %c : tensor<{shape}xf32>" if result == "f32" else rounded}
}}
"""


class Built:
    """A program, compiled with kernels in its dispatches."""

    def __init__(
        self,
        folder: Path,
        text: str,
        *,
        flags: tuple[str, ...] = CUDA,
        kernels: tuple[Path, ...] = (Path("builtin:ptx_blobs"),),
    ) -> None:
        model = folder / "model.mlir"
        model.write_text(text)
        # other flags than the usual ones in a process of their own: some of the compiler's belong to the process
        result = compile_model(model, flags=flags, kernels=kernels, builtin=False, isolate=flags != CUDA)
        self.vmfb = result.vmfb
        self.kernels = [s.kernel.name for s in result.plan.substitutions]
        self.dispatches = len(result.plan.dispatches)

    def run(self, device: str, *arguments: Array) -> list[Array]:
        """The results; every finding of the simulated device is a `DeviceError`."""
        with Session(self.vmfb, device=device) as session:
            return list(session.call(session.function().name, arguments))


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
