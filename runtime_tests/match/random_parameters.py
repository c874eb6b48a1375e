"""Definitions drawn with parameters, dispatches that are instances of them, and near misses.

`python -m runtime_tests.match.random_parameters --count 10000` runs many; a failure prints the seed that replays it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from runtime_tests.arguments import at_least
from runtime_tests.match.kernels import decision, kernel
from runtime_tests.read.executables import dispatch_of
from substitute.model.conditions import parse_condition
from substitute.model.dispatch import Dispatch
from substitute.model.index import evaluate
from substitute.model.kernel import Kernel
from substitute.model.parameter import decode, encode

Random = np.random.Generator
BINARY = {"addf": np.add, "subf": np.subtract, "mulf": np.multiply, "maximumf": np.maximum, "divf": np.divide}
COMMUTATIVE = ("addf", "mulf", "maximumf")
UNARY = {"math.absf": np.abs, "arith.negf": np.negative, "math.exp": np.exp}
TYPES = ("f32", "f32", "f16", "bf16", "i32", "i8")
SIZE = 6
PLACES = ("number", "push", "scalar", "element")
MISSES = ("value", "operation", "number", "operand", "condition", "loop")


@dataclass
class Node:
    """An expression in f32: a leaf has a name and no operands."""

    op: str
    operands: list[Node] = field(default_factory=list)
    name: str = ""

    def leaves(self) -> list[Node]:
        return [self] if not self.operands else [leaf for o in self.operands for leaf in o.leaves()]

    def inner(self) -> list[Node]:
        return [] if not self.operands else [self, *(node for o in self.operands for node in o.inner())]

    def copy(self) -> Node:
        return Node(self.op, [o.copy() for o in self.operands], self.name)


@dataclass
class Drawn:
    """A definition and the values of its parameters in a dispatch."""

    tree: Node
    types: dict[str, str]
    """Type of each parameter that the tree uses."""
    values: dict[str, float]
    places: dict[str, str]
    constants: dict[str, float]
    reduces: bool


def draw(random: Random) -> Drawn:
    """Draw until the tree uses a parameter and both tensors."""
    while True:
        types = {f"p{i}": str(random.choice(TYPES)) for i in range(int(random.integers(1, 4)))}
        constants: dict[str, float] = {}
        tree = _tree(random, int(random.integers(2, 5)), list(types), constants)
        used = {leaf.name for leaf in tree.leaves()}
        types = {name: type_ for name, type_ in types.items() if name in used}
        if types and {"x", "w"} <= used:
            values = {name: _value(random, type_) for name, type_ in types.items()}
            places = {name: str(random.choice(PLACES)) for name in types}
            return Drawn(tree, types, values, places, constants, bool(random.integers(2)))


def _tree(random: Random, depth: int, names: list[str], constants: dict[str, float]) -> Node:
    if depth == 0 or random.random() < 0.15:
        kind = random.random()
        if kind < 0.45:
            return Node("leaf", name=str(random.choice(names)))
        if kind < 0.9:
            return Node("leaf", name=str(random.choice(["x", "w"])))
        name = f"c{len(constants)}"
        constants[name] = float(np.float32(random.normal()))
        return Node("leaf", name=name)
    if random.random() < 0.2:
        return Node(str(random.choice(list(UNARY))), [_tree(random, depth - 1, names, constants)])
    pair = [_tree(random, depth - 1, names, constants) for _ in range(2)]
    return Node(str(random.choice(list(BINARY))), pair)


def _value(random: Random, type_: str) -> float:
    """A number of the type, never 0 or 1, which need no operation."""
    if type_[0] == "i":
        return float(random.choice([-7, -3, 2, 5, 11]))
    return float(decode(encode(float(random.choice([0.3, -1.7, 2.5, 1e-3, 0.125])), type_), type_))


def evaluated(tree: Node, leaves: dict[str, Any]) -> Any:
    """The expression in float64."""
    if not tree.operands:
        return leaves[tree.name]
    operands = [evaluated(o, leaves) for o in tree.operands]
    with np.errstate(all="ignore"):
        return BINARY[tree.op](*operands) if tree.op in BINARY else UNARY[tree.op](*operands)


def _emit(tree: Node, lines: list[str], leaf: dict[str, str]) -> str:
    if not tree.operands:
        return leaf[tree.name]
    operands = [_emit(o, lines, leaf) for o in tree.operands]
    name = f"%v{len(lines)}"
    op = f"arith.{tree.op}" if tree.op in BINARY else tree.op
    lines.append(f"{name} = {op} {', '.join(operands)} : f32")
    return name


def _converted(name: str, type_: str, lines: list[str]) -> str:
    if type_ == "f32":
        return f"%{name}"
    op = "arith.sitofp" if type_[0] == "i" else "arith.extf"
    lines.append(f"%{name}_f = {op} %{name} : {type_} to f32")
    return f"%{name}_f"


def _computation(drawn: Drawn, tree: Node, size: str, leaf: dict[str, str], head: list[str], sizes: str) -> str:
    lines = list(head)
    result = _emit(tree, lines, leaf)
    maps = "affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>"
    out, out_map, kinds = f"!{size}x{size}xf32", "affine_map<(i, j) -> (i, j)>", '"parallel", "parallel"'
    start = f"%e = tensor.empty({sizes}) : {out}"
    first = "%e"
    if drawn.reduces:
        out, out_map, kinds = f"!{size}xf32", "affine_map<(i, j) -> (i)>", '"parallel", "reduction"'
        start = f"%e = tensor.empty({sizes.partition(',')[0]}) : {out}\n%zero = arith.constant 0.0 : f32\n"
        start += f"%f = linalg.fill ins(%zero : f32) outs(%e : {out}) -> {out}"
        first = "%f"
        lines.append(f"%sum = arith.addf %o, {result} : f32")
        result = "%sum"
    body = "\n".join(lines)
    return f"""{start}
