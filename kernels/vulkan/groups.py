"""A workgroup that works on one row: combining a value of each invocation, and sharing the stores.

`reduce_function` writes the usual tree in shared memory. Every invocation puts its value there, then half of them add
the other half's, then a quarter, …: 6 steps for 64 invocations.

    partial[at] = mine                                       barrier
    if (at < 32) partial[at] += partial[at + 32]             barrier
    …
    if (at < 1)  partial[at] += partial[at + 1]              barrier
    result = partial[0]                                      barrier, before the next call overwrites it

The halves are contiguous (`at < half`, not `at % 2 == 0`), so that whole subgroups drop out and those that remain read
neighbouring words. The barriers stand outside of the conditions: all invocations reach all of them. Subgroup operations
would save barriers, but IREE's default target does not promise them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from substitute.codegen.glsl.lower import lower_index
from substitute.codegen.glsl.shader import Shader, Temporaries, delinearize, indent
from substitute.codegen.glsl.stores import pin_loops
from substitute.codegen.placement import PlacedNest
from substitute.model.index import Index


def reduce_function(name: str, value: str, threads: int, combine: Callable[[str, str], str]) -> list[str]:
    """Return a function that combines one value of each invocation and returns the result to all of them.

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
    placements: Sequence[PlacedNest],
    coordinates: Sequence[str],
    sizes: Sequence[Index],
    temporaries: Temporaries,
    threads: int,
) -> list[str]:
    """Return statements that run placed nests, with the loops that no coordinate pins shared by the workgroup."""
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
