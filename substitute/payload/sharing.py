"""Sharing of code between dispatches: a substitution without the properties that its code cannot depend on.

The code of a shared payload is made from the substitution that `without_place` returns, not from the first dispatch
that uses it, so it depends on nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from ..cache.content import digest_content
from ..cache.stamps import FileState
from ..catalog.files import digest_files
from ..model.dispatch import Dispatch, Named, Nest, Operand, Program, Read, Stage, View, Write
from ..model.kernel import Kernel
from ..model.parameter import BoundParameter
from ..model.plan import Match, Placement, Substitution
from .kinds import KINDS
from .store import kernel_state, program_state
from .symbols import sanitize

CALLED_WITH_POINTERS = frozenset({"llvm-cpu"})
"""Backends on which code gets pointers to the first elements of windows, and any unique name."""
_DIGESTS: dict[tuple[FileState, ...], str] = {}
"""Digests of kernels' files by their state."""


def shared_key(substitution: Substitution) -> str:
    """Return the key of the code of `without_place(substitution)`; empty if it depends on more than can be known."""
    kernel, dispatch = substitution.kernel, substitution.dispatch
    kind = kernel.payload.kind
    # the code of another package's kind is not among the files whose state is part of the key
    if kind not in KINDS or not kind.depends_on_program(kernel):
        return ""
    if kernel.payload.objects or kernel.executable_constants:
        return ""
    name = "" if dispatch.target.backend in CALLED_WITH_POINTERS else dispatch.name
    reduced = without_place(substitution)
    return digest_content(
        name,
        kernel.name,
        kernel.builtin,
        kernel_state(kernel),
        program_state(),
        reduced.dispatch,
        reduced.match,
        reduced.rule,
        reduced.tuning,
    )


def shared_entry(substitution: Substitution) -> str:
    """Return the name of the entry point of shared code.

    It follows from contents alone, so that equal inputs give equal code on any machine. Code that is called with
    pointers and sizes, and into which nothing is lowered, has one name for all sizes: its bytes are the same.
    """
    kernel, dispatch = substitution.kernel, substitution.dispatch
    if dispatch.target.backend not in CALLED_WITH_POINTERS:
        return kernel.payload.kind.entry_name(kernel, dispatch)
    reduced = without_place(substitution)
    parts: list[object] = [_digest_kernel(kernel, kernel_state(kernel)), reduced.dispatch.target, reduced.rule]
    if kernel.payload.kind.sees_dispatch or kernel.slots:
        parts += [reduced.dispatch, reduced.match, reduced.tuning]
    return f"{sanitize(kernel.name)}_{digest_content(*parts)[:20]}"


def _digest_kernel(kernel: Kernel, state: tuple[FileState, ...]) -> str:
    """Return the digest of a kernel's files; `state` is the key to what was read before."""
    known = _DIGESTS.get(state)
    if known is None:
        known = digest_content(tuple(sorted(digest_files(kernel).items())))
        if state:  # empty where there are too many files to look at
            _DIGESTS[state] = known
    return known


def without_place(substitution: Substitution) -> Substitution:
    """Return the substitution without names and, where code is called with pointers, without the operands' offsets."""
    old = substitution.dispatch
    dispatch = Dispatch(
        executable="",
        variant="",
        name="",
        target=old.target,
        layout=old.layout,
        workload=(),
        program=None,
        reason="",
        operations=(),
        kind=old.kind,
    )
    match = substitution.match
    if old.target.backend in CALLED_WITH_POINTERS and substitution.kernel.abi == "canonical":
        match = _moved_to_start(match)
    return replace(substitution, dispatch=dispatch, match=match)


def _moved_to_start(match: Match) -> Match:
    """Put operands at the start of their bindings, and windows at the start of their operands, where they are alone."""
    program = match.program
    if program is None:
        return match
    views = {*_views(program), *match.arguments, *(placed.view for placed in match.placements)}
    windows = Counter(view.operand for view in views)
    bindings = Counter(operand.binding for operand in program.operands if operand.kind == "binding")
    fixed = {placed.view for placed in match.placements if placed.start != placed.view.offset}

    def move(view: View) -> View:
        return view if windows[view.operand] > 1 or view in fixed else replace(view, offset=0)

    def move_operand(operand: Operand) -> Operand:
        alone = operand.kind == "binding" and bindings[operand.binding] == 1
        return replace(operand, byte_offset=0) if alone else operand

    def move_placement(placed: Placement) -> Placement:
        view = move(placed.view)
        return replace(placed, view=view, start=placed.start if view == placed.view else 0)

    def move_parameter(bound: BoundParameter) -> BoundParameter:
        value = bound.value
        return bound if value.view is None else replace(bound, value=replace(value, view=move(value.view)))

    return replace(
        match,
        program=Program(
            operands=tuple(map(move_operand, program.operands)),
            cores=tuple(_with_views(stage, move) for stage in program.cores),
            stores=tuple(_moved_nest(nest, move) for nest in program.stores),
        ),
        arguments=tuple(map(move, match.arguments)),
        placements=tuple(map(move_placement, match.placements)),
        parameters=tuple(map(move_parameter, match.parameters)),
    )


def _views(program: Program) -> Iterator[View]:
    for stage in (*program.cores, *program.stores):
        reads = (
            (*stage.reads, *(r for s in stage.scalars for r in s.reads)) if isinstance(stage, Named) else stage.reads
        )
        yield from (read.source for read in reads if isinstance(read.source, View))
        if isinstance(stage, Nest):
            yield from (write.view for write in stage.writes)


def _with_views(stage: Stage, move: Callable[[View], View]) -> Stage:
    return _moved_nest(stage, move) if isinstance(stage, Nest) else _moved_named(stage, move)


def _moved_nest(nest: Nest, move: Callable[[View], View]) -> Nest:
    writes = tuple(Write(view=move(write.view), access=write.access) for write in nest.writes)
    return replace(nest, reads=_moved_reads(nest.reads, move), writes=writes)


def _moved_named(named: Named, move: Callable[[View], View]) -> Named:
    scalars = tuple(_moved_nest(scalar, move) for scalar in named.scalars)
    return replace(named, reads=_moved_reads(named.reads, move), scalars=scalars)


def _moved_reads(reads: tuple[Read, ...], move: Callable[[View], View]) -> tuple[Read, ...]:
    return tuple(replace(r, source=move(r.source)) if isinstance(r.source, View) else r for r in reads)