%r = linalg.generic {{indexing_maps = [{maps}, {out_map}], iterator_types = [{kinds}]}}
    ins(%x, %w : !{size}x{size}xf32, !{size}xf32) outs({first} : {out}) {{
^bb0(%a: f32, %b: f32, %o: f32):
{body}
linalg.yield {result} : f32
}} -> {out}"""


def definition(drawn: Drawn, conditions: tuple[str, ...] = ()) -> Kernel:
    """The kernel."""
    arguments = "".join(f", %{name}: {type_}" for name, type_ in drawn.types.items())
    head: list[str] = []
    leaf = {"x": "%a", "w": "%b"}
    leaf |= {name: _converted(name, type_, head) for name, type_ in drawn.types.items()}
    constants = "".join(f"%{n} = arith.constant {v:.17e} : f32\n" for n, v in drawn.constants.items())
    leaf |= {name: f"%{name}" for name in drawn.constants}
    result = "!?xf32" if drawn.reduces else "!?x?xf32"
    text = f"""func.func @f(%x: !?x?xf32, %w: !?xf32{arguments}) -> {result} {{
%i0 = arith.constant 0 : index
%i1 = arith.constant 1 : index
%m = tensor.dim %x, %i0 : !?x?xf32
%n = tensor.dim %x, %i1 : !?x?xf32
{constants}{_computation(drawn, drawn.tree, "?", leaf, head, "%m, %n")}
return %r : {result}
}}"""
    parsed = tuple(parse_condition(c, (*drawn.types, "M", "N")) for c in conditions)
    operands = {"x": "MN", "w": "N", "y": "M" if drawn.reduces else "MN"}
    return kernel(text, operands, conditions=parsed)


def dispatch(drawn: Drawn, tree: Node, values: dict[str, float], *, loop: str = "") -> Dispatch:
    """The dispatch of a tree whose parameters have these values; `loop` is one that runs with the loop over N."""
    top, head = [], []
    leaf = {"x": "%a", "w": "%b"} | {name: f"%{name}" for name in drawn.constants}
    binding, constant = 3, 0
    for name in values:
        type_ = drawn.types[name.partition("'")[0]]
        place, own = drawn.places[name.partition("'")[0]], name.replace("'", "_")
        value = values[name]
        if loop == name:
            leaf[name] = "%b"
            continue
        if place == "number":
            # (IREE folds the conversion of a constant)
            top.append(f"%{own} = arith.constant {value:.17e} : f32")
            leaf[name] = f"%{own}"
            continue
        if place == "push":
            top.append(f"%{own}_w = push {constant}")
            constant += 1
            bits = f"%{own}_w"
            if type_ in ("f16", "bf16", "i8"):
                narrow = "i8" if type_ == "i8" else "i16"
                top.append(f"%{own}_n = arith.trunci {bits} : i32 to {narrow}")
                bits = f"%{own}_n"
            if type_[0] == "i":
                leaf_line = f"%{own}_f = arith.sitofp {bits} : {type_} to f32"
                head.append(leaf_line)
                leaf[name] = f"%{own}_f"
                continue
            top.append(f"%{own} = arith.bitcast {bits} : {'i16' if type_ != 'f32' else 'i32'} to {type_}")
        elif place == "scalar":
            top += [f"%{own}_t = input {binding} !{type_}", f"%{own} = tensor.extract %{own}_t[] : !{type_}"]
            binding += 1
        else:
            top += [f"%{own}_t = input {binding} !5x{type_}", f"%{own}_i = arith.constant 3 : index"]
            top.append(f"%{own} = tensor.extract %{own}_t[%{own}_i] : !5x{type_}")
            binding += 1
        leaf[name] = _converted(own, type_, head)
    top += [f"%{n} = arith.constant {v:.17e} : f32" for n, v in drawn.constants.items()]
    lines = "\n".join(top)
    result = f"!{SIZE}xf32" if drawn.reduces else f"!{SIZE}x{SIZE}xf32"
    text = f"""%x = input 0 !{SIZE}x{SIZE}xf32
