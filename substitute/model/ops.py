"""Facts of MLIR's scalar operations, one row each, for the reader, the matcher and every emitter.

Semantics are not among them: the golden has its own, and each backend its own spelling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

Domain = Literal["float", "integer", "any"]
"""Type class of the operands."""
Neutral = float | Literal["none", "zero", "one", "ones", "lowest", "highest"]
"""The neutral element: a number for floats, a pattern of the type's bits for integers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One scalar operation."""

    name: str
    """MLIR's name: `arith.addf`."""
    arity: int
    domain: Domain
    commutative: bool = False
    associative: bool = False
    """True if a reduction may regroup it; floats are rounded in any order."""
    neutral: Neutral = "none"
    rounds: Literal["never", "correctly", "otherwise"] = "otherwise"
    """`correctly`: as in IEEE 754, on every backend."""
    flops: int = 1
    """Number of arithmetic operations that it counts as."""
    is_heavy: bool = False
    """True if it becomes tens of instructions."""
    is_repeatable: bool = False
    """True if it is cheap enough to be recomputed for every tile that uses its result."""

    @property
    def is_combiner(self) -> bool:
        """True if a reduction may combine with it."""
        return self.commutative and self.associative


def _float(name: str, arity: int = 2, **facts: Any) -> Operation:
    return Operation(name=f"arith.{name}", arity=arity, domain="float", is_repeatable=True, **facts)


def _integer(name: str, **facts: Any) -> Operation:
    return Operation(name=f"arith.{name}", arity=2, domain="integer", **facts)


def _conversion(name: str, domain: Domain = "any", **facts: Any) -> Operation:
    return Operation(name=f"arith.{name}", arity=1, domain=domain, flops=0, **facts)


def _function(name: str, arity: int = 1, **facts: Any) -> Operation:
    return Operation(name=f"math.{name}", arity=arity, domain="float", **{"is_heavy": True, **facts})


_JOINS: dict[str, Any] = {"commutative": True, "associative": True}
# fmt: off
_ALL = (
    # -0.0 and not 0.0: the sum of nothing but -0.0 is -0.0
    _float("addf", **_JOINS, neutral=-0.0, rounds="correctly"),
    _float("mulf", **_JOINS, neutral=1.0, rounds="correctly"),
    _float("maximumf", **_JOINS, neutral=-math.inf, rounds="never"),
    _float("minimumf", **_JOINS, neutral=math.inf, rounds="never"),
    # NaN and not an infinity: these return the other operand of a NaN, and NaN for two of them
    _float("maxnumf", **_JOINS, neutral=math.nan, rounds="never"),
    _float("minnumf", **_JOINS, neutral=math.nan, rounds="never"),
    _float("subf", rounds="correctly"),
    _float("divf"),
    _float("negf", 1, rounds="never"),
    _float("cmpf", rounds="never", flops=0),
    Operation(name="arith.remf", arity=2, domain="float"),
    Operation(name="arith.select", arity=3, domain="any", rounds="never", flops=0, is_repeatable=True),

    _integer("addi", **_JOINS, neutral="zero", is_repeatable=True),
    _integer("muli", **_JOINS, neutral="one", is_repeatable=True),
    _integer("andi", **_JOINS, neutral="ones", flops=0, is_repeatable=True),
    _integer("ori", **_JOINS, neutral="zero", flops=0, is_repeatable=True),
    _integer("xori", **_JOINS, neutral="zero", flops=0, is_repeatable=True),
    _integer("maxsi", **_JOINS, neutral="lowest"),
    _integer("minsi", **_JOINS, neutral="highest"),
    _integer("maxui", **_JOINS, neutral="zero"),
    _integer("minui", **_JOINS, neutral="ones"),
    _integer("subi", is_repeatable=True),
    _integer("cmpi", flops=0, is_repeatable=True),
    *(_integer(name) for name in ("divsi", "divui", "remsi", "remui", "ceildivsi", "floordivsi")),
    *(_integer(name, flops=0) for name in ("ceildivui", "shli", "shrsi", "shrui")),

    _conversion("extf", "float", rounds="never", is_repeatable=True),
    _conversion("truncf", "float", rounds="correctly", is_repeatable=True),
    _conversion("sitofp", "integer", rounds="correctly", is_repeatable=True),
    _conversion("uitofp", "integer", rounds="correctly", is_repeatable=True),
    _conversion("convertf", "float"),
    _conversion("fptosi", "float"),
    _conversion("fptoui", "float"),
    *(_conversion(name, "integer", is_repeatable=True) for name in ("extsi", "extui", "trunci", "index_cast")),
    _conversion("index_castui", "integer"),
    _conversion("bitcast", is_repeatable=True),

    _function("absf", is_heavy=False, rounds="never"),
    _function("sqrt", is_heavy=False),
    _function("fma", 3, flops=2),
    *(_function(name) for name in (
        "rsqrt", "cbrt", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos",
        "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc", "floor", "ceil", "trunc", "round",
        "roundeven", "isnan", "isinf", "isfinite", "isnormal",
    )),
    *(_function(name, 2) for name in ("powf", "fpowi", "atan2", "copysign")),
    _function("clampf", 3),
    *(Operation(name=f"math.{name}", arity=arity, domain="integer", is_heavy=True) for name, arity in (
        ("absi", 1), ("ctpop", 1), ("ctlz", 1), ("cttz", 1), ("ipowi", 2),
    )),
)
# fmt: on

OPERATIONS: dict[str, Operation] = {operation.name: operation for operation in _ALL}
COMMUTATIVE = frozenset(name for name, operation in OPERATIONS.items() if operation.commutative)
COMBINERS = frozenset(name for name, operation in OPERATIONS.items() if operation.is_combiner)
LEAVES = frozenset(("read", "index", "size", "gather", "constant"))
"""Nodes of a scalar graph that compute nothing."""


def neutral(combiner: str, element: str) -> float | int:
    """Return the value of a type that leaves a combiner's other operand unchanged; integers are signed."""
    value = OPERATIONS[combiner].neutral
    if isinstance(value, float):
        return value
    bits = int(element[1:]) if element[0] == "i" and element[1:].isdigit() else 64
    highest = (1 << (bits - 1)) - 1
    return {"zero": 0, "one": 1, "ones": -1, "lowest": -highest - 1, "highest": highest}[value]


def is_heavy(name: str) -> bool:
    """Return whether an operation becomes tens of instructions; unknown functions do."""
    known = OPERATIONS.get(name)
    return known.is_heavy if known else name.startswith("math.")


def flops(name: str) -> int:
    """Return the number of arithmetic operations on data that an operation counts as; unknown functions count as
    one.
    """
    known = OPERATIONS.get(name)
    return known.flops if known else int(name.startswith("math."))
