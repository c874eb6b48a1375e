"""The canonical ABI of a GLSL kernel: the head that the toolkit writes before a user's `kernel.comp`.

A kernel is a body with `void main()`. For a definition

    func.func @matmul(%a: tensor<?x?xf32>, %b: tensor<?x?xf32>) -> tensor<?x?xf32>

with `[operands] a = ["M", "K"], b = ["K", "N"], c = ["M", "N"]` the head gives it these names and nothing else:

- `M`, `N`, `K`: the axes as ints. A static axis is a constant (usable as the size of an array), a dynamic one an
  expression over push constants.
- parameters of the definition, such as `eps`, by their names: constants where they are known, expressions elsewhere.
- `load_a(int m, int k)`, `load_b(int k, int n)`: an element of an argument at its definition's coordinates, wherever
  the dispatch keeps it: binding, byte offset, slice and strides are applied. A window's dimension (`oh * 2 + kh`) is
  one coordinate. Integers of up to 32 bits come as int, `i1` as bool, `f16` and `bf16` as float, `i64` as `i64`: that
  is int64_t where the target has it and otherwise a pair of words (functions `i64_add`, …, in `library/int64*.glsl`).
- `store_c(int m, int n, float value)`: takes one result. What IREE fused behind the operation is applied here, and its
  results are stored; a dispatch without fused work stores `value`.
- `epilogue`: another name for the store function of the only result.
- the functions of `library/` whose names begin with `f32_`, `f16_`, `bf16_`, `int_` or `i64_`: `f32_exp`, `f32_tanh`, …
- `layout(local_size_x = …) in;` from `launch.workgroup_size`, if the manifest has it.

`#version` is the toolkit's; `#extension` lines of the body are moved to the front. Coordinates, sizes and addresses are
 32-bit ints: an operand reaches at most 2 GiB into its binding, and has fewer than 2^31 elements.
Calls of load and store functions are safe for coordinates within the axes only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ...codegen.unsupported import Unsupported
from ...errors import PayloadError, SourceText
from ...model.dispatch import Linear, Named, Nest
from ...model.index import Index
from ...model.kernel import OperandSpec
from ...model.parameter import BoundParameter
from ...model.plan import Axis, Placement, Request
from .compile import BODY_MARK
from .direct import target_coordinates
from .features import features_of
from .lower import lower_index, lower_linear
from .operations import GLSL_TYPE
from .shader import Shader, delinearize, indent
from .stores import emit_stores, place_stores, reads_temporary

LIBRARY_PREFIXES = ("f32_", "f16_", "bf16_", "int_", "i64")


def canonical_source(request: Request, body: str) -> str:
    """The whole shader: the head for this request, then the kernel's own text. Raises `PayloadError`."""
    where = str(request.substitution.kernel.payload.path)
    lines = body.splitlines()
    extensions: list[str] = []
    for number, line in enumerate(lines):
        if line.lstrip().startswith("#version") and request.substitution.kernel.abi == "canonical":
            raise PayloadError(
                "a canonical GLSL kernel has no #version line",
                where=where,
                source=SourceText(line=number + 1, column=1, text=line),
                expected="a body that uses load_…, store_… and the axes' names",
                found=line.strip(),
                next_step='remove the line (the toolkit writes the head), or say abi = "raw"',
            )
        if line.lstrip().startswith("#extension"):
            extensions.append(line.strip())
            lines[number] = ""
    if request.substitution.kernel.abi == "raw":
        return body
    head = prelude(request, body=body)
    first, _, rest = head.partition("\n")
    return "\n".join((first, *extensions, rest.rstrip())) + BODY_MARK + "\n".join(lines) + "\n"


def prelude(request: Request, *, body: str = "") -> str:
    """The head of a canonical GLSL kernel for this request; `body` says which library functions it uses.

    Raises `PayloadError` for a dispatch whose operands GLSL cannot reach.
    """
    try:
        return _Prelude(request).text(body)
    except Unsupported as problem:
        raise PayloadError(
            f"the kernel's operands cannot be given to it: {problem}",
            where=f"{request.substitution.kernel.name} in {request.substitution.dispatch.name}",
            next_step="leave this dispatch out by a constraint or by `dispatches` in kernel.toml",
        ) from problem