%w = input 1 !{SIZE}xf32
{lines}
{_computation(drawn, tree, str(SIZE), leaf, head, "")}
output 2 %r {result}"""
    return dispatch_of(text, bindings=binding, constants=max(constant, 1), result=2)


def shuffled(random: Random, tree: Node) -> Node:
    """The tree with operands of commutative operations in another order."""
    copy = tree.copy()
    for node in copy.inner():
        if node.op in COMMUTATIVE and random.random() < 0.5:
            node.operands.reverse()
    return copy


def missed(random: Random, drawn: Drawn, kind: str) -> tuple[Node, dict[str, float], tuple[str, ...], str] | None:
    """A near miss: tree, values, conditions of the kernel, and the parameter that runs with a loop."""
    tree, values = shuffled(random, drawn.tree), dict(drawn.values)
    leaves = [leaf for leaf in tree.leaves() if leaf.name in drawn.types]
    name = str(random.choice(list(drawn.types)))
    if kind == "value":  # one use has another value
        uses = [leaf for leaf in leaves if leaf.name == name]
        if len(uses) < 2:
            return None
        uses[int(random.integers(len(uses)))].name = f"{name}'"
        values[f"{name}'"] = float(values[name]) * 2
        return tree, values, (), ""
    if kind == "operation":
        nodes = [n for n in tree.inner() if n.op in BINARY]
        node = nodes[int(random.integers(len(nodes)))]
        node.op = str(random.choice([op for op in BINARY if op != node.op]))
        return tree, values, (), ""
    if kind == "number":
        numbers = [leaf for leaf in tree.leaves() if leaf.name in drawn.constants]
        if not numbers:
            return None
        numbers[0].name = name
        return tree, values, (), ""
    if kind == "operand":
        others = [leaf for leaf in tree.leaves() if leaf.name in ("x", "w")]
        chosen = others[int(random.integers(len(others)))]
        chosen.name = "w" if chosen.name == "x" else "x"
        return tree, values, (), ""
    if kind == "condition":
        condition = f"{name} > {values[name]!r}" if random.random() < 0.5 else f"{name} == {values[name] + 1!r}"
        return tree, values, (condition,), ""
    return (tree, values, (), name) if any(leaf.name == name for leaf in leaves) else None


def check(seed: int) -> str:
    """Draw one definition; return what it was used for. Raises `AssertionError` with the seed."""
    random = np.random.default_rng(seed)
    drawn = draw(random)
    kind = str(random.choice(["instance", "instance", *MISSES]))
    if kind == "instance":
        tree, values, conditions, loop = shuffled(random, drawn.tree), dict(drawn.values), (), ""
    else:
        found = missed(random, drawn, kind)
        if found is None:
            return "nothing to miss"
        tree, values, conditions, loop = found
    made = definition(drawn, conditions)
    result = decision(made, dispatch(drawn, tree, values, loop=loop))
    if kind == "instance":
        assert result.match is not None, (seed, result.rules[-1])
        for name, type_ in drawn.types.items():
            constant = result.match.parameter(name).value.constant
            expected = values[name] if drawn.places[name] == "number" else None
            assert (constant is None) == (expected is None), (seed, name, type_)
            assert expected is None or constant == expected, (seed, name, constant)
        return kind
    if result.match is None:
        return f"{kind}: refused"
    # accepted: then it has to be the same computation after all, with the values that were bound
    assert not conditions and not loop, (seed, kind)
    for point in range(3):
        there = np.random.default_rng(point).normal(size=(2, 50))
        leaves = {"x": there[0], "w": there[1], **drawn.constants}
        bound = _bound(drawn, result.match, values)
        wanted = evaluated(drawn.tree, {**leaves, **bound})
        got = evaluated(tree, {**leaves, **values})
        assert np.allclose(wanted, got, rtol=1e-5, atol=1e-7, equal_nan=True), (seed, kind)
    return f"{kind}: the same"


def _bound(drawn: Drawn, match: Any, values: dict[str, float]) -> dict[str, float]:
    """The numbers of the parameters as they were bound, in a launch with these values."""
    pushed = [n for n in values if drawn.places[n.partition("'")[0]] == "push"]
    words = tuple(encode(values[n], drawn.types[n.partition("'")[0]]) for n in pushed)
    loaded = {}
    binding = 3
    for name in values:
        if drawn.places[name.partition("'")[0]] in ("scalar", "element"):
            loaded[binding] = values[name]
            binding += 1
    found: dict[str, float] = {}
    for parameter in match.parameters:
        value = parameter.value
        if value.view is not None:
            found[parameter.name] = loaded[match.program.operands[value.view.operand].binding]
        else:
            found[parameter.name] = float(decode(evaluate(value.bits, words), value.type))
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Run many and print what they were."""
    parser = argparse.ArgumentParser(prog="python -m runtime_tests.match.random_parameters", description=__doc__)
    parser.add_argument("--count", type=at_least(1), default=10_000, help="definitions that are drawn")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the first one; the others have the next ones")
    options = parser.parse_args(argv)
    seen: Counter[str] = Counter()
    for seed in range(options.seed, options.seed + options.count):
        seen[check(seed)] += 1
    for what, number in sorted(seen.items()):
        print(f"{number:6} {what}")


if __name__ == "__main__":
    main()
