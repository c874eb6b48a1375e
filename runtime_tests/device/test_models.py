"""The test models themselves: stock IREE gives what onnxruntime gives, on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from runtime_tests.models import BUILDERS, Model
from substitute.device import Session, compare_values

pytestmark = pytest.mark.device


@pytest.mark.parametrize("name", [name for name, _ in BUILDERS])
def test_stock_build_gives_what_onnxruntime_gives(
    name: str, make_model: Callable[[str], Model], compile_stock: Callable[..., Path]
) -> None:
    model = make_model(name)
    with Session(compile_stock(model.path), device="local-sync") as session:
        results = session.call(None, model.inputs)
    comparison = compare_values(results[0], model.expected[0], absolute_tolerance=1e-4, relative_tolerance=1e-4)
    assert comparison.equal, str(comparison)
    assert len(results) == len(model.expected) == 1
    # an expectation that any output would meet proves nothing
    assert np.ptp(model.expected[0]) > 0.1
    assert not compare_values(results[0][..., ::-1], model.expected[0], absolute_tolerance=1e-4).equal


def test_inputs_and_weights_are_the_same_every_time(tmp_path: Path) -> None:
    for name, build in BUILDERS:
        folders = [tmp_path / f"{name}{at}" for at in range(2)]
        for folder in folders:
            folder.mkdir()
        first, second = map(build, folders)
        for a, b in zip([*first.inputs, *first.expected], [*second.inputs, *second.expected], strict=True):
            np.testing.assert_array_equal(a, b)


def test_magika_is_made_static_and_stays_dynamic(magika: Model, magika_dynamic: Model) -> None:
    import onnx

    def first_dimension(model: Model) -> object:
        return onnx.load(model.path).graph.input[0].type.tensor_type.shape.dim[0]

    assert magika.inputs[0].shape == (4, 2048)
    assert first_dimension(magika).dim_value == 4
    assert not first_dimension(magika_dynamic).HasField("dim_value")
