"""Verdict on a model without a GPU: compile it for CUDA, run it on the simulated device, compare results."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ..errors import ValidationError
from ..pipeline import compile_model
from ..progress import Progress
from .models import REAL_WEIGHTS, fix_batch, magika_onnx, magika_tokens
from .samples import STOCK, SUBSTITUTED, SimulatedModelSample
from .subject import Subject, run_onnxruntime

DEVICE = "cuda-sim"
FLAGS = ("--iree-hal-target-device=cuda", "--iree-cuda-target=sm_80")
KERNELS = (Path("builtin:ptx_blobs"),)


def measure_magika(*, quick: bool, repeat: int, progress: Progress) -> list[SimulatedModelSample]:
    """Magika at batch 1, with the shipped PTX and unless `quick` with IREE's own code. Raises `SubstituteError`."""
    with tempfile.TemporaryDirectory(prefix="iree-substitute-bench-") as folder:
        path = fix_batch(magika_onnx(), Path(folder, "magika.onnx"), 1)
        inputs = (magika_tokens(1),)
        subject = Subject(
            name="magika, batch 1",
            path=path,
            inputs=inputs,
            expected=run_onnxruntime(path, inputs),
            expected_from="onnxruntime",
            note=REAL_WEIGHTS,
        )
        builds = (SUBSTITUTED,) if quick else (SUBSTITUTED, STOCK)
        return [measure_model(subject, build, repeat=repeat, progress=progress) for build in builds]


def measure_model(
    subject: Subject, build: str, *, repeat: int, kernels: Sequence[Path] = KERNELS, progress: Progress
) -> SimulatedModelSample:
    """Measure one build of a model. Raises `ValidationError` for a wrong result, which has no time."""
    from ..device import Session

    compiled, judged = [], []
    taken = frozenset[str]()
    worst = 0.0
    for _ in range(repeat):
        progress(f"{subject.name} for the simulated device, {build}", None)
        start = time.perf_counter()
        made = compile_model(
            subject.path,
            flags=FLAGS,
            kernels=kernels,
            builtin=False,
            substitute=build == SUBSTITUTED,
            check=False,
            isolate=True,
        )
        ready = time.perf_counter()
        with Session(made.vmfb, device=DEVICE) as session:
            results = session.call(None, subject.inputs)
        worst = max(worst, _error(subject, results))
        compiled.append(ready - start)
        judged.append(time.perf_counter() - ready)
        taken = frozenset(s.dispatch.name for s in made.plan.substitutions)
    return SimulatedModelSample(
        model=subject.name,
        build=build,
        substituted=len(taken),
        compile_s=tuple(compiled),
        verdict_s=tuple(judged),
        largest_error=worst,
    )


def _error(subject: Subject, results: Sequence[object]) -> float:
    import numpy as np

    from ..device.compare import compare_values

    worst = 0.0
    for number, (found, expected) in enumerate(zip(results, subject.expected, strict=True)):
        comparison = compare_values(np.asarray(found), expected, result=number)
        if not comparison.equal:
            raise ValidationError(
                "a model on the simulated device is wrong",
                where=subject.name,
                expected=f"what {subject.expected_from} gives",
                found=str(comparison),
            )
        worst = max(worst, comparison.max_absolute)
    return worst
