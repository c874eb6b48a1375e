"""Runs variants: a process compiles each group, and forks of this one judge what it made."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runtime_tests.faults.group import load_built
from runtime_tests.faults.judging import Judged, judge
from runtime_tests.faults.kernel import Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A variant and what became of it."""

    variant: Variant
    refused: str = ""
    """Reason why it was not run: the toolkit's verification, or the compiler, refused it."""
    judged: Judged = field(default_factory=Judged)
    thorough: bool = False
    """True if the quick protocol missed it and the default one found it."""


Report = Callable[[Sequence[Done]], None]
"""Gets what is done, group by group."""


def run_variants(variants: Sequence[Variant], *, jobs: int, seed: int = 0, progress: Report) -> list[Done]:
    """Every variant by the quick protocol, and wrong ones that it misses by the default one."""
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import get_context

    groups: dict[tuple[str, str, bool], list[Variant]] = {}
    for variant in variants:
        groups.setdefault((variant.device, variant.definition, variant.kind == "spirv"), []).append(variant)
    done: dict[str, Done] = {}
    # a new process for each group: neither the compiler nor the runtime must be loaded where a group is judged
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        order = sorted(groups.values(), key=lambda g: (g[0].backend == "llvm-cpu", -len(g)))
        for future in as_completed([pool.submit(_run_group, group, seed) for group in order]):
            found = future.result()
            done |= {d.variant.name: d for d in found}
            progress(found)
    return [done[v.name] for v in variants]


def summary(found: Sequence[Done]) -> str:
    """One line on a group."""
    wrong = [d for d in found if d.variant.fault and not d.variant.equivalent]
    caught = sum(bool(d.refused or d.judged.ours) for d in wrong)
    alarms = sum(bool(d.refused or d.judged.ours) for d in found if d not in wrong)
    first = found[0].variant
    rights = len(found) - len(wrong)
    where = f"{first.device} {first.definition}"
    return f"{where}: {caught} of {len(wrong)} faults, {alarms} of {rights} right kernels fail"


def _run_group(variants: Sequence[Variant], seed: int) -> list[Done]:
    done = _run(variants, quick=True, seed=seed)
    missed = [
        d.variant for d in done if d.variant.fault and not d.variant.equivalent and not d.refused and not d.judged.ours
    ]
    if not missed:
        return done
    again = {d.variant.name: d for d in _run(missed, quick=False, seed=seed)}
    found = []
    for d in done:
        late = again.get(d.variant.name)
        if late is not None and late.judged.ours:
            judged = Judged(ours=late.judged.ours, loose=d.judged.loose, typed=d.judged.typed)
            d = Done(variant=d.variant, judged=judged, thorough=True)
        found.append(d)
    return found


def _run(variants: Sequence[Variant], *, quick: bool, seed: int) -> list[Done]:
    """Compiles until all are made, each time without the one at which the compiler died; then judges them."""
    done: list[Done] = []
    left = list(variants)
    while left:
        with tempfile.TemporaryDirectory(prefix="faults-") as name:
            folder = Path(name)
            died = _compile(left, folder, quick=quick, seed=seed)
            prepared, built = load_built(folder, left)
            made = list(built)
            if prepared is None:
                raise RuntimeError(f"{left[0].name} and what is like it: {died}")
            by_name = {v.name: v for v in left}
            for b in made:
                judged = Judged() if b.refused else judge(prepared, b.module)
                done.append(Done(variant=by_name[b.variant], refused=b.refused, judged=judged))
        left = left[len(made) :]
        if left:
            done.append(Done(variant=left[0], refused=f"the compiler died: {died}"))
            left = left[1:]
    return done


def _compile(variants: Iterable[Variant], folder: Path, *, quick: bool, seed: int) -> str:
    """Build in a separate process; return how it ended if not with success."""
    import pickle
    import subprocess
    import sys

    order = folder / "order"
    order.write_bytes(pickle.dumps((tuple(variants), folder, quick, seed)))
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\nimport pickle\nfrom pathlib import Path\n"
        "from runtime_tests.faults.group import build_group\n"
        f"variants, folder, quick, seed = pickle.loads(Path({str(order)!r}).read_bytes())\n"
        "build_group(variants, folder, quick=quick, seed=seed, plain=quick)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return "" if not done.returncode else f"{done.returncode}: {done.stderr.strip()[-2000:]}"
