"""Scalar graphs from formulas, and their values by the golden's rules."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np

from substitute.golden.numbers import Arithmetic, Num, element_of, from_storage
from substitute.golden.rules import RULES
from substitute.golden.rules import Scalar as GoldenScalar
from substitute.model.dispatch import Nest, Read, TensorType, View
from substitute.model.ops import OPERATIONS
from substitute.model.scalar import GraphBuilder, ScalarGraph
from substitute.read.scalars import CMPF

_BINARY = {ast.Add: "addf", ast.Sub: "subf", ast.Mult: "mulf", ast.Div: "divf"}
NAMES = "abcdp"
"""Operands of a formula: read 0, 1, …; `p` is a Boolean."""


def graph(formula: str, element: str = "f32") -> ScalarGraph:
    """The graph of `a * 2.0 + tanh(b)`; `wide(a * b)` computes in f32 and rounds the result."""
    builder = GraphBuilder()
    return builder.graph((_add(ast.parse(formula, mode="eval").body, builder, element),))


def nest(formula: str, element: str = "f32") -> Nest:
    """A nest that reads its operands along one loop of eight."""
    made = graph(formula, element)
    reads = tuple(
        Read(source=View(operand=n, type=t, offset=0, strides=(1,)), access=(), type=t)
        for n in range(len(NAMES))
        for t in (TensorType(shape=(8,), element="i1" if NAMES[n] == "p" else element),)
    )
    return Nest(sizes=(8,), kinds=("parallel",), reads=reads, expr=made)


def _add(node: ast.expr, builder: GraphBuilder, type_: str, memory: str = "") -> int:
    """Add a formula; `memory` is the type of what it reads, where that is another one."""
    if memory and isinstance(node, ast.Name) and node.id != "p":
        return builder.add("arith.extf", type_, (_add(node, builder, memory),))
    match node:
        case ast.Constant(value=float() as value):
            return builder.add("constant", type_, (), value)
        case ast.Constant(value=int() as value):
            return builder.add("constant", "i64", (), value)
        case ast.Name(id=name):
            return builder.add("read", "i1" if name == "p" else type_, (), NAMES.index(name))
        case ast.BinOp(left=a, op=op, right=b):
            operands = (_add(a, builder, type_, memory), _add(b, builder, type_, memory))
            return builder.add(f"arith.{_BINARY[type(op)]}", type_, operands)
        case ast.UnaryOp(op=ast.Not(), operand=a):
            true = builder.add("constant", "i1", (), 1)
            return builder.add("arith.xori", "i1", (_add(a, builder, type_, memory), true))
        case ast.UnaryOp(operand=ast.Constant(value=float() as value)):
            return builder.add("constant", type_, (), -value)
        case ast.UnaryOp(operand=a):
            return builder.add("arith.negf", type_, (_add(a, builder, type_, memory),))
        case ast.Call(func=ast.Name(id="wide"), args=[a]):
            return builder.add("arith.truncf", type_, (_add(a, builder, "f32", type_),))
        case ast.Call(func=ast.Name(id="truncf"), args=[ast.Call(args=[a])]):
            wide = builder.add("arith.extf", "f64", (_add(a, builder, type_, memory),))
            return builder.add("arith.truncf", type_, (wide,))
        case ast.Call(func=ast.Name(id=name), args=args):
            operands = tuple(_add(a, builder, type_, memory) for a in args)
            predicate = name if name in CMPF else {"gt": "ogt", "lt": "olt"}.get(name)
            if predicate:
                return builder.add("arith.cmpf", "i1", operands, predicate)
            dialect = "arith" if f"arith.{name}" in OPERATIONS else "math"
            return builder.add(f"{dialect}.{name}", type_, operands)
    raise ValueError(ast.unparse(node))


def evaluate(made: ScalarGraph, values: dict[int, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The result at each point, every step rounded to its type, and the largest number on the way there."""
    result, largest = _evaluate(made, values, Arithmetic(bounds=False, rounding="as written"))
    return result.value, largest


def evaluate_with_bound(made: ScalarGraph, values: dict[int, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The result at each point, nothing rounded, and how far from it the roundings of every step may lead."""
    result, _ = _evaluate(made, values, Arithmetic())
    return result.value, result.full_errors()


def _evaluate(made: ScalarGraph, values: dict[int, Any], how: Arithmetic) -> tuple[Num, np.ndarray]:
    known: list[Num] = []
    largest = np.zeros(())
    with np.errstate(all="ignore"):
        for node in made.nodes:
            element = element_of(node.type)
            if node.op == "read":
                value = Num(from_storage(np.asarray(values[int(str(node.attribute))]), element))
            elif node.op == "constant":
                value = Num(from_storage(np.asarray([node.attribute]).astype(element.storage), element))
            else:
                types = tuple(element_of(made.nodes[o].type) for o in node.operands)
                attributes = {"predicate": CMPF.index(str(node.attribute))} if node.op == "arith.cmpf" else {}
                scalar = GoldenScalar(operands=types, result=element, attributes=attributes)
                value = RULES[node.op](how, scalar, [known[o] for o in node.operands])
            known.append(value)
            if element.is_float:
                size = np.abs(value.value)
                largest = np.fmax(largest, np.where(np.isfinite(size), size, 0))
    return known[made.results[0]], largest
