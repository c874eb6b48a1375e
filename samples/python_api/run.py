"""Load kernels, compile, look at the plan, run with NumPy arrays."""

from pathlib import Path

import numpy as np

from substitute import Session, compile_model, inspect_model, load_catalog

HERE = Path(__file__).parent
SAMPLE = HERE.parent / "cpu_llvmlite"


def main() -> None:
    for kernel in load_catalog([SAMPLE / "kernels"], builtin=False).kernels:
        print(f"{kernel.name}: {kernel.summary}")
    # with the built-in kernels two match; the user's own come first
    for decision in inspect_model(SAMPLE / "model.mlir", kernels=[SAMPLE / "kernels"]).decisions:
        if decision.accepted:
            print(f"{decision.kernel.name} would fit {decision.dispatch.name}")

    result = compile_model(SAMPLE / "model.mlir", kernels=[SAMPLE / "kernels"], builtin=False)
    for substitution in result.plan.substitutions:
        print(f"{substitution.dispatch.name} ← {substitution.kernel.name}")
        print(f"  {result.payloads[substitution.dispatch.name].summary}")

    random = np.random.default_rng(0)
    gate, up = (random.standard_normal((64, 688), dtype=np.float32) for _ in range(2))
    with Session(result.vmfb, device="local-sync") as session:
        (found,) = session.call("gate", [gate, up])
    wide = gate.astype(np.float64)
    expected = wide / (1 + np.exp(-wide)) * up
    error = np.abs(found - expected).max()
    print(f"largest error against NumPy in float64: {error:.2g}")
    assert error < 1e-5, "the kernel is wrong"


if __name__ == "__main__":
    main()
