"""Texts that an executable must contain for a kernel to match it; the client tests for them without parsing.

Every word here follows from a rule of the planner, which fails without it. If nothing else is known of a kernel, its
backend's name is the only word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..match.planner import CALL_OUT_BACKENDS
from ..match.state import is_generated
from ..model.dispatch import Named
from ..model.kernel import Form, Kernel, TargetRule

BODY = "func.func"
"""Text in every readable body: an executable that is already lowered contains none."""
# fmt: off
COMPUTED_KINDS = frozenset(
    ("contraction", "convolution", "normalization", "pooling", "reduction", "gather", "copy", "elementwise", "unread",
     "external")
)
# fmt: on
"""Kinds of dispatch that are inferred from the loops' computation; other kinds are names of operations."""
FLOATS = frozenset(("f16", "bf16", "f32", "f64"))
"""Types that are printed by these names (`i1` is stored as another type)."""
LITERAL = re.compile(r"[\w$.\-]+", re.ASCII)
"""Part of a symbol that is printed unescaped."""


def build_prefilter(kernels: Iterable[Kernel]) -> list[tuple[str, tuple[str, ...]]]:
    """Return pairs of a kernel's name and texts that must all occur; several pairs of one kernel are alternatives."""
    found = {
        (kernel.name, tuple(dict.fromkeys((*target, *name, *kind, *form, *_general(kernel, rule)))))
        for kernel in kernels
        for rule in kernel.targets
        for target in [_target(rule)]
        for name in _alternatives(_literal(pattern) for pattern in kernel.dispatches)
        for kind in _alternatives(_kind(kind) for kind in kernel.kinds)
        for form in _alternatives(_form(kernel, form) for form in kernel.forms)
    }
    return sorted(found)


def _alternatives(words: Iterable[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    found = list(words)
    yield from found or [()]


def _target(rule: TargetRule) -> tuple[str, ...]:
    """Return backend and format as quoted strings, as the variant's target contains them; see `check_target`."""
    return tuple(f'"{text}"' for text in (rule.backend, rule.format) if LITERAL.fullmatch(text))


def _general(kernel: Kernel, rule: TargetRule) -> tuple[str, ...]:
    """Return `BODY` if the kernel needs a readable body: see `_selection` and `_device` of the planner, and
    `_Work.accepts`.
    """
    needed = (
        bool(kernel.forms)
        or (kernel.abi == "canonical" and kernel.payload.kind.needs_program)
        or kernel.payload.kind.rewrites_body
        or rule.backend in CALL_OUT_BACKENDS
    )
    return (BODY,) if needed else ()


def _kind(kind: str) -> tuple[str, ...]:
    return () if kind in COMPUTED_KINDS or not LITERAL.fullmatch(kind) else (kind,)


def _form(kernel: Kernel, form: Form) -> tuple[str, ...]:
    """Return the named operations, which the dispatch must contain too, and the element types that must lie in memory.

    A kernel with slots, or a generator, may see what stands in memory through work that IREE fused.
    """
    named = [core.op.rpartition(".")[2] for core in form.program.cores if isinstance(core, Named)]
    words = [name for name in named if LITERAL.fullmatch(name)]
    if not kernel.slots and not is_generated(kernel) and not kernel.payload.kind.rewrites_body:
        words += [o.type.element for o in form.program.operands if o.type.element in FLOATS]
    return tuple(words)


def _literal(pattern: str) -> tuple[str, ...]:
    """Return the longest text that is in every name that the pattern finds; empty for a pattern that is too complex."""
    runs = _literal_runs(pattern)
    longest = max(LITERAL.findall(" ".join(runs)), key=len, default="")
    return (longest,) if longest else ()


def _literal_runs(pattern: str) -> list[str]:
    """Return texts outside of groups that every match holds. Alternatives and flags (`(?…`) give none."""
    if "|" in pattern or "(?" in pattern:
        return []
    runs, depth = [""], 0
    for token in _TOKEN.findall(pattern):
        depth += (token == "(") - (token == ")")
        if token[0] in "*?{":
            runs[-1] = runs[-1][:-1]  # the character before it may be missing
        if depth or token[0] in "*?{+.^$()[" or (token[0] == "\\" and token[1].isalnum()):
            runs.append("")
        else:
            runs[-1] += token[-1]
    return runs


_TOKEN = re.compile(r"\\.|\[\^?\]?[^\]]*\]|\{[\d,]*\}|.", re.DOTALL)
"""An escape, a class of characters, a count, or one character."""
