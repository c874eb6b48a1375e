"""Translation of the body of a dispatch (or of a kernel's definition) into a `Program` of loop nests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from ..model.dispatch import (
    Linear,
    LoopKind,
    Named,
    Nest,
    Operand,
    Program,
    Read,
    Stage,
    TensorType,
    View,
    Write,
)
from ..model.equalities import Equalities
from ..model.index import Index, product
from ..model.nest import LoopSpace, NestBuilder, constant, merge_stores
from ..model.ops import neutral
from .attributes import integers, read_dispatch_tensor
from .constants import constant_bytes, is_elided, splat_value
from .indices import IndexReader, assumed_values
from .named import UNKNOWN, region_text, scalar_text
from .operation import (
    NotAReduction,
    affine_maps,
    check_element,
    coordinates,
    groups_of,
    is_scalar,
    is_tensor,
    kept_dimensions,
    linear,
    loop_sizes,
    maps_and_kinds,
    parallel,
    producer_of,
    split_accumulation,
)
from .scalars import ScalarReader
from .tensors import (
    Collapsed,
    Computed,
    Empty,
    Flattened,
    Loaded,
    Sliced,
    Splat,
    Temporary,
    Tensor,
    collapse,
    identity,
    row_major,
    slice_view,
)
from .unread import Unread

if TYPE_CHECKING:
    from iree.compiler import ir

# fmt: off
_SKIPPED = frozenset(
    {"func.return", "util.return", "return", "hal.interface.binding.subspan", "hal.interface.constant.load",
     "iree_tensor_ext.dispatch.workload.ordinal", "iree_codegen.null_pointer"}
)
# fmt: on


class BodyReader:
    """Reads one block of operations. Use `read_block`, then `program`."""

    def __init__(self, equal: Equalities | None = None) -> None:
        self.indices = IndexReader(equal)
        self.ties: list[tuple[Index, Index]] = []
        """Sizes that have to be equal for the body to be valid: those along one loop of an operation."""
        self.operands: list[Operand] = []
        self.operations: list[str] = []
        """Names of the linalg-level operations, in order."""
        self._tensors: dict[ir.Value, Tensor] = {}
        self._scalars = ScalarReader(self.indices, self._tensor, self._materialised)
        self._subspans: dict[ir.Value, int] = {}
        self._cores: list[Stage] = []
        self._whole: dict[int, tuple[Tensor, Read]] = {}
        """Materialised tensors, by the identity of the tensor that was copied."""
        self._temporaries = 0
        self._stores: list[Nest] = []

    def program(self) -> Program:
        """Return the program that was read."""
        return Program(operands=tuple(self.operands), cores=tuple(self._cores), stores=merge_stores(self._stores))

    def add_operand(self, operand: Operand) -> int:
        """Add an operand and return its position."""
        self.operands.append(operand)
        return len(self.operands) - 1

    def know_tensor(self, value: ir.Value, tensor: Tensor) -> None:
        """Define the tensor of a value (a definition's arguments)."""
        self._tensors[value] = tensor

    def know_parameter(self, value: ir.Value, number: int) -> None:
        """Define a value as a parameter (a scalar argument of a definition)."""
        self._scalars.know_parameter(value, number)

    def read_block(self, block: ir.Block) -> None:
        """Read all operations. Raises `Unread` for what the model cannot express."""
        for op in block.operations:
            self.read_operation(op.operation)

    def store(self, value: ir.Value, view: View) -> None:
        """Append the element-wise nest that stores a value."""
        tensor = self._tensor(value)
        self._tie(tensor.type.shape, view.type.shape)
        while isinstance(tensor, Collapsed):
            view, tensor = tensor.expanded(view), tensor.source
        nest = NestBuilder()
        at = identity(tensor.type.shape)
        node = tensor.element(at, nest)
        reads, expr = nest.finish((node,))
        sizes = tuple(s for s in tensor.type.shape if s != 1)
        self._stores.append(
            Nest(
                sizes=sizes,
                kinds=parallel(len(sizes)),
                reads=reads,
                expr=expr,
                writes=(Write(view=view, access=at),),
            )
        )

    def tensor(self, value: ir.Value) -> Tensor:
        """Return the tensor of a value. Raises `Unread`."""
        return self._tensor(value)

    def _tie(self, a: Sequence[Index], b: Sequence[Index]) -> None:
        """Record that both values are sizes of the same dimensions."""
        if len(a) == len(b):  # (a slice may drop dimensions of size one)
            self.ties += [(x, y) for x, y in zip(a, b, strict=True) if x != y]

    def _tie_loops(self, inputs: Sequence[Tensor], accesses: Sequence[Sequence[Linear | None]]) -> None:
        """Record that dimensions of operands are equal which the same loop runs along."""
        first: dict[int, Index] = {}
        for tensor, access in zip(inputs, accesses, strict=True):
            for size, coordinate in zip(tensor.type.shape, access, strict=True):
                if coordinate is not None and coordinate.loop is not None:
                    self._tie((first.setdefault(coordinate.loop, size),), (size,))

    def _tensor(self, value: ir.Value) -> Tensor:
        if value not in self._tensors:
            raise Unread(f"a tensor from {producer_of(value)}")
        return self._tensors[value]

    def _operand(self, value: ir.Value) -> Tensor:
        """Return an operand of a linalg operation; a scalar is a tensor of rank 0 that holds it."""
        if is_tensor(value):
            return self._tensor(value)
        return self._splat(value, TensorType(shape=(), element=str(value.type)))

    def _splat(self, scalar: ir.Value, type_: TensorType) -> Splat:
        probe = NestBuilder()
        node = probe.graph.nodes[self._scalars.captured(scalar, probe)]
        value = node.attribute if node.op == "constant" else None
        return Splat(type_, lambda nest: self._scalars.captured(scalar, nest), cast("int | float | None", value))

    def read_operation(self, op: ir.Operation) -> None:
        """Read one operation. Raises `Unread`."""
        name = op.name
        if name.startswith("linalg.") or name.startswith("iree_linalg_ext."):
            if name != "linalg.fill":
                self.operations.append(name)
            return self._linalg(op)
        match name:
            case "iree_tensor_ext.dispatch.tensor.load":
                self._load(op)
            case "iree_tensor_ext.dispatch.tensor.store":
                self._dispatch_store(op)
            case "tensor.empty":
                self._tensors[op.results[0]] = Empty(self._type_with(op.results[0], list(op.operands)))
            case "tensor.extract_slice":
                self._extract_slice(op)
            case "tensor.expand_shape":
                self._expand(op)
            case "tensor.collapse_shape":
                self._collapse(op)
            case "tensor.cast" | "iree_tensor_ext.compute_barrier.start" | "iree_tensor_ext.compute_barrier.end":
                self._tensors[op.results[0]] = self._tensor(op.operands[0])
            case "tensor.dim":
                self._dim(op)
            case "arith.constant":
                self._constant(op)
            case "util.assume.int":
                self._tie_assumed(op)
            case "tensor.splat":
                shape = list(op.operands)[1:]
                self._tensors[op.results[0]] = self._splat(op.operands[0], self._type_with(op.results[0], shape))
            case _ if name in _SKIPPED or is_scalar(op):
                pass
            case _ if name.partition(".")[0] in ("arith", "math") and len(op.results) == 1 and not op.regions:
                self._tensor_arithmetic(op)
            case _ if name.startswith("iree_encoding."):
                raise Unread(f"an encoded tensor ({name}); compile without data tiling")
            case _:
                raise Unread(f"the operation {name}")
        return None

    # -- memory ------------------------------------------------------------------------------------------------

    def _subspan(self, value: ir.Value) -> int:
        """Return the operand of a `hal.interface.binding.subspan`, new or known."""
        from iree.compiler import ir

        if value in self._subspans:
            return self._subspans[value]
        op = value.owner.operation
        if op.name != "hal.interface.binding.subspan":
            raise Unread(f"a load or store through {op.name}")
        access, tensor = read_dispatch_tensor(value.type)
        check_element(str(tensor.element_type))
        offset_count, _ = integers(op.attributes["operandSegmentSizes"])
        operands = list(op.operands)
        dims = iter(operands[offset_count:])
        shape = tuple(
            self.indices.read(next(dims)) if tensor.is_dynamic_dim(d) else tensor.get_dim_size(d)
            for d in range(tensor.rank)
        )
        self._subspans[value] = self.add_operand(
            Operand(
                kind="binding",
                type=TensorType(shape=shape, element=str(tensor.element_type)),
                access=access,
                binding=int(ir.IntegerAttr(op.attributes["binding"]).value),
                byte_offset=self.indices.read(operands[0]) if offset_count else 0,
            )
        )
        return self._subspans[value]

    def _window(self, op: ir.Operation, source: ir.Value, first: int, tensor: ir.RankedTensorType) -> View:
        """Return the window of a subspan that a `dispatch.tensor.load` or `.store` covers; `first`: first segment."""
        number = self._subspan(source)
        operand = self.operands[number]
        offsets, sizes, strides = self._slice(op, first)
        kept = kept_dimensions(sizes, [tensor.get_dim_size(d) for d in range(tensor.rank)], tensor)
        type_ = TensorType(shape=tuple(sizes[d] for d in kept), element=operand.type.element)
        whole = View(operand=number, type=operand.type, offset=0, strides=row_major(operand.type.shape))
        return slice_view(whole, type_, offsets, strides, kept)

    def _slice(self, op: ir.Operation, first: int) -> tuple[tuple[Index, ...], tuple[Index, ...], tuple[Index, ...]]:
        """Return offsets, sizes and strides, from the static lists and operand segments `first`, +1, +2."""
        segments = integers(op.attributes["operandSegmentSizes"])
        operands, at = list(op.operands), sum(segments[:first])
        lists = []
        for segment, key in enumerate(("static_offsets", "static_sizes", "static_strides"), first):
            dynamic = operands[at : at + segments[segment]]
            at += segments[segment]
            lists.append(self.indices.static_or_dynamic(integers(op.attributes[key]), dynamic))
        return lists[0], lists[1], lists[2]

    def _load(self, op: ir.Operation) -> None:
        from iree.compiler import ir

        # segments: source, source dimensions, offsets, sizes, strides
        type_ = ir.RankedTensorType(op.results[0].type)
        self._tensors[op.results[0]] = Loaded(self._window(op, op.operands[0], 2, type_))

    def _dispatch_store(self, op: ir.Operation) -> None:
        from iree.compiler import ir

        # segments: value, target, target dimensions, offsets, sizes, strides
        type_ = ir.RankedTensorType(op.operands[0].type)
        self.store(op.operands[0], self._window(op, op.operands[1], 3, type_))

    def _constant(self, op: ir.Operation) -> None:
        from iree.compiler import ir

        result = op.results[0]
        if not isinstance(result.type, ir.RankedTensorType):
            return
        type_ = self._type_with(result, [])
        if type_.element.startswith("complex"):  # the bindings raise for such an attribute
            raise Unread(f"a constant with elements of type {type_.element}")
        attribute = op.attributes["value"]
        splat = splat_value(attribute)
        if splat is not None:
            self._tensors[result] = Splat(
                type_, lambda nest: nest.graph.add("constant", type_.element, (), splat), splat
            )
            return
        check_element(type_.element)
        data = constant_bytes(attribute, type_)
        count = type_.count
        assert isinstance(count, int)
        if len(data) != count * type_.element_bytes and not is_elided(attribute):
            raise Unread(f"a constant of type {type_} whose elements are not known")
        number = self.add_operand(Operand(kind="constant", type=type_, access="readonly", data=data))
        self._tensors[result] = Loaded(View(operand=number, type=type_, offset=0, strides=row_major(type_.shape)))

    # -- shapes ------------------------------------------------------------------------------------------------

    def _type_with(self, value: ir.Value, dynamic: list[ir.Value]) -> TensorType:
        """Return the type of a tensor value whose dynamic sizes are these operands."""
        from iree.compiler import ir

        tensor = ir.RankedTensorType(value.type)
        sizes = iter(dynamic)
        shape = tuple(
            self.indices.read(next(sizes)) if tensor.is_dynamic_dim(d) else tensor.get_dim_size(d)
            for d in range(tensor.rank)
        )
        return TensorType(shape=shape, element=str(tensor.element_type))

    def _dim(self, op: ir.Operation) -> None:
        at = self.indices.read(op.operands[1])
        assert isinstance(at, int)
        self.indices.know(op.results[0], self._tensor(op.operands[0]).type.shape[at])

    def _extract_slice(self, op: ir.Operation) -> None:
        from iree.compiler import ir

        source = self._tensor(op.operands[0])
        offsets, sizes, strides = self._slice(op, 1)
        result = ir.RankedTensorType(op.results[0].type)
        kept = kept_dimensions(sizes, [result.get_dim_size(d) for d in range(result.rank)], result)
        type_ = TensorType(shape=tuple(sizes[d] for d in kept), element=source.type.element)
        self._tensors[op.results[0]] = (
            Loaded(slice_view(source.view, type_, offsets, strides, kept))
            if isinstance(source, Loaded)
            else Sliced(source, type_, offsets, strides, kept)
        )

    def _expand(self, op: ir.Operation) -> None:
        source = self._tensor(op.operands[0])
        shape = self.indices.static_or_dynamic(integers(op.attributes["static_output_shape"]), list(op.operands)[1:])
        type_ = TensorType(shape=shape, element=source.type.element)
        if isinstance(source, Splat):
            self._tensors[op.results[0]] = Splat(type_, source.scalar, source.constant)
        elif isinstance(source, Empty):
            self._tensors[op.results[0]] = Empty(type_)
        else:
            groups = groups_of(op)
            self._tie(source.type.shape, tuple(product(tuple(shape[d] for d in group)) for group in groups))
            self._tensors[op.results[0]] = Flattened(source, type_, groups)

    def _collapse(self, op: ir.Operation) -> None:
        source = self._tensor(op.operands[0])
        groups = groups_of(op)
        shape = tuple(product(tuple(source.type.shape[d] for d in group)) for group in groups)
        type_ = TensorType(shape=shape, element=source.type.element)
        self._tensors[op.results[0]] = collapse(source, type_, groups)

    # -- computation -------------------------------------------------------------------------------------------

    def _linalg(self, op: ir.Operation) -> None:
        if op.name == "linalg.fill":
            return self._fill(op)
        if op.name in ("linalg.softmax", "linalg.pack", "linalg.unpack") or op.name.startswith("iree_linalg_ext."):
            return self._named(op)
        maps, kinds = maps_and_kinds(op)
        if "reduction" in kinds:
            try:
                return self._reduction(op, maps, kinds)
            except NotAReduction:
                return self._named(op)
        return self._elementwise(op, maps, len(kinds))

    def _fill(self, op: ir.Operation) -> None:
        self._tensors[op.results[0]] = self._splat(op.operands[0], self._tensor(op.operands[1]).type)

    def _elementwise(self, op: ir.Operation, maps: list[ir.AffineMap], loop_count: int) -> None:
        inputs = [self._operand(v) for v in op.operands]
        accesses = [[linear(e) for e in m.results] for m in maps]
        self._tie_loops(inputs, accesses)
        block = op.regions[0].blocks[0]
        arguments = list(block.arguments)
        used = [i for i, a in enumerate(arguments) if any(True for _ in a.uses)]
        first_output = len(op.operands) - len(op.results)

        def body_of(number: int) -> Computed:
            loop_of_dim: list[int | None] = []
            shape = inputs[first_output + number].type.shape
            for access, size in zip(accesses[first_output + number], shape, strict=True):
                at = access.loop if access is not None else None
                if at is None and size != 1:
                    raise Unread("an element-wise operation that does not write every element once")
                loop_of_dim.append(at)
            moving = [at for at in loop_of_dim if at is not None]
            if len(moving) != len(set(moving)):
                raise Unread("an element-wise operation that writes a diagonal")

            def body(loops: tuple[Linear, ...], nest: NestBuilder) -> int:
                emitted = {arguments[i]: inputs[i].element(coordinates(accesses[i], loops), nest) for i in used}
                return self._scalars.body(block, emitted, loops, nest)[number]

            return Computed(inputs[first_output + number].type, body, tuple(loop_of_dim), loop_count)

        for number, result in enumerate(op.results):
            self._tensors[result] = body_of(number)

    def _tensor_arithmetic(self, op: ir.Operation) -> None:
        """Read a scalar operation on whole tensors, such as the `arith.trunci` that converts a stored byte to i1."""
        from .scalars import predicate

        inputs = [self._tensor(v) for v in op.operands]
        shape = inputs[0].type.shape
        type_ = self._type_with_shape(op.results[0], shape)

        def body(loops: tuple[Linear, ...], nest: NestBuilder) -> int:
            operands = tuple(t.element(loops, nest) for t in inputs)
            return nest.graph.add(op.name, type_.element, operands, predicate(op))

        self._tensors[op.results[0]] = Computed(type_, body, tuple(range(len(shape))), len(shape))

    def _type_with_shape(self, value: ir.Value, shape: tuple[Index, ...]) -> TensorType:
        from iree.compiler import ir

        return TensorType(shape=shape, element=str(ir.RankedTensorType(value.type).element_type))

    def _reduction(self, op: ir.Operation, maps: list[ir.AffineMap], kinds: list[str]) -> None:
        if len(op.results) != 1:
            raise NotAReduction
        inputs = [self._operand(v) for v in op.operands]
        accesses = [[linear(e) for e in m.results] for m in maps]
        self._tie_loops(inputs, accesses)
        sizes = loop_sizes(inputs, accesses, len(kinds))
        space = LoopSpace()
        loops = [constant(0)] * len(kinds)
        out_loops = [a.loop if a is not None else None for a in accesses[-1]]
        outer = [n for n in out_loops if n is not None]
        whole = all(n is not None or s == 1 for n, s in zip(out_loops, inputs[-1].type.shape, strict=True))
        if len(set(outer)) != kinds.count("parallel") or len(outer) != len(set(outer)) or not whole:
            raise NotAReduction
        for number in [*outer, *(i for i, k in enumerate(kinds) if k == "reduction")]:
            loops[number] = space.new(sizes[number], kinds[number])
        nest = NestBuilder()
        block = op.regions[0].blocks[0]
        arguments = list(block.arguments)
        at = tuple(loops)
        emitted = {
            argument: tensor.element(coordinates(access, at), nest)
            for argument, tensor, access in zip(arguments[:-1], inputs[:-1], accesses[:-1], strict=True)
            if any(True for _ in argument.uses)
        }
        type_ = inputs[-1].type
        accumulator = nest.graph.add("accumulator", type_.element)
        emitted[arguments[-1]] = accumulator
        (root,) = self._scalars.body(block, emitted, at, nest)
        combiner, expr = split_accumulation(nest, root, accumulator)
        reads, graph = nest.finish((expr,))
        # a size may be open in the result's type and one in an input's: then there is no loop, and no dimension
        kept = tuple(d for d, n in enumerate(out_loops) if n is not None and loops[n].terms)
        self._tensors[op.results[0]] = self._reduced(
            inputs[-1],
            kept,
            combiner,
            Nest(
                sizes=tuple(space.sizes),
                kinds=tuple(cast("list[LoopKind]", space.kinds)),
                reads=reads,
                expr=graph,
                combiner=combiner,
                target=tuple(loops[n] for n in outer if loops[n].terms),
            ),
        )

    def _reduced(self, start: Tensor, kept: tuple[int, ...], combiner: str, nest: Nest) -> Temporary:
        """Append the core; its initial value is `init` if constant, else combined into the results by their readers."""
        from dataclasses import replace

        type_ = start.type
        number = self._new_temporary()
        is_constant = isinstance(start, Splat) and start.constant is not None
        init = cast(Splat, start).constant if is_constant else neutral(combiner, type_.element)
        self._cores.append(
            replace(
                nest,
                init=init,
                temporary=number,
                type=TensorType(shape=tuple(type_.shape[d] for d in kept), element=type_.element),
            )
        )

        def combine(node: int, at: tuple[Linear, ...], into: NestBuilder) -> int:
            return into.graph.add(combiner, type_.element, (start.element(at, into), node))

        return Temporary(type_, number, kept, None if is_constant else combine)

    def _new_temporary(self) -> int:
        self._temporaries += 1
        return self._temporaries - 1

    def _named(self, op: ir.Operation) -> None:
        operands = [self._tensor(v) for v in op.operands if is_tensor(v)]
        self._tie_named(op, operands)
        inputs = [t for t in operands if not isinstance(t, (Empty, Splat))]
        if op.name == "linalg.softmax":  # (or of one repeated number)
            inputs = operands[:1]
        reads = tuple(self._materialised(t) for t in inputs)
        attributes = tuple((key, str(op.attributes[key])) for key in op.attributes if key != "operandSegmentSizes")
        if op.name != "linalg.softmax":  # (whose initial values are its definition's, whatever its output holds)
            attributes += (("operands", ", ".join(self._operand_text(v) for v in op.operands)),)
        outputs = operands[len(operands) - len(op.results) :]
        types = tuple(t.type for t in outputs)
        numbers = tuple(self._new_temporary() for _ in types)
        has_region = op.name.startswith("iree_linalg_ext.") or op.name == "linalg.generic"
        self._cores.append(
            Named(
                op=op.name,
                reads=reads,
                attributes=attributes,
                temporaries=numbers,
                types=types,
                region=region_text(op, self._scalar_text) if has_region else "",
                scalars=tuple(self._scalar(v) for v in op.operands if not is_tensor(v)),
            )
        )
        for result, number, type_ in zip(op.results, numbers, types, strict=True):
            self._tensors[result] = Temporary(type_, number, tuple(range(len(type_.shape))))

    def _tie_assumed(self, op: ir.Operation) -> None:
        """Record integers as equal that have the same value at each call site: IREE lists their possible values."""
        first: dict[tuple[int, ...], ir.Value] = {}
        for number, result in enumerate(op.results):
            values = assumed_values(op, number)
            if values and (known := first.setdefault(values, result)) != result:
                self._tie((self.indices.read(known),), (self.indices.read(result),))

    def _tie_named(self, op: ir.Operation, operands: Sequence[Tensor]) -> None:
        """Record the sizes of a named operation as equal whose maps run over the same loop, such as attention's."""
        if op.name == "linalg.softmax":
            self._tie(operands[0].type.shape, operands[1].type.shape)
        elif "indexing_maps" in op.attributes:
            maps = [[linear(e) for e in m.results] for m in affine_maps(op.attributes["indexing_maps"])]
            of_tensors = [m for m, v in zip(maps, op.operands, strict=False) if is_tensor(v)]
            if len(maps) == len(list(op.operands)):
                self._tie_loops(operands, of_tensors)

    def _operand_text(self, value: ir.Value) -> str:
        """Return a text for an operand of a named operation that is not a tensor in memory."""
        if not is_tensor(value):
            return "scalar"
        tensor = self._tensor(value)
        if isinstance(tensor, Splat):
            return UNKNOWN if tensor.constant is None else f"{tensor.constant} everywhere"
        return "empty" if isinstance(tensor, Empty) else "read"

    def _scalar(self, value: ir.Value) -> Nest:
        nest = NestBuilder()
        try:
            root = self._scalars.captured(value, nest)
        except Unread:  # no definition matches it
            root = nest.graph.add(UNKNOWN, str(value.type))
        reads, expr = nest.finish((root,))
        return Nest(sizes=(), kinds=(), reads=reads, expr=expr)

    def _scalar_text(self, value: ir.Value) -> str:
        if is_tensor(value):
            return UNKNOWN
        nest = NestBuilder()
        try:
            return scalar_text(nest.graph.nodes, self._scalars.captured(value, nest))
        except Unread:
            return UNKNOWN

    def _materialised(self, tensor: Tensor) -> Read:
        """Return a whole tensor as a read: element-wise results become temporaries."""
        at = identity(tensor.type.shape)
        if isinstance(tensor, Loaded):
            return Read(source=tensor.view, access=at, type=tensor.type)
        if isinstance(tensor, Temporary) and tensor.combine is None and len(tensor.kept) == len(tensor.type.shape):
            return Read(source=tensor.number, access=at, type=tensor.type)
        if id(tensor) in self._whole:
            return self._whole[id(tensor)][1]
        nest = NestBuilder()
        reads, expr = nest.finish((tensor.element(at, nest),))
        number = self._new_temporary()
        sizes = tuple(s for s in tensor.type.shape if s != 1)
        self._cores.append(
            Nest(
                sizes=sizes,
                kinds=parallel(len(sizes)),
                reads=reads,
                expr=expr,
                target=at,
                temporary=number,
                type=tensor.type,
            )
        )
        read = Read(source=number, access=at, type=tensor.type)
        self._whole[id(tensor)] = (tensor, read)  # the tensor is kept alive, so that its id is not reused
        return read
