"""PyTorch through `torch.compile`: a function for a kernel of ours, and a model for the built-in ones."""

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

KERNELS = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "cpu_llvmlite" / "kernels"


def swiglu(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """Return gate · sigmoid(gate) · up."""
    return functional.silu(gate) * up


class Block(nn.Module):
    """A gated feed-forward block, as Llama has it."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width, eps=1e-5)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(x)
        return x + self.down(swiglu(self.gate(y), self.up(y)))


def show(result) -> None:
    for one in result.plan.substitutions:
        print(f"{one.dispatch.name} ← {one.kernel.name}")


def check(name, found, wanted) -> None:
    error = ((found - wanted).abs().max() / wanted.abs().max()).item()
    print(f"{name}: largest difference from PyTorch {error:.2g} of the largest value")
    assert error < 1e-5, "the compiled model is wrong"


torch.manual_seed(0)
with torch.no_grad():
    compiled = torch.compile(swiglu, backend="iree_substitute", options={"kernels": [KERNELS], "report": show})
    gate, up = torch.randn(64, 688), torch.randn(64, 688)
    check("swiglu", compiled(gate, up), swiglu(gate, up))

    model = Block(256, 688).eval()
    compiled = torch.compile(model, backend="iree_substitute", options={"report": show})
    for rows in (8, 8, 13):  # another number of rows is another compilation, with open sizes
        x = torch.randn(rows, 256)
        check(f"{rows} rows", compiled(x), model(x))
