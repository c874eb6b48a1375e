"""A compute shader during its construction: buffers, constants, library functions, geometry."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ...model.dispatch import Linear, Nest, Operand, PipelineLayout, Read, View
from ...model.index import Index, add, apply
from ...model.parameter import BoundParameter
from ...model.scalar import Scalar
from ..placement import view_address
from ..unsupported import Unsupported
from .features import Features
from .library import library_for
from .lower import GraphLowering, Names, lower_index, lower_index_64, lower_linear
from .operations import GLSL_TYPE, lower_constant

MAX_CONSTANT_ELEMENTS = 4096
"""Limit of a constant operand: longer ones would make the shader slow to compile on many drivers."""

STORED_BITS = {"i1": 8, "i8": 8, "i16": 16, "f16": 16, "bf16": 16}
DIRECT = {"f32": "float", "i32": "int", "f64": "double", "i64": "i64"}
NO_DOUBLE = "f64 on a target without it"
CODES = {"f32": "f", "f64": "d", "f16": "H", "bf16": "H", "i1": "?", "i8": "b", "i16": "h", "i32": "i", "i64": "q"}

Element = Callable[[tuple[Linear, ...], Sequence[str]], str]
Temporaries = Mapping[int, Element]
"""For each temporary of a program: the text of its element at an access, given the loops' texts."""


@dataclass(frozen=True, slots=True)
class _Buffer:
    binding: int
    element: str

    @property
    def name(self) -> str:
        return f"b{self.binding}_{self.element}"


