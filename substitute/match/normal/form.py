"""Normal form by all laws: each operation is delegated to the family that handles it."""

from __future__ import annotations

import math
from typing import cast

from ...model.scalar import Scalar
from ..coefficient import ONE, number, round_to
from .choices import Choices
from .functions import Functions
from .node import Node
from .numbers import Numbers
from .products import MINUS_ONE, SYMMETRIC, Products
from .roundings import NARROW_CONSTANT
from .sums import Sums


class Form(Numbers, Sums, Products, Choices, Functions):
    """Builds the normal form of nodes from the leaves up."""

    def build(self, at: int, node: Scalar, operands: list[Node]) -> Node:
        """Return the normal form of one operation on operands in normal form."""
        type_ = node.type
        match node.op, operands:
            case "read", _:
                return self.node("read", type_, attribute=node.attribute, at=at)
            case "constant", _:
                return self.constant(node.attribute, type_)
            case op, _ if op == NARROW_CONSTANT:
                rounded, narrow = cast(tuple[float, str], node.attribute)
                return self.narrow_constant(rounded, narrow, type_)
            case "size", _:
                return self.size(node.attribute, type_)
            case (("arith.addf" | "arith.addi"), [a, b]) if type_ != "i1":
                return self.sum(type_, [*self.terms(a, ONE), *self.terms(b, ONE)])
            case (("arith.subf" | "arith.subi"), [a, b]) if type_ != "i1":
                return self.sum(type_, [*self.terms(a, ONE), *self.terms(b, MINUS_ONE)])
            case "arith.negf", [a]:
                return self.product(type_, MINUS_ONE, [a], [])
            case (("arith.mulf" | "arith.muli"), [a, b]) if type_ != "i1":
                return self.product(type_, ONE, [a, b], [])
            case "arith.divf", [a, b]:
                return self.quotient(type_, a, b)
            case "math.rsqrt", [a]:
                return self.reciprocal_root(type_, a)
            case "math.fma", [a, b, c]:
                return self.multiply_add(type_, a, b, c)
            case (("math.powf" | "math.fpowi"), [a, b]) if b.op == "constant":
                return self.power(node.op, type_, a, b)
            case (
                (
                    "arith.maximumf"
                    | "arith.minimumf"
                    | "arith.maxnumf"
                    | "arith.minnumf"
                    | "arith.maxsi"
                    | "arith.minsi"
                ),
                [a, b],
            ):
                return self.extreme(node.op, type_, a, b)
            case "math.clampf", [a, low, high]:
                return self.extreme("arith.minimumf", type_, self.extreme("arith.maximumf", type_, a, low), high)
            case "arith.select", [condition, a, b]:
                return self.select(type_, condition, a, b)
            case (("arith.cmpf" | "arith.cmpi"), [a, b]):
                return self.compare(node.op, str(node.attribute), a, b)
            case "arith.xori", [a, b] if type_ == "i1" and "constant" in (a.op, b.op):
                value, other = (a, b) if a.op == "constant" else (b, a)
                return self.negation(other) if value.coefficients[0].value else other
            case (
                (
                    "arith.extf"
                    | "arith.truncf"
                    | "arith.sitofp"
                    | "arith.uitofp"
                    | "arith.extsi"
                    | "arith.extui"
                    | "arith.trunci"
                    | "arith.index_cast"
                    | "arith.index_castui"
                ),
                [a],
            ):
                return self.convert(node.op, type_, a)
            case "math.log", [a]:
                return self.logarithm(type_, a)
            case "math.log1p", [a]:
                return self.logarithm_of_one_more(type_, a)
            case _, [a] if node.op in SYMMETRIC:
                return self.symmetric(node.op, type_, a)
            case "math.sqrt", [a] if a.op == "constant" and not a.coefficients[0].factors:
                inside = a.coefficients[0]
                if inside.value > 0:
                    root = round_to(math.sqrt(inside.value), type_)
                    return self.number(number(root, inside.roundings), type_)
        return self.node(node.op, type_, operands, attribute=node.attribute, at=at if node.op == "gather" else -1)


class ImprovedForm(Form):
    """The form of a dispatch in which formulas that lose digits, or overflow, are those that do not.

    A definition of the better formula takes the dispatch of the worse one, and not the other way round.
    """

    improves = True
