"""Fused work of a dispatch as PTX, at one element: loads, scalars, stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ....codegen.placement import PlacedNest, place_stores, reads_temporary, view_address
from ....codegen.unsupported import Unsupported
from ....model.dispatch import Linear, LoopKind, Named, Nest, Program, Read, Stage, View, Write
from ....model.index import Expr, Index, apply, product
from ....model.inlining import Inliner
from ....model.nest import ZERO, NestBuilder
from ....model.nest import loop as index_of
from ....model.scalar import Scalar
from ..adapt import MAX_DATA_BYTES
from .block import Block, is_literal
from .marks import Spread
from .scalars import KIND, constant, operation, widened

_LOADS = {"f32": "f32", "i32": "b32", "i64": "b64", "i8": "s8", "i16": "s16", "f16": "b16", "bf16": "b16"}
Loops = Mapping[int, str]
"""64-bit register (or literal) of each loop's index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Result of a core, element by element."""

    temporary: int
    coordinates: tuple[int | None, ...]
    """For each dimension of the temporary, the core's loop that indexes it; None for a size of one."""
    sizes: tuple[Index, ...]
    """Sizes of these dimensions."""


class Writer:
    """Writer of scopes, which records the operands and launch values that they need.

    The function's first lines have to load `pointers` into `base(n)` and `values` into `value(n)`.
    """

    def __init__(self, program: Program, prefix: str) -> None:
        self.program, self.prefix = program, prefix
        self.pointers: dict[int, int] = {}
        """Operands of the program, numbered in the order of their first use."""
        self.values: dict[Expr, int] = {}
        self._labels = 0

    def base(self, number: int) -> str:
        """Return the register of a pointer."""
        return f"%{self.prefix}_base{number}"

    def value(self, number: int) -> str:
        """Return the register of a launch value."""
        return f"%{self.prefix}_value{number}"

    def label(self) -> str:
        """Return a new label."""
        self._labels += 1
        return f"{self.prefix}_{self._labels}"

    # --- a core's inputs and results ---

    def computed(self, block: Block, loops: Loops) -> str:
        """Return 32 bits with the input of the only reduction, or without a reduction, with the dispatch's stored
        value.
        """
        core = _core_of(self.program) if self.program.cores else self.program.stores[0]
        nest = core if isinstance(core, Nest) else _input_of(self.program, core)
        root = nest.expr.results[0]
        value = self._graph(block, nest, loops, {})[root]
        kind = KIND.get(nest.expr.nodes[root].type, "")
        if kind not in ("f", "w", "p"):
            raise Unsupported(f"an element of type {nest.expr.nodes[root].type}")
        return block.word("selp.b32", "1", "0", value) if kind == "p" else value

    def store_computed(self, block: Block, value: str, loops: Loops) -> None:
        """Store the value of `computed`, in a dispatch without a reduction."""
        (nest,) = self.program.stores
        if nest.expr.nodes[nest.expr.results[0]].type == "i1":
            value = block.test("setp.ne.u32", value, "0")
        self._store(block, nest.writes[0], loops, value)

    def store_result(self, block: Block, value: str, loops: Loops, spread: Spread | None) -> None:
        """Emit all work of the dispatch on one element of its core's result. Raises `Unsupported`."""
        result = result_of(self.program)
        placements = place_stores(self.program, {result.temporary: range(len(result.coordinates))})
        texts = [loops[loop] if loop is not None else "0" for loop in result.coordinates]
        for placement in placements:
            self._placed(block, placement, value, texts, result.sizes, spread)

    def _placed(
        self,
        block: Block,
        placement: PlacedNest,
        value: str,
        texts: Sequence[str],
        sizes: Sequence[Index],
        spread: Spread | None,
    ) -> None:
        end = self.label()
        nest = placement.nest
        loops, tests = self._pinned(block, placement, texts, sizes)
        if placement.free and spread is None:
            raise Unsupported("fused work with loops of its own")
        if spread is not None and not placement.free:
            tests.append(block.test("setp.eq.u32", spread.register, "0"))
        for test in tests:
            block.line(f"@!{test} bra {end};")
        if not placement.free:
            self._evaluate(block, nest, loops, value)
        else:
            assert spread is not None
            self._shared(block, placement, loops, value, spread)
        if tests:
            block.line(f"{end}:")

    def _shared(self, block: Block, placement: PlacedNest, loops: dict[int, str], value: str, spread: Spread) -> None:
        """Emit the remaining loops as one, of which each thread takes every `threads`-th step."""
        sizes = [placement.nest.sizes[loop] for loop in placement.free]
        again, done = self.label(), self.label()
        at = block.wide("cvt.u64.u32", spread.register)
        total = self.launch(product(tuple(sizes)))
        block.line(f"{again}:")
        block.line(f"@{block.test('setp.ge.s64', at, total)} bra {done};")
        loops.update(zip(placement.free, self.split(block, at, 64, sizes), strict=True))
        self._evaluate(block, placement.nest, loops, value)
        block.line(f"add.s64 {at}, {at}, {spread.threads};")
        block.line(f"bra {again};")
        block.line(f"{done}:")

    def _pinned(
        self, block: Block, placement: PlacedNest, texts: Sequence[str], sizes: Sequence[Index]
    ) -> tuple[dict[int, str], list[str]]:
        """Return the loops that follow from the result's coordinates, and the condition under which the nest runs."""
        tests = [block.test("setp.eq.s64", texts[c], self.launch(value)) for c, value in placement.guards]
        loops: dict[int, str] = {}
        for loop, coordinate, shift in placement.pinned:
            text, size = texts[coordinate], placement.nest.sizes[loop]
            if shift != 0:
                text = block.wide("sub.s64", text, self.launch(shift))
                tests.append(block.test("setp.ge.s64", text, "0"))
            if shift != 0 or size != sizes[coordinate]:
                tests.append(block.test("setp.lt.s64", text, self.launch(size)))
            loops[loop] = text
        return loops, tests

    def _evaluate(self, block: Block, nest: Nest, loops: Loops, value: str) -> None:
        """Emit all values first, then the stores: results may overlap their own operands."""
        result = result_of(self.program)
        values = self._graph(block, nest, loops, {result.temporary: value})
        for write, root in zip(nest.writes, nest.expr.results, strict=True):
            self._store(block, write, loops, values[root])

    # --- graphs ---

    def _graph(self, block: Block, nest: Nest, loops: Loops, temporaries: Mapping[int, str]) -> dict[int, str]:
        """Return the register of every node that a result needs."""
        needed = frozenset[int]().union(*(nest.expr.depends_on(root) for root in nest.expr.results))
        values: dict[int, str] = {}
        for at in sorted(needed):
            node = nest.expr.nodes[at]
            args = tuple(values[o] for o in node.operands)
            values[at] = self._node(block, nest, node, args, loops, temporaries)
        return values

    def _node(
        self,
        block: Block,
        nest: Nest,
        node: Scalar,
        args: tuple[str, ...],
        loops: Loops,
        temporaries: Mapping[int, str],
    ) -> str:
        if node.op == "constant":
            return constant(block, node.attribute, node.type)
        if node.op == "index":
            assert isinstance(node.attribute, int)
            return loops[node.attribute]
        if node.op == "size":
            return self._size(block, node)
        if node.op in ("read", "gather"):
            assert isinstance(node.attribute, int)
            return self._read(block, nest.reads[node.attribute], args, loops, temporaries, gather=node.op == "gather")
        return operation(block, node, tuple(nest.expr.nodes[o] for o in node.operands), args)

    def _size(self, block: Block, node: Scalar) -> str:
        if not isinstance(node.attribute, (int, Expr)) or node.type not in ("index", "i64", "i32"):
            raise Unsupported(f"a launch value of type {node.type}")
        value = self.launch(node.attribute)
        return value if node.type != "i32" or is_literal(value) else block.word("cvt.u32.u64", value)

    def _read(
        self,
        block: Block,
        read: Read,
        args: tuple[str, ...],
        loops: Loops,
        temporaries: Mapping[int, str],
        *,
        gather: bool,
    ) -> str:
        if not isinstance(read.source, View):
            if gather or read.source not in temporaries:
                raise Unsupported(f"a read of temporary {read.source} at this place")
            return temporaries[read.source]
        if not gather:
            return self._load(block, read.source.operand, _address_of(read.source, read.access), loops)
        identity = tuple(Linear(terms=((d, 1),)) for d in range(len(args)))
        return self._load(block, read.source.operand, _address_of(read.source, identity), dict(enumerate(args)))

    # --- memory ---

    def _load(self, block: Block, operand: int, element: Linear, loops: Loops) -> str:
        type_ = self.program.operands[operand].type.element
        address = self._address(block, operand, element, loops)
        if type_ == "i1":
            return block.test("setp.ne.u32", block.word("ld.global.u8", address), "0")
        if type_ not in _LOADS:
            raise Unsupported(f"elements of type {type_}")
        if type_ in ("f16", "bf16"):
            half = block.emit("h", "ld.global.b16", address)
            return block.emit("f", "cvt.f32.f16", half) if type_ == "f16" else widened(block, half)
        return block.emit(KIND[type_], f"ld.global.{_LOADS[type_]}", address)

    def _store(self, block: Block, write: Write, loops: Loops, value: str) -> None:
        operand = write.view.operand
        type_ = self.program.operands[operand].type.element
        address = self._address(block, operand, _address_of(write.view, write.access), loops)
        if type_ == "i1":
            block.line(f"st.global.u8 {address}, {block.word('selp.b32', '1', '0', value)};")
        elif type_ in ("f16", "bf16"):
            block.line(f"st.global.b16 {address}, {block.emit('h', f'cvt.rn.{type_}.f32', value)};")
        elif type_ in _LOADS:
            if is_literal(value) and type_ not in ("f32",):
                value = block.emit(KIND[type_], f"mov.b{64 if type_ == 'i64' else 32}", value)
            suffix = _LOADS[type_].replace("s", "b")
            block.line(f"st.global.{suffix} {address}, {value};")
        else:
            raise Unsupported(f"elements of type {type_}")

    def _address(self, block: Block, operand: int, element: Linear, loops: Loops) -> str:
        self._check_operand(operand)
        number = self.pointers.setdefault(operand, len(self.pointers))
        size = self.program.operands[operand].type.element_bytes
        at = self.linear(block, element, loops)
        if is_literal(at) and abs(int(at)) * size < 1 << 31:
            return f"[{self.base(number)} + {int(at) * size}]"
        return f"[{block.wide('mad.lo.s64', at, str(size), self.base(number))}]"

    def _check_operand(self, number: int) -> None:
        """Check constants of the body, which become data of the module and have to be small."""
        operand = self.program.operands[number]
        count = operand.type.count
        if operand.kind == "constant" and isinstance(count, int) and isinstance(operand.byte_offset, int):
            if count * operand.type.element_bytes > MAX_DATA_BYTES:
                raise Unsupported(f"a constant of {count * operand.type.element_bytes} bytes")
        elif operand.kind != "binding":
            raise Unsupported(f"{operand.kind} {operand.type}")

    # --- integers ---

    def launch(self, value: Index) -> str:
        """Return a literal, or the register of a value known at launch."""
        if isinstance(value, int):
            return str(value)
        return self.value(self.values.setdefault(value, len(self.values)))

    def linear(self, block: Block, value: Linear, loops: Loops) -> str:
        """Return a coordinate or an element's number: a 64-bit register or a literal."""
        constant: Index = value.constant
        terms: list[tuple[str, Index]] = []
        for loop, coefficient in value.terms:
            text = loops[loop]
            if is_literal(text):
                constant = apply("add", constant, apply("mul", coefficient, int(text)))
            else:
                terms.append((text, coefficient))
        total = self.launch(constant)
        for text, coefficient in terms:
            if coefficient == 1:
                total = text if total == "0" else block.wide("add.s64", text, total)
            else:
                total = block.wide("mad.lo.s64", text, self.launch(coefficient), total)
        return total

    def split(self, block: Block, number: str, bits: int, sizes: Sequence[Index]) -> list[str]:
        """Return the row-major coordinates, in 64 bits, of a flat number of 32 or 64."""
        narrow = bits == 32 and all(isinstance(size, int) for size in sizes)
        if bits == 32 and not narrow:
            number = block.wide("cvt.u64.u32", number)
        kind, type_ = ("w", "u32") if narrow else ("d", "s64")
        parts = [number] if sizes else []
        for size in reversed(sizes[1:]):
            bound = self.launch(size)
            quotient = block.emit(kind, f"div.{type_}", parts[0], bound)
            parts[:1] = [quotient, block.emit(kind, f"rem.{type_}", parts[0], bound)]
        return [block.wide("cvt.u64.u32", part) for part in parts] if narrow else parts


