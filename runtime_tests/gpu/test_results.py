from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from runtime_tests.gpu.bits import Compared, Difference
from runtime_tests.gpu.contenders import COPY, KERNEL, Absent
from runtime_tests.gpu.device import Facts, ParameterBlock, cuda_version, driver_release
from runtime_tests.gpu.measure import Measured, Row
from runtime_tests.gpu.results import Dispatch, ItemResult, ModelResult, Results, TimingResult, results_to_json
from runtime_tests.gpu.sanitizer import Sanitized
from runtime_tests.gpu.tables import heading, notes, plain_lines, tables
from substitute.device.timing import Timing

pytestmark = pytest.mark.unit

FACTS = Facts(
    name="Some GPU",
    capability=(9, 0),
    cuda="13.0",
    release="580.65.06",
    cache_bytes=50,
    memory_bytes=80,
    multiprocessors=132,
    launcher="cupy 14.2.0",
    simulated=False,
)
RIGHT = Dispatch(name="d", kernel="cuda_softmax", cases=3, passed=True, worst=0.25)
SAME = Compared(dispatch="d", inputs="normal", target="sm_80")
ITEM = ItemResult(name="softmax", kernels=("cuda_softmax",), dispatches=(RIGHT,), bits=(SAME, SAME))
MEASURED = Measured(
    problem="softmax_f32",
    target="sm_80",
    sets=2,
    moved_bytes=2_000_000,
    copied_bytes=2_000_000,
    operations=0,
    reference=COPY,
    share=0.75,
    absent=(Absent(name="PyTorch", reason="it is not installed"),),
    rows=(
        Row(name=KERNEL, what="sm_80", timing=Timing(name=KERNEL, samples_us=(4.0, 4.0, 4.2)), worst=0.5),
        Row(name=COPY, what="cuMemcpyDtoDAsync", timing=Timing(name=COPY, samples_us=(3.0, 3.0, 3.0)), worst=0.0),
    ),
)
RESULTS = Results(
    command="python -m runtime_tests.gpu",
    date="2026-11-23T00:00:00Z",
    built="2026-11-22T00:00:00Z",
    device=FACTS,
    versions={"numpy": "2"},
    items=(ITEM,),
    models=(ModelResult(name="m", kernels=("cuda_softmax",), worst=0.1),),
    sanitized=(Sanitized(tool="memcheck", status="passed", message="0 errors"),),
    timings=(TimingResult(problem="softmax_f32", measured=MEASURED),),
)


def test_the_json() -> None:
    data = json.loads(json.dumps(results_to_json(RESULTS), allow_nan=False))
    assert (data["schema"], data["passed"], data["date"]) == (1, True, "2026-11-23T00:00:00Z")
    assert data["device"]["name"] == "Some GPU" and data["device"]["release"] == "580.65.06"
    (item,) = data["items"]
    assert item["status"] == "passed" and item["bits"] == {"launches": 2, "targets": ["sm_80"], "different": []}
    (timing,) = data["timings"]
    assert timing["share"] == 0.75 and timing["absent"] == {"PyTorch": "it is not installed"}
    assert timing["contenders"][KERNEL]["samples_us"] == [4.0, 4.0, 4.2]
    assert timing["contenders"][KERNEL]["median_us"] == 4.0
    assert data["models"][0]["passed"] and data["sanitized"][0]["status"] == "passed"