class Shader:
    """The parts of a shader; `text()` assembles them.

    Element numbers given to `load` and `store` count from the operand's first element.
    """

    def __init__(self, operands: tuple[Operand, ...], layout: PipelineLayout, features: Features) -> None:
        self.operands, self.layout, self.features = operands, layout, features
        self.names = Names()
        self._read: set[_Buffer] = set()
        self._written: set[_Buffer] = set()
        self._tables: set[int] = set()
        self._functions: dict[str, Sequence[str]] = {}

    # --- memory ---

    def load(self, operand: int, element: str) -> str:
        """Return the value of one element of an operand."""
        source = self.operands[operand]
        if source.kind == "constant":
            return self._constant(operand, source, element)
        buffer = self._buffer(source)
        self.check_access(source)
        self._read.add(buffer)
        return f"load_{buffer.name}({self._absolute(source, element)})"

    def store(self, operand: int, element: str, value: str) -> str:
        """Return the statement that stores one element of an operand."""
        target = self.operands[operand]
        buffer = self._buffer(target)
        self.check_access(target)
        self._written.add(buffer)
        return f"store_{buffer.name}({self._absolute(target, element)}, {value});"

    def load_view(self, view: View, access: tuple[Linear, ...], loops: Sequence[str]) -> str:
        """Return the value of a view's element at `access`."""
        return self.load(view.operand, lower_linear(view_address(view, access), loops))

    def store_view(self, view: View, access: tuple[Linear, ...], loops: Sequence[str], value: str) -> str:
        """Return the statement that stores a view's element at `access`."""
        return self.store(view.operand, lower_linear(view_address(view, access), loops), value)

    def parameter(self, bound: BoundParameter) -> str:
        """Return the value of a parameter of the definition, in the GLSL type of its own type. Raises `Unsupported`."""
        value = bound.value
        if value.view is not None:
            text = self.load(value.view.operand, lower_index(add(value.view.offset, value.element)))
            return f"({text} & 1) != 0" if value.type == "i1" else text
        if isinstance(value.bits, int):
            return lower_constant(value.constant, value.type)
        if value.type == "i64":
            return lower_index_64(value.bits)
        if value.type == "f64":
            if value.bits.op != "u64":
                raise Unsupported(f"the parameter {bound.name} = {value}")
            words = ", ".join(f"uint({lower_index(word)})" for word in value.bits.args if not isinstance(word, str))
            return f"packDouble2x32(uvec2({words}))"
        word = lower_index(value.bits)
        if value.type in ("i32", "index"):
            return word
        if value.type == "i1":
            return f"({word} & 1) != 0"
        if value.type == "f32":
            return f"uintBitsToFloat(uint({word}))"
        return f"int_wrap{value.type[1:]}({word})" if value.type[0] == "i" else f"{value.type}_from_bits(uint({word}))"

    def gather(self, read: Read, coordinates: tuple[str, ...]) -> str:
        """Return the value of a view's element at computed coordinates."""
        if not isinstance(read.source, View):
            raise Unsupported("a gather from a value that the dispatch computes")
        identity = tuple(Linear(terms=((d, 1),)) for d in range(len(coordinates)))
        return self.load_view(read.source, identity, coordinates)

    def _absolute(self, operand: Operand, element: str) -> str:
        size = operand.type.element_bytes
        offset = operand.byte_offset
        if isinstance(offset, int):
            if offset % size:
                raise Unsupported(f"a byte offset of {offset} for elements of {size} bytes")
            return f"{lower_index(offset // size)} + {element}" if offset else element
        return f"{lower_index(offset)} / {size} + {element}" if size > 1 else f"{lower_index(offset)} + {element}"

    def _buffer(self, operand: Operand) -> _Buffer:
        element = operand.type.element
        if operand.kind != "binding" or (element not in DIRECT and element not in STORED_BITS):
            raise Unsupported(f"a {operand.kind} operand with elements of type {element}")
        if element == "f64" and not self.features.float64:
            raise Unsupported(NO_DOUBLE)
        return _Buffer(operand.binding, element)

    def check_access(self, operand: Operand) -> None:
        """Check that elements packed into words have whole words: a driver drops accesses to a word that leaves the
        buffer. Raises `Unsupported`.
        """
        bits = STORED_BITS.get(operand.type.element)
        if bits is None or (self.features.storage8 if bits == 8 else self.features.storage16):
            return
        count = operand.type.count
        offset = operand.byte_offset if isinstance(operand.byte_offset, int) else 0
        if not isinstance(count, int) or (offset + count * bits // 8) % 4:
            size = f"{count * bits // 8} bytes" if isinstance(count, int) else "a size known at launch"
            raise Unsupported(f"{operand.type.element} elements of {size} on a target without {bits}-bit storage")

    def _constant(self, number: int, operand: Operand, element: str) -> str:
        type_ = operand.type.element
        if type_ not in CODES:
            raise Unsupported(f"a constant of type {type_}")
        width = struct.calcsize("=" + CODES[type_])
        if len(operand.data) == width:
            return constant_texts(operand)[0]
        if len(operand.data) // width != operand.type.count:
            raise Unsupported(f"a constant of {operand.type} with {len(operand.data)} bytes")
        if len(operand.data) // width > MAX_CONSTANT_ELEMENTS:
            raise Unsupported(f"a constant of {len(operand.data) // width} elements (at most {MAX_CONSTANT_ELEMENTS})")
        self._tables.add(number)
        return f"constant_{number}({element})"

    # --- nests ---

    def nest(
        self, nest: Nest, loops: Sequence[str], temporaries: Temporaries | None = None, *, known: Known | None = None
    ) -> GraphLowering:
        """Return the lowering of a nest's expression at the given loop indices."""

        def leaf(node: Scalar, args: tuple[str, ...]) -> str:
            assert isinstance(node.attribute, int)
            if node.op == "index":
                return loops[node.attribute]
            read = nest.reads[node.attribute]
            if node.op == "gather":
                return self.gather(read, args)
            if isinstance(read.source, View):
                return self.load_view(read.source, read.access, loops)
            if temporaries is None or read.source not in temporaries:
                raise Unsupported(f"a read of temporary {read.source} at this place")
            return temporaries[read.source](read.access, loops)

        lowering = GraphLowering(nest.expr, leaf, self.names)
        if known:
            lowering.values.update(known)
        return lowering

    def store_results(self, nest: Nest, loops: Sequence[str], temporaries: Temporaries | None = None) -> list[str]:
        """Return the statements that evaluate an element-wise nest at one point and store its results."""
        lowering = self.nest(nest, loops, temporaries)
        values = lowering.results()  # all loads precede the first store: results may overlap their own operands
        writes = zip(nest.writes, values, strict=True)
        return lowering.statements + [self.store_view(w.view, w.access, loops, value) for w, value in writes]

    # --- text ---

    def define(self, name: str, lines: Callable[[], Sequence[str]]) -> None:
        """Add a function to the shader, before its body; once for each name."""
        if name not in self._functions:
            self._functions[name] = lines()

    def text(self, body: str, workgroup_size: tuple[int, int, int]) -> str:
        """Return the whole shader; `body` holds shared variables, functions and `main`."""
        if not self.features.float64 and re.search(r"\b(double|f64_\w+)\b", body):
            raise Unsupported(NO_DOUBLE)
        x, y, z = workgroup_size
        body = "\n".join([*(line for lines in self._functions.values() for line in lines), body])
        geometry = f"layout(local_size_x = {x}, local_size_y = {y}, local_size_z = {z}) in;"
        return f"{self.head(body)}\n{geometry}\n\n{body.strip()}\n"

    def head(self, body: str) -> str:
        """Return version, extensions, push constants, buffers and library functions, as far as `body` needs them."""
        declarations = self._declarations()
        lines = ["#version 450"]
        if self.features.int64:
            lines.append("#extension GL_ARB_gpu_shader_int64 : require")
        used = {b.element for b in self._read | self._written}
        if self.features.storage8 and used & {"i1", "i8"}:
            lines.append("#extension GL_EXT_shader_8bit_storage : require")
        if self.features.storage16 and used & {"i16", "f16", "bf16"}:
            lines.append("#extension GL_EXT_shader_16bit_storage : require")
        if self.layout.constants:
            block = f"uniform Constants {{ uint word[{self.layout.constants}]; }} constants;"
            lines.append(f"layout(push_constant, std430) {block}")
        library = library_for(f"{declarations}\n{body}", native_int64=self.features.int64)
        return "\n".join(part for part in ("\n".join(lines), library, declarations) if part)

    def _declarations(self) -> str:
        buffers = sorted(self._read | self._written, key=lambda b: (b.binding, b.element))
        parts = [line for b in buffers for line in self._accessors(b)]
        parts += [self._table(number) for number in sorted(self._tables)]
        return "\n".join(parts)

    def _accessors(self, buffer: _Buffer) -> list[str]:
        name, element = buffer.name, buffer.element
        bits = STORED_BITS.get(element, 0)
        native = self.features.storage8 if bits == 8 else self.features.storage16
        stored = DIRECT.get(element) or (f"uint{bits}_t" if native else "uint")
        readonly = "" if buffer in self._written else "readonly "
        block = f"{readonly}buffer B{buffer.binding}_{element} {{ {stored} data[]; }} {name};"
        lines = [f"layout(set = 0, binding = {buffer.binding}, std430) {block}"]
        value = GLSL_TYPE[element]
        if not bits:
            load, store = f"return {name}.data[i];", f"{name}.data[i] = v;"
        elif native:
            load = f"uint bits = uint({name}.data[i]); return {_from_bits(element)};"
            store = f"{name}.data[i] = {stored}({_to_bits(element)});"
        else:
            per_word, mask = 32 // bits, (1 << bits) - 1
            shift = f"{bits} * (i % {per_word})"
            load = f"uint bits = ({name}.data[i / {per_word}] >> ({shift})) & {mask}u; return {_from_bits(element)};"
            # neighbours in the word belong to other invocations: clear and set only these bits
            store = (
                f"atomicAnd({name}.data[i / {per_word}], ~({mask}u << ({shift}))); "
                f"atomicOr({name}.data[i / {per_word}], ({_to_bits(element)} & {mask}u) << ({shift}));"
            )
        if buffer in self._read:
            lines.append(f"{value} load_{name}(int i) {{ {load} }}")
        if buffer in self._written:
            lines.append(f"void store_{name}(int i, {value} v) {{ {store} }}")
        return lines

    def _table(self, number: int) -> str:
        operand = self.operands[number]
        type_ = operand.type.element
        values = constant_texts(operand)
        value = GLSL_TYPE[type_]
        if type_ != "i64":
            table = f"const {value} table_{number}[{len(values)}] = {value}[]({', '.join(values)});"
            return f"{table}\n{value} constant_{number}(int i) {{ return table_{number}[i]; }}"
        words = [text.removeprefix("i64_words").replace("(", "uvec2(") for text in values]
        table = f"const uvec2 table_{number}[{len(words)}] = uvec2[]({', '.join(words)});"
        get = f"i64_words(table_{number}[i].x, table_{number}[i].y)"
        return f"{table}\ni64 constant_{number}(int i) {{ return {get}; }}"


Known = Mapping[int, str]
"""Local names of nodes of a graph that have been computed."""


def _from_bits(element: str) -> str:
    if element == "i1":
        return "bits != 0u"
    return f"int_wrap{element[1:]}(int(bits))" if element.startswith("i") else f"{element}_from_bits(bits)"


def _to_bits(element: str) -> str:
    if element == "i1":
        return "(v ? 1u : 0u)"
    return "uint(v)" if element.startswith("i") else f"{element}_to_bits(v)"


def constant_texts(operand: Operand) -> list[str]:
    """Return the literals of a constant operand's elements."""
    element = operand.type.element
    code = CODES[element]
    count = len(operand.data) // struct.calcsize("=" + code)
    numbers: list[object] = list(struct.unpack(f"<{count}{code}", operand.data))
    if element == "f16":
        numbers = list(struct.unpack(f"<{count}e", operand.data))
    elif element == "bf16":
        numbers = [struct.unpack("<f", struct.pack("<I", int(n) << 16))[0] for n in numbers]  # type: ignore[call-overload]
    return [lower_constant(n, element) for n in numbers]


MAX_GROUPS = 32768
"""Workgroups along x; Vulkan promises at least 65535."""


def flat_grid(groups: Index) -> tuple[Index, Index, Index]:
    """Return a count of at least `groups` workgroups, whose flat number is `workgroup()`; surplus ones must return
    early.
    """
    return (apply("min", groups, MAX_GROUPS), apply("ceildiv", groups, MAX_GROUPS), 1)


FLAT_GROUP = "int(gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x)"
"""The workgroup's number in a `flat_grid`."""


def delinearize(number: str, sizes: Sequence[Index], names: Sequence[str]) -> list[str]:
    """Return statements that split a flat number into row-major coordinates; they declare `names`."""
    statements: list[str] = []
    rest = number
    for at in range(len(sizes) - 1, -1, -1):
        if at == 0:
            statements.append(f"int {names[0]} = {rest};")
            break
        size = lower_index(sizes[at])
        statements.append(f"int {names[at]} = ({rest}) % {size};")
        rest = f"({rest}) / {size}"
    return statements


def indent(lines: Sequence[str], depth: int = 1) -> str:
    """Return the lines, indented by two spaces per level."""
    return "\n".join("  " * depth + line for line in "\n".join(lines).splitlines())
