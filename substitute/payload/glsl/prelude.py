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

from ...codegen.glsl.epilogue import store_function
from ...codegen.glsl.generator import refusals, shader_for
from ...codegen.glsl.library import WORD
from ...codegen.glsl.lower import lower_index
from ...codegen.glsl.operands import NOT_GIVEN, load_function, result_names
from ...codegen.glsl.operations import GLSL_TYPE
from ...errors import PayloadError, SourceText
from ...model.parameter import BoundParameter
from ...model.plan import Axis, Request
from .compile import BODY_MARK

LIBRARY_PREFIXES = ("f32_", "f16_", "bf16_", "int_", "i64")


def canonical_source(request: Request, body: str) -> str:
    """Return the whole shader: the prelude for this request, then the kernel's own text. Raises `PayloadError`."""
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
    """Return the prelude of a canonical GLSL kernel for this request; `body` decides which library functions it
    includes.

    Raises `PayloadError` for a dispatch whose operands GLSL cannot reach.
    """
    with refusals(request, NOT_GIVEN):
        shader = shader_for(request)
        lines = [line for axis in request.match.axes for line in _axis(axis)]
        for bound in request.match.parameters:
            _require_use(bound, body, where=str(request.substitution.kernel.payload.path))
            lines.append(_define_parameter(bound, shader.parameter(bound)))
        names, results = [spec.name for spec in request.substitution.kernel.operands], result_names(request)
        for name in names:
            lines += [] if name in results else load_function(shader, request, name)
        for name in results:
            lines += store_function(shader, request, name)
        if len(results) == 1:
            lines.append(f"#define epilogue store_{results[0]}")
        size = request.substitution.kernel.launch.workgroup_size
        if size is not None:
            x, y, z = size
            lines.append(f"layout(local_size_x = {x}, local_size_y = {y}, local_size_z = {z}) in;")
        joined = "\n".join(lines)
        return f"{shader.head(joined + _library_words(body))}\n{joined}\n"


def _axis(axis: Axis) -> list[str]:
    if not axis.name.isidentifier():  # a loop of fixed size that runs along no operand is called by its size
        return []
    if isinstance(axis.size, int):
        return [f"const int {axis.name} = {axis.size};"]
    return [f"#define {axis.name} ({lower_index(axis.size)})"]


def _require_use(bound: BoundParameter, body: str, *, where: str) -> None:
    if not re.search(rf"\b{bound.name}\b", body):
        raise PayloadError(
            f"the kernel never uses the parameter `{bound.name}`",
            where=where,
            expected=f"`{bound.name}` in its text",
            found="a value of its own, or a computation without it",
            next_step="use the name, or write the number into the definition",
        )


def _define_parameter(bound: BoundParameter, text: str) -> str:
    """Return the definition of a constant, or of a macro that loads the value."""
    if bound.value.constant is not None and bound.value.type != "i64":
        return f"const {GLSL_TYPE[bound.value.type]} {bound.name} = {text};"
    return f"#define {bound.name} ({text})"


def _library_words(body: str) -> str:
    return " ".join(["", *sorted({w for w in WORD.findall(body) if w.startswith(LIBRARY_PREFIXES)})])
