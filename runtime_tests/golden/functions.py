"""Functions of a few operations, evaluated: what the tests of the golden share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime_tests.read.short_form import expand
from substitute.bindings import settle_bindings
from substitute.golden import Golden, evaluate_function

Array = NDArray[Any]


@contextmanager
def parsed(text: str) -> Iterator[Any]:
    """The first function of a module in the short form of `runtime_tests.read.programs`."""
    from iree.compiler import ir

    settle_bindings()
    with ir.Context(), ir.Location.unknown():
        module = ir.Module.parse(expand(text))
        yield module.body.operations[0].operation


def evaluate(text: str, *arguments: Any, **options: Any) -> tuple[Golden, ...]:
    """The results of a function."""
    with parsed(text) as function:
        return evaluate_function(function, [np.asarray(a) for a in arguments], **options)


def value(text: str, *arguments: Any, **options: Any) -> Array:
    """The only result."""
    (golden,) = evaluate(text, *arguments, **options)
    return golden.value


def elementwise(
    op: str, types: tuple[str, ...], result: str, count: int, attribute: str = "", spelled: str = ""
) -> str:
    """A function that applies one scalar operation to vectors; `spelled` is its type as MLIR writes it."""
    names = [f"%{chr(97 + n)}" for n in range(len(types))]
    arguments = ", ".join(f"{n}: !{count}x{t}" for n, t in zip(names, types, strict=True))
    scalars = ", ".join(f"%x{n}: {t}" for n, t in enumerate(types))
    uses = ", ".join(f"%x{n}" for n in range(len(types)))
    maps = ", ".join(["affine_map<(i) -> (i)>"] * (len(types) + 1))
    operand_types = ", ".join(f"!{count}x{t}" for t in types)
    return f"""
func.func @f({arguments}) -> !{count}x{result} {{
  %e = tensor.empty() : !{count}x{result}
  %r = linalg.generic {{indexing_maps = [{maps}], iterator_types = ["parallel"]}}
      ins({", ".join(names)} : {operand_types}) outs(%e : !{count}x{result}) {{
  ^bb0({scalars}, %o: {result}):
    %y = {op} {attribute}{uses} : {spelled or types[0]}
    linalg.yield %y : {result}
  }} -> !{count}x{result}
  return %r : !{count}x{result}
}}"""


def normal(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Array:
    """Normal numbers."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)