def _address_of(view: View, access: tuple[Linear, ...]) -> Linear:
    return view_address(view, access)


def result_of(program: Program) -> Result:
    """Return the only core's result. Raises `Unsupported`."""
    core = _core_of(program)
    if any(not reads_temporary(nest) for nest in program.stores):
        raise Unsupported("work beside the operation that does not use its result")
    if isinstance(core, Named):
        if core.op != "linalg.softmax":
            raise Unsupported(f"fused work behind {core.op}")
        shape = core.types[0].shape
        kept = kept_dimensions(core)
        loops = tuple(kept.index(d) if d in kept else None for d in range(len(shape)))
        return Result(temporary=core.temporaries[0], coordinates=loops, sizes=shape)
    places: list[int | None] = []
    for coordinate in core.target:
        if coordinate.terms and coordinate.loop is None:
            raise Unsupported("a reduction whose result is addressed by more than a loop")
        places.append(coordinate.loop)
    sizes = tuple(core.sizes[loop] if loop is not None else 1 for loop in places)
    return Result(temporary=core.temporary, coordinates=tuple(places), sizes=sizes)


def _core_of(program: Program) -> Stage:
    """Return the only operation that is more than element-wise. Raises `Unsupported`."""
    cores = [core for core in program.cores if isinstance(core, Named) or core.combiner]
    if len(cores) != 1:
        raise Unsupported(f"{len(cores)} operations that are more than element-wise")
    return cores[0]


def _input_of(program: Program, core: Named) -> Nest:
    """Return the computation of an element of a softmax's input over its loops, with the work fused in front of it."""
    inliner = Inliner()
    for producer in program.cores:
        if isinstance(producer, Nest):
            inliner.define_nest(producer)
    kept, builder = kept_dimensions(core), NestBuilder()
    at = tuple(index_of(kept.index(d)) if d in kept else ZERO for d in range(len(core.types[0].shape)))
    reads, expr = builder.finish((inliner.read(core.reads[0], at, builder),))
    sizes = tuple(core.types[0].shape[d] for d in kept)
    kinds: tuple[LoopKind, ...] = tuple("parallel" for _ in sizes)
    return Nest(sizes=sizes, kinds=kinds, reads=reads, expr=expr)


def kept_dimensions(core: Named) -> list[int]:
    """Return the dimensions that are loops to the matcher: unit ones are dropped, except that of a softmax."""
    shape = core.types[0].shape
    own = dict(core.attributes).get("dimension", "-1").partition(":")[0]
    return [d for d, size in enumerate(shape) if size != 1 or d == int(own)]
