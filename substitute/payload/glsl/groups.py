"""What kernels with one workgroup per row share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...model.index import Index
from .lower import lower_index
from .shader import Shader, Temporaries, delinearize, indent
from .stores import Placement, pin_loops


def reduce_function(name: str, value: str, threads: int, combine: Callable[[str, str], str]) -> list[str]:
    """A function that combines one value of each invocation and returns the result to all of them.

    It holds barriers: every invocation of the workgroup has to call it.
    """
    step = combine(f"partial_{name}[at]", f"partial_{name}[at + half_count]")
    return [
        f"shared {value} partial_{name}[{threads}];",
        f"{value} {name}({value} mine) {{",
        "  int at = int(gl_LocalInvocationIndex);",
        f"  partial_{name}[at] = mine;",
        "  barrier();",
        f"  for (int half_count = {threads // 2}; half_count > 0; half_count /= 2) {{",
        f"    if (at < half_count) partial_{name}[at] = {step};",
        "    barrier();",
        "  }",
        f"  {value} result = partial_{name}[0];",
        "  barrier();  // before the next call overwrites it",
        "  return result;",
        "}",
    ]


def shared_stores(
    shader: Shader,
    placements: Sequence[Placement],
    coordinates: Sequence[str],
    sizes: Sequence[Index],
    temporaries: Temporaries,
    threads: int,
) -> list[str]:
    """Statements that run placed nests, with the loops that no coordinate pins shared by the workgroup."""
    lines: list[str] = []
    for placement in placements:
        loops, conditions = pin_loops(placement, coordinates, sizes)
        free = [placement.nest.sizes[loop] for loop in placement.free]
        total = " * ".join(lower_index(s) for s in free) or "1"
        inner = [
            *delinearize("at", free, [loops[loop] for loop in placement.free]),
            *shader.store_results(placement.nest, loops, temporaries),
        ]
        test = f"if ({' && '.join(conditions)}) " if conditions else ""
        lines += [
            f"{test}for (int at = int(gl_LocalInvocationIndex), count = {total}; at < count; at += {threads}) {{",
            indent(inner),
            "}",
        ]
    return lines
