"""Kernels in Triton's language; its compiler reads their source from this file."""

import triton
import triton.language as tl


@triton.jit
def add(x, y, z, n, block: tl.constexpr):
    """z = x + y."""
    i = tl.program_id(0) * block + tl.arange(0, block)
    inside = i < n
    tl.store(z + i, tl.load(x + i, mask=inside) + tl.load(y + i, mask=inside), mask=inside)


@triton.jit
def softmax(x, y, n, block: tl.constexpr):
    """One row for each program."""
    i = tl.arange(0, block)
    row = tl.program_id(0) * n
    v = tl.load(x + row + i, mask=i < n, other=-float("inf"))
    e = tl.exp(v - tl.max(v, axis=0))
    tl.store(y + row + i, e / tl.sum(e, axis=0), mask=i < n)


@triton.jit
def matmul(a, b, c, size: tl.constexpr):
    """c = a · b on the tensor cores."""
    i = tl.arange(0, size)
    at = i[:, None] * size + i[None, :]
    tl.store(c + at, tl.dot(tl.load(a + at), tl.load(b + at)))


@triton.jit
def total(x, y, n, block: tl.constexpr):
    """The sum of all, by atomics between programs."""
    i = tl.program_id(0) * block + tl.arange(0, block)
    tl.atomic_add(y, tl.sum(tl.load(x + i, mask=i < n, other=0.0), axis=0))


@triton.jit
def clamp(x, y, n, block: tl.constexpr):
    """To [-0.5, 0.5]."""
    i = tl.program_id(0) * block + tl.arange(0, block)
    v = tl.load(x + i, mask=i < n)
    tl.store(y + i, tl.clamp(v, -0.5, 0.5), mask=i < n)
