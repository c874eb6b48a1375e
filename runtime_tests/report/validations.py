"""Invented validations: one kernel that passes, one that fails in its second half, one that could not be judged."""

from __future__ import annotations

import numpy as np

from substitute.validate.picture import Picture, error_map, histogram
from substitute.validate.statistics import measure
from substitute.validate.validation import ResultLine, Validation
from substitute.validate.verdict import CaseVerdict, DispatchVerdict, Place

RANDOM = np.random.default_rng(4)
GOLDEN = RANDOM.standard_normal((40, 96))
ALLOWED = np.full(GOLDEN.shape, 1e-6)
BASELINE = (GOLDEN + 1e-8 * RANDOM.standard_normal(GOLDEN.shape)).astype(np.float32)
GOOD = (GOLDEN + 2e-8 * RANDOM.standard_normal(GOLDEN.shape)).astype(np.float32)
BAD = GOOD.copy()
BAD[30:, 48:] += 1e-3
BAD[0, 0] = np.nan


def case(found: np.ndarray, *, stage: str = "", message: str = "", place: Place | None = None) -> CaseVerdict:
    """A case with everything that can be said of it."""
    share = np.abs(found - GOLDEN) / ALLOWED
    return CaseVerdict(
        label="40x96",
        inputs="normal",
        seed=7,
        stage=stage,
        message=message,
        place=place,
        worst=float(np.nanmax(share)),
        errors=measure(found, GOLDEN, ALLOWED, "f32"),
        baseline=measure(BASELINE, GOLDEN, ALLOWED, "f32"),
        judged=GOLDEN.size,
        picture=Picture(
            case="40x96 [normal]",
            result="binding 1, f32",
            candidate=histogram(found, GOLDEN, "f32"),
            baseline=histogram(BASELINE, GOLDEN, "f32"),
            map=error_map(np.where(np.isnan(share), np.inf, share)),
        ),
    )


PLACE = Place(
    operand="binding 1 at byte 0: 40x96xf32",
    coordinates=(30, 48),
    candidate="1.25",
    golden="1.249",
    baseline="1.249",
    allowed=1e-6,
)
PASSED = DispatchVerdict(name="dispatch_0", kernel="softmax", cases=(case(GOOD),), notes=("a <note>",))
FAILED = DispatchVerdict(
    name="dispatch_1",
    kernel="my_softmax",
    cases=(case(GOOD), case(BAD, stage="error", message="480 elements are wrong\nand a second line", place=PLACE)),
)
TOGETHER = DispatchVerdict(name="dispatch_2", kernel="biased", cases=(case(GOOD),), stage="baseline", message="a bias")
SKIPPED = DispatchVerdict(name="dispatch_3", kernel="fft", cases=(), skipped="the golden does not know linalg_ext.fft")


def validation(*verdicts: DispatchVerdict, results: tuple[ResultLine, ...] = ()) -> Validation:
    """A validation of these."""
    return Validation(
        title="model <1>.onnx",
        device="local-task",
        seed=7,
        command="iree-substitute validate model.onnx --seed 7",
        started="2026-11-23T03:00:00Z",
        versions={"iree-substitute": "0.1.0", "iree-base-compiler": "3.13.0"},
        dispatches=verdicts,
        results=results,
        seconds={"build": 2.5, "run": 0.25},
    )