class _Prelude:
    """Collects the functions of one head."""

    def __init__(self, request: Request) -> None:
        substitution = request.substitution
        dispatch = substitution.dispatch
        if "bda" in dispatch.target.format:
            raise Unsupported(f"the dispatch ABI of {dispatch.target.format}: only descriptors are supported")
        self.kernel, self.match, self.program = substitution.kernel, request.match, request.program
        self.form = next(f for f in self.kernel.forms if f.name == self.match.form)
        self.axes = {axis.name: axis for axis in self.match.axes}
        self.shader = Shader(self.program.operands, dispatch.layout, features_of(dispatch.target))

    def text(self, body: str) -> str:
        """The head."""
        functions = [line for axis in self.match.axes for line in _axis(axis)]
        functions += [line for bound in self.match.parameters for line in self._parameter(bound, body)]
        specs = self.kernel.operands
        results = [n for n in range(len(specs)) if self.form.program.operands[n].kind == "result"]
        placed = {placement.name: placement for placement in self.match.placements}
        for number, spec in enumerate(specs):
            if number not in results:
                if spec.name not in placed:
                    raise Unsupported(f"{spec.name}, which IREE computes inside of the dispatch (a prologue)")
                functions += self._load(spec, placed[spec.name], is_bool=self._is_bool(number))
        for number in results:
            functions += self._store(specs[number], placed, is_bool=self._is_bool(number))
        if len(results) == 1:
            functions.append(f"#define epilogue store_{specs[results[0]].name}")
        size = self.kernel.launch.workgroup_size
        if size is not None:
            x, y, z = size
            functions.append(f"layout(local_size_x = {x}, local_size_y = {y}, local_size_z = {z}) in;")
        joined = "\n".join(functions)
        return f"{self.shader.head(joined + _library_words(body))}\n{joined}\n"

    def _parameter(self, bound: BoundParameter, body: str) -> list[str]:
        """A constant, or a name for what loads the value."""
        if not re.search(rf"\b{bound.name}\b", body):
            raise PayloadError(
                f"the kernel never uses the parameter `{bound.name}`",
                where=str(self.kernel.payload.path),
                expected=f"`{bound.name}` in its text",
                found="a value of its own, or a computation without it",
                next_step="use the name, or write the number into the definition",
            )
        text = self.shader.parameter(bound)
        if bound.value.constant is not None and bound.value.type != "i64":
            return [f"const {GLSL_TYPE[bound.value.type]} {bound.name} = {text};"]
        return [f"#define {bound.name} ({text})"]

    def _is_bool(self, number: int) -> bool:
        """IREE stores an i1 as an i8."""
        return self.form.program.operands[number].type.element == "i1"

    def _load(self, spec: OperandSpec, placed: Placement, *, is_bool: bool) -> list[str]:
        view = placed.view
        type_ = GLSL_TYPE.get(view.type.element)
        if type_ is None:
            raise Unsupported(f"operand {spec.name} with elements of type {view.type.element}")
        statements, address = _address(placed)
        value = self.shader.load(view.operand, address)
        if is_bool:
            type_, value = "bool", f"({value} & 1) != 0"
        return [f"{type_} load_{spec.name}({_parameters(spec)}) {{", indent([*statements, f"return {value};"]), "}"]

    def _store(self, spec: OperandSpec, placed: Mapping[str, Placement], *, is_bool: bool) -> list[str]:
        if "epilogue" in self.kernel.slots:
            lines, element = self._core_store(spec)
        else:
            placement = placed[spec.name]
            statements, address = _address(placement)
            element = "i1" if is_bool else placement.view.type.element
            value = "int(value)" if is_bool else "value"
            lines = [*statements, self.shader.store(placement.view.operand, address, value)]
        return [f"void store_{spec.name}({_parameters(spec)}, {GLSL_TYPE[element]} value) {{", indent(lines), "}"]

    def _core_store(self, spec: OperandSpec) -> tuple[list[str], str]:
        """The fused work behind the last core, at coordinates `i0`, `i1`, …"""
        core = self.program.cores[-1]
        if any(not reads_temporary(nest) for nest in self.program.stores):
            raise Unsupported("work beside the operation that does not use its result")
        coordinates, sizes, places, temporary, element = _result_of(core)
        lines = ["int zero = 0;"]
        names = ["zero"] * len(sizes)
        for dimension, name in enumerate(spec.axes):
            axis = self.axes[name]
            loops = [f"p{loop}" for loop in axis.loops]
            if loops:
                lines += delinearize(f"i{dimension}", axis.sizes, loops)
            for loop in axis.loops:
                names[coordinates.index(loop)] = f"p{loop}"

        def value(_access: tuple[Linear, ...], _loops: Sequence[str]) -> str:
            return "value"

        placements = place_stores(self.program, {temporary: places})
        return [*lines, *emit_stores(self.shader, placements, names, sizes, {temporary: value})], element


def _result_of(
    core: Nest | Named,
) -> tuple[list[int], tuple[Index, ...], tuple[int | None, ...], int, str]:
    """A core's coordinates (loops, or dimensions), their sizes, its result's places, number and type."""
    if isinstance(core, Named):
        shape = core.types[0].shape
        return list(range(len(shape))), shape, tuple(range(len(shape))), core.temporaries[0], core.types[0].element
    element = core.type.element if core.type else core.expr.nodes[core.expr.results[0]].type
    return list(range(len(core.sizes))), core.sizes, target_coordinates(core), core.temporary, element


def _axis(axis: Axis) -> list[str]:
    if isinstance(axis.size, int):
        return [f"const int {axis.name} = {axis.size};"]
    return [f"#define {axis.name} ({lower_index(axis.size)})"]


def _parameters(spec: OperandSpec) -> str:
    return ", ".join(f"int i{d}" for d in range(len(spec.axes)))


def _address(placed: Placement) -> tuple[list[str], str]:
    """Statements, and the element's number, at coordinates `i0`, `i1`, …"""
    statements: list[str] = []
    terms: list[str] = []
    for dimension, loops in enumerate(placed.dimensions):
        names = [f"i{dimension}_{n}" for n in range(len(loops))]
        if loops:
            statements += delinearize(f"i{dimension}", [size for size, _ in loops], names)
        terms += [f"{n} * {lower_index(stride)}" for n, (_, stride) in zip(names, loops, strict=True) if stride != 0]
    if placed.start != 0 or not terms:
        terms.append(lower_linear(Linear(terms=(), constant=placed.start), ()))
    return statements, " + ".join(terms)


def _library_words(body: str) -> str:
    from .library import WORD

    return " ".join(["", *sorted({w for w in WORD.findall(body) if w.startswith(LIBRARY_PREFIXES)})])
