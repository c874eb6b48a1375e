"""Measurement of the simulated device: a whole model up to its verdict, and the tables."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from runtime_tests.models import Model
from substitute.bench.samples import (
    STOCK,
    SUBSTITUTED,
    LoadSample,
    Samples,
    SimulatedModelSample,
    SimulatorSample,
    merge,
)
from substitute.bench.simulated_model import measure_model
from substitute.bench.simulator_tables import simulator_tables
from substitute.bench.subject import Subject
from substitute.errors import ValidationError
from substitute.progress import silent


def printed(samples: Samples) -> str:
    console = Console(width=140)
    with console.capture() as captured:
        for table in simulator_tables(samples.simulator, samples.loads, samples.simulated_models):
            console.print(table)
    return captured.get()


@pytest.mark.unit
def test_tables() -> None:
    model = SimulatedModelSample(
        model="magika, batch 1",
        build=SUBSTITUTED,
        substituted=14,
        compile_s=(2.0, 4.0, 3.0),
        verdict_s=(20.0, 22.0, 21.0),
        largest_error=2.5e-7,
    )
    samples = Samples(
        simulator=(SimulatorSample(kernel="saxpy", lane_instructions=50_000_000, checked_s=(0.5,), unraced_s=(0.25,)),),
        loads=(LoadSample(ptx_bytes=512_000, parse_s=(1.25, 1.5, 1.0), load_s=(3.0,)),),
    )
    text = printed(merge(samples, Samples(simulated_models=(model,))))
    assert "50,000,000" in text and "100" in text and "200" in text
    assert "512,000" in text and "1.25" in text
    row = next(line.split() for line in text.splitlines() if line.lstrip().startswith("magika"))
    assert row == ["magika,", "batch", "1", SUBSTITUTED, "14", "3.0", "21.0", "24.0", "2.5e-07"]


@pytest.mark.slow
@pytest.mark.device
def test_a_model_to_its_verdict(mlp: Model, cuda_sim: str) -> None:
    subject = Subject(name="mlp", path=mlp.path, inputs=mlp.inputs, expected=mlp.expected, expected_from="onnxruntime")
    found = measure_model(subject, SUBSTITUTED, repeat=1, progress=silent)
    assert found.substituted > 0 and found.largest_error < 1e-4 and len(found.compile_s) == len(found.verdict_s) == 1
    wrong = replace(subject, expected=tuple(e + 1 for e in mlp.expected))
    with pytest.raises(ValidationError, match="a model on the simulated device is wrong"):
        measure_model(wrong, STOCK, repeat=1, progress=silent)
