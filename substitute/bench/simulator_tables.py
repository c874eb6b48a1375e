"""Tables of the simulated CUDA device."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich.table import Table

from .samples import LoadSample, SimulatedModelSample, SimulatorSample
from .tables import new_table


def simulator_tables(
    kernels: Sequence[SimulatorSample], loads: Sequence[LoadSample], models: Sequence[SimulatedModelSample]
) -> list[Table]:
    """Return tables of the simulator's speed: kernels, a large file, and whole models."""
    table = new_table(
        "Simulated CUDA device",
        ["kernel"],
        ["lane instructions", "all checks s", "million/s", "without races s", "million/s"],
        caption="NumPy on one core; medians",
    )
    for sample in kernels:
        cells = []
        for seconds in (sample.checked_s, sample.unraced_s):
            median = statistics.median(seconds)
            cells += [f"{median:.2f}", f"{sample.lane_instructions / median / 1e6:.0f}"]
        table.add_row(sample.kernel, f"{sample.lane_instructions:,}", *cells)
    large = new_table("A large PTX file", [], ["bytes", "parse s", "parse and decode s"])
    for load in loads:
        times = (statistics.median(load.parse_s), statistics.median(load.load_s))
        large.add_row(f"{load.ptx_bytes:,}", *(f"{seconds:.2f}" for seconds in times))
    whole = new_table(
        "From the model's file to a verdict on the simulated device",
        ["model", "build"],
        ["dispatches with PTX kernels", "compile s", "run and compare s", "together s", "largest error"],
        caption="compiled for sm_80, with all checks; compared with onnxruntime; medians",
    )
    for model in models:
        together = [a + b for a, b in zip(model.compile_s, model.verdict_s, strict=True)]
        times_s = (model.compile_s, model.verdict_s, together)
        cells = [f"{statistics.median(seconds):.1f}" for seconds in times_s]
        whole.add_row(model.model, model.build, str(model.substituted), *cells, f"{model.largest_error:.1e}")
    return [table, large, whole]
