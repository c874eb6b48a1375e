"""The clockwork of timing (no test depends on how fast anything is)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from runtime_tests.profiler import needs_profiler
from substitute.device import Timing, benchmark_modules, dispatch_times, measure_interleaved
from substitute.device.timing import _read_profile, _run_tool, _tool_path
from substitute.errors import DeviceError

SOURCE = """
func.func @chain(%a: tensor<8x8xf32>, %b: tensor<4xbf16>, %n: i32) -> (tensor<8x8xf32>, tensor<4xbf16>, i32) {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<8x8xf32>
  %zeros = linalg.fill ins(%zero : f32) outs(%empty : tensor<8x8xf32>) -> tensor<8x8xf32>
  %1 = linalg.matmul ins(%a, %a : tensor<8x8xf32>, tensor<8x8xf32>) outs(%zeros : tensor<8x8xf32>) -> tensor<8x8xf32>
  %2 = linalg.matmul ins(%1, %a : tensor<8x8xf32>, tensor<8x8xf32>) outs(%zeros : tensor<8x8xf32>) -> tensor<8x8xf32>
  %3 = linalg.matmul ins(%2, %a : tensor<8x8xf32>, tensor<8x8xf32>) outs(%zeros : tensor<8x8xf32>) -> tensor<8x8xf32>
  %4 = arith.addf %b, %b : tensor<4xbf16>
  return %3, %4, %n : tensor<8x8xf32>, tensor<4xbf16>, i32
}
"""
INPUTS = (np.eye(8, dtype=np.float32), np.ones(4, ml_dtypes.bfloat16), 3)


@pytest.mark.unit
def test_medians_and_ratios() -> None:
    slow = Timing(name="slow", samples_us=(10.0, 20.0, 40.0, 10.0, 12.0))
    fast = Timing(name="fast", samples_us=(5.0, 10.0, 20.0, 5.0, 6.0))
    assert slow.median_us == 12.0 and fast.median_us == 6.0
    assert slow.ratio_to(fast) == 2.0 and fast.ratio_to(slow) == 0.5
    assert slow.spread_us == 10.0 and Timing(name="x", samples_us=(1.0,)).spread_us == 0.0


@pytest.mark.unit
def test_cases_are_interleaved_and_take_turns_in_starting() -> None:
    log: list[str] = []

    def case(name: str) -> Callable[[], None]:
        def run() -> None:
            log.append(name)
            time.sleep(0.002)  # longer than a sample has to be, so that each sample is one call

        return run

    timings = measure_interleaved({name: case(name) for name in "abc"}, rounds=3, warmup=1)
    assert "".join(log) == "abc" + "abc" + "bca" + "cab"
    assert all(len(timing.samples_us) == 3 and timing.median_us >= 2000 for timing in timings.values())


@pytest.mark.device
def test_modules_are_timed_side_by_side(compile_stock: Callable[..., Path]) -> None:
    vmfb = compile_stock(SOURCE)
    timings = benchmark_modules(
        {"path": vmfb, "bytes": vmfb.read_bytes()}, device="local-sync", inputs=INPUTS, rounds=3
    )
    assert list(timings) == ["path", "bytes"]
    assert all(len(timing.samples_us) == 3 and timing.median_us > 0 for timing in timings.values())


@needs_profiler
@pytest.mark.device
@pytest.mark.parametrize("device", ["local-sync", "local-task"])
def test_time_of_each_dispatch(compile_stock: Callable[..., Path], device: str) -> None:
    times = dispatch_times(compile_stock(SOURCE), device=device, inputs=INPUTS, calls=3)
    # three multiplications and one addition; which of them share an export is the compiler's choice
    assert sum(entry.count for name, entry in times.items() if "matmul" in name) == 3
    assert sum(entry.count for name, entry in times.items() if "elementwise" in name) == 1
    assert all(0 < entry.mean_ns <= entry.total_ns for entry in times.values())


@needs_profiler
@pytest.mark.device
def test_time_of_each_dispatch_on_vulkan(compile_stock: Callable[..., Path], vulkan_device: str) -> None:
    source = SOURCE.replace("bf16", "f32")
    inputs = (INPUTS[0], np.ones(4, np.float32), 3)
    times = dispatch_times(
        compile_stock(source, "--iree-hal-target-device=vulkan"), device=vulkan_device, inputs=inputs, calls=2
    )
    assert sum(entry.count for entry in times.values()) == 4


@pytest.mark.unit
def test_profile_rows_of_one_export_are_added() -> None:
    row = '{"type":"executable_function_host_dispatch_group","key":"k","valid":4,"total_ns":100}'
    other = '{"type":"executable_function","key":"k"}'
    (entry,) = _read_profile("\n".join([row, other, row]), calls=2).values()
    assert (entry.count, entry.total_ns, entry.mean_ns) == (4, 100.0, 25.0)


@pytest.mark.device
def test_no_process_is_left_behind_at_the_time_limit(compile_stock: Callable[..., Path]) -> None:
    with pytest.raises(DeviceError) as caught:
        _run_tool(
            "iree-benchmark-module",
            f"--module={compile_stock(SOURCE)}",
            "--device=local-sync",
            "--function=chain",
            *("--input=8x8xf32", "--input=4xbf16", "--input=3"),
            "--benchmark_min_time=60s",
            timeout_s=0.5,
        )
    assert str(caught.value).startswith("iree-benchmark-module did not finish\n  expected:  an end within 0.5 s\n")
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and _is_child(int(pid))]


def _is_child(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    name, _, rest = status.rpartition(")")
    return "iree-benchmark" in name and int(rest.split()[1]) in (os.getpid(), 1)


@needs_profiler
@pytest.mark.device
def test_a_failing_tool_is_quoted() -> None:
    with pytest.raises(DeviceError) as caught:
        _run_tool("iree-profile", "executable", "no/such/file", timeout_s=30)
    assert caught.value.what == "iree-profile failed"
    assert "no/such/file" in caught.value.details.partition("\n")[2]


@needs_profiler
@pytest.mark.device
def test_a_function_that_fails_while_it_is_timed_is_an_error(compile_stock: Callable[..., Path]) -> None:
    source = """
    func.func @checked(%a: tensor<4xf32>, %n: i32) -> tensor<4xf32> {
      %zero = arith.constant 0 : i32
      %good = arith.cmpi sgt, %n, %zero : i32
      cf.assert %good, "a negative number"
      %r = arith.addf %a, %a : tensor<4xf32>
      return %r : tensor<4xf32>
    }
    """
    x = np.ones(4, np.float32)
    assert len(dispatch_times(compile_stock(source), device="local-sync", inputs=[x, 1])) == 1
    with pytest.raises(DeviceError, match="a negative number"):
        dispatch_times(compile_stock(source), device="local-sync", inputs=[x, -1])


@needs_profiler
@pytest.mark.device
def test_a_function_without_dispatches_has_no_profile(compile_stock: Callable[..., Path]) -> None:
    vmfb = compile_stock("func.func @same(%n: i32) -> i32 { return %n : i32 }")
    with pytest.raises(DeviceError) as caught:
        dispatch_times(vmfb, device="local-sync", inputs=[1])
    assert str(caught.value) == (
        "no profile was written\n  expected:  a function that runs something on local-sync\n  found:     same"
    )


@needs_profiler
@pytest.mark.unit
def test_a_missing_tool_is_named() -> None:
    assert _tool_path("iree-profile").is_file()
    with pytest.raises(DeviceError, match="the runtime's program iree-none is missing"):
        _tool_path("iree-none")
