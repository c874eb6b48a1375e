"""Tunes a model and tests the plan on the whole of it: a plan that makes the model slower is not kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from ..bench.bench_report import UNTUNED
from ..bench.candidates import BenchSetting, bench_model
from ..flags import with_default_target
from ..frontend import scratch_folder
from ..isolate import Call, isolated
from ..progress import Progress, silent
from .tuner import Tuned, TuneSetting, tune_model

CHECK_S = 20.0
"""Seconds for the calls of the whole model."""


def tune_whole(
    model: Path,
    *,
    journal: Path,
    kernels: Sequence[Path] = (),
    builtin: bool = True,
    flags: Sequence[str] = (),
    setting: TuneSetting,
    check: bool = True,
    progress: Progress = silent,
) -> Tuned:
    """Tune a model in a process of its own, then time the model with the plan beside the model without one.

    Where the plan is slower, the plan that is returned is what is substituted without tuning. Nothing is timed where
    the plan changes nothing.
    """
    with_default_target(flags)
    arguments = {
        "model": model,
        "journal": journal,
        "kernels": tuple(kernels),
        "builtin": builtin,
        "flags": tuple(flags),
        "setting": setting,
    }
    tuned = cast(Tuned, isolated(Call(tune_model, arguments), progress))
    if not check or all(d.winner == d.default for d in tuned.dispatches):
        return tuned
    with scratch_folder() as folder:
        plan = folder / "plan.json"
        plan.write_text(json.dumps(tuned.plan))
        report = bench_model(
            model,
            kernels=kernels,
            builtin=builtin,
            flags=flags,
            plan=plan,
            untuned=True,
            setting=BenchSetting(seed=setting.seed, budget_s=CHECK_S),
            progress=progress,
        )
    slower = report.ratio_to(UNTUNED).low > 1.0  # the interval excludes equality
    return replace(tuned, plan=tuned.usual if slower else tuned.plan, report=report, kept=not slower)
