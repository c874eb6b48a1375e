"""Random functions of the linalg dialect."""

from __future__ import annotations

from collections.abc import Sequence

from runtime_tests.fuzz.choices import Choices
from runtime_tests.fuzz.function import Builder, Function, Size
from runtime_tests.fuzz.operations import FOLLOWING, OPERATIONS


def draw_function(seed: str, record: Sequence[int] | None = None) -> Function:
    """The function of a seed, or of a record of choices."""
    c = Choices(seed, record=record)
    main = c.weighted(
        (
            (50, "f32"),
            (9, "f16"),
            (6, "bf16"),
            (5, "f64"),
            (7, "i32"),
            (8, "i8"),
            (3, "i64"),
            (3, "i16"),
            (2, "i1"),
        )
    )
    b = Builder(choices=c, main=main, open=c.chance(30))
    while not b.values:  # a reshape of a constant draws no operation
        c.weighted(OPERATIONS)(b)
    for _ in range(c.pick((0, 1, 1, 2, 3))):
        c.weighted(FOLLOWING)(b)
    made = [v for v in b.values if not v.name.startswith("%arg")]
    returned = [made[-1]] if made else [b.values[-1]]
    for value in made[:-1]:
        if len(returned) < 4 and c.chance(15):
            returned.append(value)
    signature = ", ".join(
        f"{name}: {a.element if a.shape is None else f'tensor<{_sizes(a.shape)}{a.element}>'}"
        for name, a in b.arguments
    )
    types = ", ".join(v.type for v in returned)
    parts = (
        f"({signature}) -> ({types}) {{",
        *b.lines,
        f"  return {', '.join(v.name for v in returned)} : {types}",
        "}",
    )
    return Function(
        seed=seed,
        choices=tuple(c.taken),
        arguments=tuple(a for _, a in b.arguments),
        parts=parts,
        results=len(returned),
        kinds=tuple(b.kinds),
    )


def _sizes(shape: Sequence[Size]) -> str:
    return "".join(f"{s.text}x" for s in shape)
