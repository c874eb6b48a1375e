"""Dispatches of IREE's `hal.executable`s as frozen data; their bodies as programs of loop nests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .elements import ELEMENT
from .index import Index, product
from .scalar import ScalarGraph

Access = Literal["readonly", "writeonly", "readwrite"]
LoopKind = Literal["parallel", "reduction"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorType:
    """Sizes and element type."""

    shape: tuple[Index, ...]
    element: str

    def __str__(self) -> str:
        return "x".join([*("?" if not isinstance(s, int) else str(s) for s in self.shape), self.element])

    @property
    def element_bytes(self) -> int:
        """Bytes of one element; sub-byte types count as one. Raises `KeyError` for a type without a row of facts."""
        return max(1, ELEMENT[self.element].bits // 8)

    @property
    def count(self) -> Index:
        """Number of elements."""
        return product(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """`#hal.executable.target`: backend, format and configuration."""

    backend: str
    """`llvm-cpu`, `vulkan-spirv`, `cuda`, …"""
    format: str
    """`embedded-elf-x86_64`, `vulkan-spirv-fb`, `cuda-nvptx-fb`, …"""
    config: tuple[tuple[str, str], ...]
    """The configuration's keys in order, values as MLIR prints them; strings without quotes."""

    def get(self, key: str, default: str = "") -> str:
        """Return the value of one key."""
        return dict(self.config).get(key, default)

    @property
    def features(self) -> frozenset[str]:
        """CPU features that are on, as `+avx2` → `avx2`; the last entry for a feature counts."""
        on: dict[str, bool] = {}
        for word in self.get("cpu_features").split(","):
            if word:
                on[word[1:]] = word[0] == "+"
        return frozenset(name for name, value in on.items() if value)


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineLayout:
    """`#hal.pipeline.layout`: the number of push constants, and the bindings of a dispatch."""

    constants: int
    bindings: tuple[str, ...]
    """Flags of each binding as IREE prints them (`ReadOnly`, `Indirect`, …)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """A tensor in memory: a binding's subspan, a constant of the body, or an argument or result of a definition."""

    kind: Literal["binding", "constant", "argument", "result"]
    type: TensorType
    access: Access
    binding: int = -1
    """Number of the binding; -1 if `kind` is not `binding`."""
    byte_offset: Index = 0
    """Offset of the subspan in its binding, in bytes."""
    data: bytes = b""
    """A constant's elements, row-major, little-endian; one element for a splat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A strided window of an operand, as a load or a store of the body accesses it."""

    operand: int
    """Position in the dispatch's `operands`."""
    type: TensorType
    offset: Index
    """First element, in elements from the operand's start."""
    strides: tuple[Index, ...]
    """Distance between neighbours along each dimension of `type`, in elements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """`constant + Σ coefficient · loop`: one coordinate of an access."""

    terms: tuple[tuple[int, Index], ...]
    """(loop, coefficient) pairs, ordered by loop, no coefficient zero."""
    constant: Index = 0

    @property
    def loop(self) -> int | None:
        """The loop, if the coordinate is one loop's index."""
        return self.terms[0][0] if len(self.terms) == 1 and self.terms[0][1] == 1 and self.constant == 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Source of a nest's input: a view of an operand, or an earlier stage's result."""

    source: View | int
    """A view, or the number of the temporary that an earlier stage produced."""
    access: tuple[Linear, ...]
    """One coordinate per dimension of the source, so none for rank 0; empty for the source of a `gather` too, see
    `Nest.gathered`."""
    type: TensorType
    """The source's type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nest:
    """One loop nest. Element-wise where `combiner` is empty, else a reduction.

    A reduction has exactly one result in `expr`, and means
    `temporary[target] = combiner over reduction loops of expr`, starting from `init`.
    An element-wise nest stores its results through `writes`, one per result of `expr`.
    """

    sizes: tuple[Index, ...]
    kinds: tuple[LoopKind, ...]
    reads: tuple[Read, ...]
    expr: ScalarGraph
    combiner: str = ""
    """`arith.addf`, `arith.maximumf`, …; empty: no reduction."""
    init: float | int | None = None
    """Constant that a reduction starts from."""
    target: tuple[Linear, ...] = ()
    """A reduction's coordinates in its temporary, which has one dimension per entry."""
    temporary: int = -1
    """The number of the temporary that a reduction produces."""
    type: TensorType | None = None
    """The type of that temporary."""
    writes: tuple[Write, ...] = ()

    @property
    def gathered(self) -> frozenset[int]:
        """Positions of the reads whose coordinates are computed: the sources of `gather`.

        An empty access is not sufficient: a read of the one element of a tensor of rank 0 has an empty access too.
        """
        return frozenset(int(str(node.attribute)) for node in self.expr.nodes if node.op == "gather")


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Store of one result of an element-wise nest."""

    view: View
    access: tuple[Linear, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """An operation that is not a loop nest: softmax, attention, scan, sort, top-k."""

    op: str
    """MLIR's name: `linalg.softmax`, `iree_linalg_ext.attention`, …"""
    reads: tuple[Read, ...]
    """Inputs, each read whole (access is the identity over the source's dimensions)."""
    attributes: tuple[tuple[str, str], ...]
    temporaries: tuple[int, ...]
    types: tuple[TensorType, ...]
    region: str = ""
    """Text of its region, if it has one."""
    scalars: tuple[Nest, ...] = ()
    """Operands that are no tensors, in order, such as the scale of attention: each a computation without loops."""


Stage = Nest | Named


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Computation of a dispatch: cores (reductions and named operations), then the element-wise nests that store.

    Element-wise producers are inlined into what uses them, unit loops are dropped, named linalg operations are loop
    nests. So two spellings of one computation are equal but for the order of loops and operands.
    """

    operands: tuple[Operand, ...]
    cores: tuple[Stage, ...]
    stores: tuple[Nest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """One export of one variant, and its computation."""

    executable: str
    variant: str
    name: str
    """The export's symbol."""
    target: Target
    layout: PipelineLayout
    workload: tuple[Index | None, ...]
    """Each workload operand in terms of push constants; None if the body does not determine it."""
    program: Program | None
    """Program of the body; None if it could not be read."""
    reason: str
    """Reason why the body could not be read; empty if it was read."""
    operations: tuple[str, ...]
    """Linalg-level operations of the body, in order, for reports."""
    kind: str
    """`contraction`, `convolution`, `reduction`, `normalization`, `softmax`, `elementwise`, `copy`, `gather`, …"""
    siblings: int = 0
    """Other exports of the same variant."""
    has_body: bool = True
    """False for an export that is an external object already, or code in its final form."""
