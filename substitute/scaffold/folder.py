"""The files of a new kernel's folder: manifest, definition and code, checked before anyone sees them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import SubstituteError
from ..model.dispatch import Dispatch
from ..model.kernel import Kernel, OperandSpec
from .draft import Draft, NotExpressible
from .languages import Language
from .nests import check_simple, plan_grids

MANIFEST = "kernel.toml"
DEFINITION = "definition.mlir"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKernel:
    """A kernel that was written."""

    files: dict[str, str]
    kernel: Kernel


def write_kernel(draft: Draft, language: Language, *, name: str, entry: str, summary: str, origin: str) -> NewKernel:
    """Return a kernel with simple code for a definition. Raises `NotExpressible`.

    `origin` says for the files' heads what was lifted.
    """
    strided = language.kind == "glsl"
    operands = tuple(_operand(spec, strided=strided) for spec in draft.operands)
    definition = (
        f"// {origin}: this is what dispatches are compared with. `?` sizes are the axes of kernel.toml.\n{draft.text}"
    )
    draft_launch = 'workgroup_count = ["1", "1", "1"]' + ("\nworkgroup_size = [1, 1, 1]" if language.on_gpu else "")
    manifest = _manifest(name, entry, summary, language, operands, draft.parameters, draft_launch)
    kernel = _load({MANIFEST: manifest, DEFINITION: definition, language.file: "-"})
    program = check_simple(kernel.forms[0].program)
    grids = plan_grids(program, outermost_alone=not language.on_gpu)
    code = language.write(kernel, program, grids)
    manifest = _manifest(name, entry, summary, language, operands, draft.parameters, language.launch(grids))
    kernel = _load({MANIFEST: manifest, DEFINITION: definition, language.file: code})
    head = [f"{origin}: simple code, right before it is fast.", "It is called as:", ""]
    head += kernel.payload.kind.describe_call(kernel).splitlines()
    comment = "".join(f"{language.comment} {line}".rstrip() + "\n" for line in head)
    if language.kind in ("c", "c++", "cuda"):  # whose own head says how it is called
        comment = f"{language.comment} {head[0]}\n"
    return NewKernel(files={MANIFEST: manifest, DEFINITION: definition, language.file: comment + code}, kernel=kernel)


def check_against(new: NewKernel, dispatch: Dispatch) -> None:
    """Check that a kernel takes the dispatch that it was written for, and that its code can be built for it.

    Raises `NotExpressible`.
    """
    from ..catalog.catalog import load_catalog
    from ..match.planner import decide
    from ..model.plan import Substitution
    from ..payload.build import accepts, build

    with _folder(new.files) as folder:
        try:
            (kernel,) = load_catalog([folder], builtin=False).kernels
            decision = decide(kernel, dispatch, accepts)
            if decision.match is None:
                rule = decision.rules[-1]
                raise NotExpressible(
                    f"a definition that matches ({rule.name}: expected {rule.expected}, found {rule.found})"
                )
            build(Substitution(dispatch=dispatch, kernel=kernel, match=decision.match))
        except SubstituteError as error:
            raise NotExpressible(f"code that can be built ({error.what}: {error.found})") from error


def _operand(spec: OperandSpec, *, strided: bool) -> OperandSpec:
    """Return the operand; loading an element of a shader knows any strides, so it takes them."""
    return OperandSpec(name=spec.name, axes=spec.axes, strided=spec.strided or (strided and bool(spec.axes)))


def _load(files: dict[str, str]) -> Kernel:
    """Read a kernel as the catalog does. Raises `NotExpressible` for a definition that cannot be read."""
    from ..catalog.catalog import load_catalog

    with _folder(files) as folder:
        try:
            (kernel,) = load_catalog([folder], builtin=False).kernels
        except SubstituteError as error:
            raise NotExpressible(f"a definition that can be read back ({error.what}: {error.found})") from error
        return kernel


@contextmanager
def _folder(files: Mapping[str, str]) -> Iterator[Path]:
    """Yield a temporary folder with these files."""
    with tempfile.TemporaryDirectory(prefix="substitute-new-") as folder:
        for file, text in files.items():
            Path(folder, file).write_text(text, encoding="utf-8")
        yield Path(folder)


def _manifest(
    name: str,
    entry: str,
    summary: str,
    language: Language,
    operands: Sequence[OperandSpec],
    parameters: Sequence[str],
    launch: str,
) -> str:
    lines = ["schema = 1", f"name = {_quoted(name)}", f"summary = {_quoted(summary)}"]
    lines += [
        '# license = "Apache-2.0"           # an SPDX expression',
        "# constraints = []                # over axes",
        "",
    ]
    lines.append("[operands]                        # the definition's arguments, then its results; each with its axes")
    for spec in operands:
        axes = json.dumps(list(spec.axes))
        lines.append(f"{spec.name} = {f'{{ axes = {axes}, strided = true }}' if spec.strided else axes}")
    if parameters:
        lines += ["", "[parameters]                      # scalar arguments of the definition; conditions are optional"]
        lines += [f"{parameter} = []" for parameter in parameters]
    lines += ["", "[[target]]", f"backend = {_quoted(language.backend)}", "", "[payload]"]
    lines += [f"kind = {_quoted(language.kind)}", f"file = {_quoted(language.file)}"]
    lines += [f"entry = {_quoted('main' if language.kind == 'glsl' else entry)}", "", "[launch]", launch, ""]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