def test_what_json_lacks_is_a_word() -> None:
    broken = replace(RESULTS, models=(replace(RESULTS.models[0], worst=float("inf")),))
    assert json.loads(json.dumps(results_to_json(broken), allow_nan=False))["models"][0]["worst"] == "inf"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, "passed"),
        ({"error": "no device"}, "failed"),
        ({"skipped": "for another device"}, "left out"),
        ({"dispatches": (replace(RIGHT, passed=False),)}, "failed"),
        ({"dispatches": (replace(RIGHT, passed=False, skipped="no golden"),)}, "not judged"),
        ({"bits": (SAME, replace(SAME, differences=(Difference(buffer=1, first=4, count=2),)))}, "failed"),
        ({"bits": (replace(SAME, error="a launch failed"),)}, "failed"),
        ({"bits": ()}, "not judged"),
    ],
)
def test_the_status_of_a_bundle(change: dict[str, object], status: str) -> None:
    assert replace(ITEM, **change).status == status  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"items": (replace(ITEM, error="x"),)},
        {"models": (ModelResult(name="m", kernels=(), worst=1.1),)},
        {"models": (ModelResult(name="m", kernels=(), worst=float("nan")),)},
        {"sanitized": (Sanitized(tool="memcheck", status="found"),)},
        {"timings": (TimingResult(problem="p", error="wrong"),)},
        {"items": (), "models": (), "timings": ()},
        {"items": (replace(ITEM, skipped="x"),), "models": (), "timings": ()},
    ],
)
def test_twin_what_makes_the_run_fail(change: dict[str, object]) -> None:
    assert RESULTS.passed
    assert replace(RESULTS, sanitized=(Sanitized(tool="memcheck", status="absent"),)).passed
    assert not replace(RESULTS, **change).passed  # type: ignore[arg-type]


def test_the_tables() -> None:
    assert heading(RESULTS) == ("Some GPU (driver 580.65.06, CUDA 13.0), 2026-11-23T00:00:00Z, launched by cupy 14.2.0")
    items, sanitizer, times = tables(RESULTS)
    assert items.rows[0] == (
        "softmax",
        "cuda_softmax",
        "1 of 1 dispatches, 3 cases",
        "0.25",
        "2 of 2 (sm_80)",
        "passed",
    )
    assert sanitizer.rows == (("memcheck", "passed", "0 errors"),)
    assert times.rows[0] == (
        "softmax_f32",
        KERNEL,
        "sm_80",
        "4.0 µs",
        "2.5%",
        "500.0 GB/s",
        "75% of copy (goal 90%)",
    )
    assert times.rows[1][5] == "666.7 GB/s"
    assert plain_lines(sanitizer) == [
        "",
        "compute-sanitizer",
        "tool      outcome",
        "memcheck  passed   0 errors",
    ]


def test_notes_say_what_is_wrong_and_what_was_left_out() -> None:
    wrong = replace(
        RESULTS,
        no_timings="simulated",
        timings=(TimingResult(problem="p", error="out of memory"),),
        items=(
            replace(ITEM, skipped="for sm_90a"),
            replace(ITEM, bits=(replace(SAME, differences=(Difference(buffer=1, first=4, count=2),)),)),
            replace(ITEM, dispatches=(replace(RIGHT, passed=False, message="golden: far away"),)),
        ),
    )
    assert notes(wrong) == [
        "softmax: for sm_90a",
        "softmax: d [normal], sm_80: 2 bytes of buffer 1 differ, first at byte 4",
        "softmax: d: golden: far away",
        "p: out of memory",
        "nothing was timed: simulated",
    ]
    assert notes(RESULTS) == ["softmax_f32: PyTorch: it is not installed"]


def test_driver_numbers(tmp_path: Path) -> None:
    file = tmp_path / "version"
    file.write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\nGCC 12.2.0\n")
    assert driver_release(file) == "580.65.06"
    assert driver_release(tmp_path / "none") == ""
    assert [cuda_version(n) for n in (13000, 12090, 12080)] == ["13.0", "12.9", "12.8"]


def test_parameters_lie_where_the_driver_looks() -> None:
    import ctypes

    import numpy as np

    block = ParameterBlock([np.uint64(2**63 + 5), np.uint32(4_000_000_000)])
    places = (ctypes.c_void_p * 2).from_address(block.address)
    assert ctypes.c_uint64.from_address(places[0] or 0).value == 2**63 + 5
    assert ctypes.c_uint32.from_address(places[1] or 0).value == 4_000_000_000
