"""JAX functions as StableHLO: one for a kernel of ours, and one for the built-in ones."""

import sys
import tempfile
from pathlib import Path

import jax
import numpy as np

from substitute import Session, compile_model

KERNELS = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "cpu_llvmlite" / "kernels"


def swiglu(gate, up):
    """Return gate · sigmoid(gate) · up."""
    return jax.nn.silu(gate) * up


def block(x, gate, up, down):
    """Return a gated feed-forward block."""
    return x + swiglu(x @ gate, x @ up) @ down


def run(function, *shapes) -> None:
    random = np.random.default_rng(0)
    arrays = [(random.standard_normal(shape) / 16).astype(np.float32) for shape in shapes]
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model.mlir")
        model.write_text(str(jax.jit(function).lower(*arrays).compiler_ir("stablehlo")))
        result = compile_model(model, kernels=[KERNELS])
    for one in result.plan.substitutions:
        print(f"{one.dispatch.name} ← {one.kernel.name}")
    with Session(result.vmfb) as session:
        (found,) = session.call("main", arrays)
    wanted = np.asarray(function(*arrays))
    error = np.abs(found - wanted).max() / np.abs(wanted).max()
    print(f"{function.__name__}: largest difference from JAX {error:.2g} of the largest value")
    assert error < 1e-5, "the compiled function is wrong"


run(swiglu, (64, 688), (64, 688))
run(block, (8, 256), (256, 688), (256, 688), (688, 256))
