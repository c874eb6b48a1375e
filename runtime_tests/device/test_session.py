"""Modules on devices: calls, results that outlive the module, and every mistake's message."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from iree.runtime.version import VERSION

from substitute.device import Session, run_module
from substitute.errors import DeviceError, InputError, UsageError

pytestmark = pytest.mark.device

SOURCE = """
func.func @multiply(%a: tensor<4x8xf32>, %b: tensor<8x3xf32>) -> tensor<4x3xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<4x3xf32>
  %zeros = linalg.fill ins(%zero : f32) outs(%empty : tensor<4x3xf32>) -> tensor<4x3xf32>
  %r = linalg.matmul ins(%a, %b : tensor<4x8xf32>, tensor<8x3xf32>) outs(%zeros : tensor<4x3xf32>) -> tensor<4x3xf32>
  return %r : tensor<4x3xf32>
}
func.func @types(%a: tensor<?xbf16>, %b: tensor<?xf16>, %c: tensor<?xi1>, %d: tensor<?xi8>, %e: tensor<?xi64>,
                 %s: i32, %t: f32)
    -> (tensor<?xbf16>, tensor<?xf16>, tensor<?xi1>, tensor<?xi8>, tensor<?xi64>, i32, f32) {
  %a2 = arith.addf %a, %a : tensor<?xbf16>
  %b2 = arith.addf %b, %b : tensor<?xf16>
  %d2 = arith.addi %d, %d : tensor<?xi8>
  %e2 = arith.addi %e, %e : tensor<?xi64>
  %s2 = arith.addi %s, %s : i32
  return %a2, %b2, %c, %d2, %e2, %s2, %t
      : tensor<?xbf16>, tensor<?xf16>, tensor<?xi1>, tensor<?xi8>, tensor<?xi64>, i32, f32
}
func.func @negate(%a: tensor<4xi1>) -> tensor<4xi1> {
  %true = arith.constant dense<true> : tensor<4xi1>
  %r = arith.xori %a, %true : tensor<4xi1>
  return %r : tensor<4xi1>
}
func.func @nothing() {
  return
}
func.func @nibbles(%a: tensor<8xi8>) -> tensor<8xi4> {
  %r = arith.trunci %a : tensor<8xi8> to tensor<8xi4>
  return %r : tensor<8xi4>
}
"""
SINGLE = """
func.func @twice(%a: tensor<?xf32>) -> tensor<?xf32> {
  %r = arith.addf %a, %a : tensor<?xf32>
  return %r : tensor<?xf32>
}
"""
A = np.arange(32, dtype=np.float32).reshape(4, 8)
B = np.arange(24, dtype=np.float32).reshape(8, 3)
Compile = Callable[..., Path]


@pytest.fixture(scope="module")
def module(compile_stock: Compile) -> Path:
    return compile_stock(SOURCE)


@pytest.mark.parametrize("device", ["local-sync", "local-task"])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_function_is_called_with_arrays(module: Path, device: str, as_bytes: bool) -> None:
    vmfb = module.read_bytes() if as_bytes else module
    (result,) = run_module(vmfb, device=device, function="multiply", inputs=[A, B])
    np.testing.assert_array_equal(result, A @ B)
    assert result.dtype == np.float32


def test_a_function_is_called_on_vulkan(vulkan_device: str, compile_stock: Compile) -> None:
    vmfb = compile_stock(SINGLE, "--iree-hal-target-device=vulkan")
    # sizes whose memory in NumPy is and is not aligned to a page
    for size in (1, 3, 4096, 100_000):
        x = np.arange(size, dtype=np.float32)
        (result,) = run_module(vmfb, device=vulkan_device, inputs=[x])
        np.testing.assert_array_equal(result, 2 * x)


def test_signatures_are_read(module: Path) -> None:
    with Session(module, device="local-sync") as session:
        assert [str(function) for function in session.functions] == [
            "multiply(4x8xf32, 8x3xf32) -> (4x3xf32)",
            "types(?xbf16, ?xf16, ?xi1, ?xi8, ?xi64, scalar i32, scalar f32)"
            " -> (?xbf16, ?xf16, ?xi1, ?xi8, ?xi64, scalar i32, scalar f32)",
            "negate(4xi1) -> (4xi1)",
            "nothing() -> ()",
            "nibbles(8xi8) -> (8xi4)",
        ]


def test_every_element_type_goes_in_and_comes_out(module: Path) -> None:
    inputs = (
        np.array([1, 2.5], ml_dtypes.bfloat16),
        np.array([0.5, -2, 7], np.float16),
        np.array([True, False]),
        np.array([1, -3, 100], np.int8),
        np.array([2**40, -(2**50)]),
        21,
        2.5,
    )
    results = run_module(module, device="local-sync", function="types", inputs=inputs)
    expected = [inputs[0] * 2, inputs[1] * 2, inputs[2], (inputs[3].astype(int) * 2).astype(np.int8), inputs[4] * 2]
    expected += [np.array(42, np.int32), np.array(2.5, np.float32)]
    for result, value in zip(results, expected, strict=True):
        assert result.dtype == value.dtype
        np.testing.assert_array_equal(result, value)


def test_booleans_empty_tensors_and_unaligned_arrays(module: Path) -> None:
    (negated,) = run_module(module, device="local-sync", function="negate", inputs=[np.array([1, 0, 0, 1], bool)])
    assert negated.dtype == np.bool_ and negated.tolist() == [False, True, True, False]
    empty = [np.empty(0, t) for t in (ml_dtypes.bfloat16, np.float16, bool, np.int8, np.int64)]
    results = run_module(module, device="local-sync", function="types", inputs=[*empty, 1, 1])
    assert [result.size for result in results[:5]] == [0] * 5
    (transposed,) = run_module(
        module, device="local-sync", function="multiply", inputs=[A.reshape(8, 4).T, B[::-1, ::-1]]
    )
    np.testing.assert_array_equal(transposed, A.reshape(8, 4).T @ B[::-1, ::-1])
    assert run_module(module, device="local-sync", function="nothing") == []


@pytest.mark.parametrize("device", ["local-sync", "local-task"])
def test_results_outlive_the_module(compile_stock: Compile, device: str) -> None:
    size = 1_000_000  # large enough that freed memory goes back to the system
    with Session(compile_stock(SINGLE), device=device) as session:
        (first,) = session.call(None, [np.full(size, 1.0, np.float32)])
        (second,) = session.call(None, [np.full(size, 2.0, np.float32)])
    gc.collect()
    owner = first if first.base is None else first.base
    assert owner.flags.owndata and first.flags.writeable
    assert (first == 2).all() and (second == 4).all()


@pytest.mark.skipif(VERSION.startswith("3.11."), reason="the runtime of IREE 3.11 keeps memory")
def test_fifty_modules_in_one_process_do_not_leak(compile_stock: Compile) -> None:
    vmfb = compile_stock(SINGLE)
    data = vmfb.read_bytes()
    x = np.ones(200_000, np.float32)

    def load(times: int) -> None:
        for at in range(times):
            for device in ("local-sync", "local-task"):
                (result,) = run_module(data if at % 2 else vmfb, device=device, inputs=[x])
                assert result[-1] == 2

    load(5)
    before = _resident_kib(), len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))
    load(50)
    after = _resident_kib(), len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))
    # 100 calls have made 160 MB of arrays
    assert after[0] - before[0] < 20_000
    assert after[1:] == before[1:]


def _resident_kib() -> int:
    gc.collect()
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


def test_bound_call_sees_the_inputs_it_was_given(compile_stock: Compile) -> None:
    with Session(compile_stock(SINGLE), device="local-sync") as session:
        invoke = session.bind(None, [np.ones(3, np.float32)])
        placed = session.put(np.full(3, 2.0, np.float32))
        for _ in range(2):
            np.testing.assert_array_equal(
                session.call(None, [placed])[0], session.call(None, [np.full(3, 2.0, np.float32)])[0]
            )
        with pytest.raises(InputError):
            session.call(None, [session.put(np.ones(3, np.int32))])
        for _ in range(3):
            invoke()
        with pytest.raises(DeviceError, match="wrong number of inputs"):
            session.bind(None, [])


def test_number_of_worker_threads(compile_stock: Compile, tmp_path: Path) -> None:
    script = tmp_path / "workers.py"
    script.write_text(
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from substitute.device import Session\n"
        "from substitute.errors import DeviceError\n"
        "threads = lambda: sum('worker' in Path('/proc/self/task', t, 'comm').read_text()\n"
        "                      for t in os.listdir('/proc/self/task'))\n"
        "with Session(Path(sys.argv[1]), device='local-task', workers=3):\n"
        "    limit = time.monotonic() + 20\n"  # a thread takes its name a moment after it started
        "    while threads() < 3 and time.monotonic() < limit:\n"
        "        time.sleep(0.01)\n"
        "    print(threads())\n"
        "try:\n"
        "    Session(Path(sys.argv[1]), device='local-task', workers=1)\n"
        "except DeviceError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), str(compile_stock(SINGLE))],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == (
        "3\n"
        "this process already runs local-task with 3 worker threads\n"
        "  expected:  one number for all sessions of a process\n"
        "  found:     1\n"
        "  next:      use local-sync for a single thread, or another process for another number\n"
    )


def test_workers_of_a_device_that_has_none_to_choose(compile_stock: Compile) -> None:
    with Session(compile_stock(SINGLE), device="local-sync", workers=1) as session:
        assert session.functions
    with pytest.raises(UsageError, match="the number of worker threads cannot be chosen for local-sync"):
        Session(compile_stock(SINGLE), device="local-sync", workers=2)


def message(module: Path | bytes, function: str | None, *inputs: object, device: str = "local-sync") -> str:
    with pytest.raises(DeviceError) as caught:
        run_module(module, device=device, function=function, inputs=inputs)  # type: ignore[arg-type]
    return str(caught.value).replace(str(module), "M") if isinstance(module, Path) else str(caught.value)


def test_wrong_inputs(module: Path) -> None:
    assert message(module, "multiply", A) == (
        "M: wrong number of inputs for multiply\n  expected:  2: 4x8xf32, 8x3xf32\n  found:     1: 4x8xf32"
    )
    assert message(module, "multiply", A, B.astype(np.float64)) == (
        "M: input 1 of multiply does not fit\n"
        "  expected:  8x3xf32\n"
        "  found:     8x3xf64\n"
        "  next:      convert the array: .astype('float32')"
    )
    assert message(module, "multiply", A, B[:7]) == (
        "M: input 1 of multiply does not fit\n  expected:  8x3xf32\n  found:     7x3xf32"
    )
    assert "found:     scalar" not in message(module, "multiply", A, 3.0)
    assert "expected:  scalar i32" in message(
        module, "types", *[np.empty(0, t) for t in (ml_dtypes.bfloat16, np.float16, bool, np.int8, np.int64)], 1.5, 1
    )


def test_a_result_that_numpy_cannot_hold(module: Path) -> None:
    with pytest.raises(DeviceError) as raised:
        run_module(module, device="local-sync", function="nibbles", inputs=[np.zeros(8, np.int8)])
    assert raised.value.found == "8xi4"


def test_missing_function(module: Path) -> None:
    assert message(module, "multipli", A, B) == (
        "M: the module has no function 'multipli'\n"
        "  expected:  one of multiply, types, negate, nothing, nibbles\n"
        "  found:     multipli\n"
        "  next:      did you mean multiply?"
    )
    assert message(module, None, A, B) == (
        "M: the module has several functions\n"
        "  expected:  the name of one of them: multiply, types, negate, nothing, nibbles\n"
        "  found:     no name\n"
        "  next:      name the function (--function=NAME)"
    )


def test_no_module(tmp_path: Path, module: Path) -> None:
    assert message(tmp_path / "none.vmfb", None) == (
        "M: no such module\n"
        "  expected:  a file written by iree-compile or iree-substitute compile\n"
        "  found:     nothing"
    )
    text = tmp_path / "text.vmfb"
    text.write_text("module {}\n" * 100)
    assert message(text, None).startswith("M: not a compiled IREE module\n  expected:  a vmfb, whole, of this version")
    whole = module.read_bytes()
    for broken in (b"", whole[:10], whole[: len(whole) // 2]):
        assert "not a compiled IREE module" in message(broken, None)
    assert message(tmp_path, None) == (
        "M: no such module\n"
        "  expected:  a file written by iree-compile or iree-substitute compile\n"
        "  found:     a folder"
    )


def test_module_for_another_device(compile_stock: Compile) -> None:
    shader = compile_stock(SINGLE, "--iree-hal-target-device=vulkan")
    assert message(shader, None, device="local-sync") == (
        "M: the module was not compiled for local-sync\n"
        "  expected:  a module for local-sync\n"
        "  found:     one for vulkan (vulkan-spirv-fb)\n"
        "  next:      run it with --device=vulkan, or compile it for local-sync"
    )


def test_module_for_the_cpu_on_vulkan(compile_stock: Compile, vulkan_device: str) -> None:
    text = message(compile_stock(SINGLE), None, device=vulkan_device)
    assert text.startswith(
        "M: the module was not compiled for vulkan\n"
        "  expected:  a module for vulkan\n"
        "  found:     one for local-task or local-sync (embedded-elf-"
    )


def test_failure_inside_the_function(compile_stock: Compile) -> None:
    source = """
    func.func @checked(%a: tensor<?xf32>, %b: tensor<?xf32>) -> tensor<?xf32> {
      %c0 = arith.constant 0 : index
      %m = tensor.dim %a, %c0 : tensor<?xf32>
      %n = tensor.dim %b, %c0 : tensor<?xf32>
      %same = arith.cmpi eq, %m, %n : index
      cf.assert %same, "the sizes differ"
      %r = arith.addf %a, %b : tensor<?xf32>
      return %r : tensor<?xf32>
    }
    """
    vmfb = compile_stock(source)
    (result,) = run_module(vmfb, device="local-sync", inputs=[np.ones(3, np.float32)] * 2)
    assert result.tolist() == [2, 2, 2]
    text = message(vmfb, None, np.ones(3, np.float32), np.ones(4, np.float32))
    assert text.startswith("M: function checked(?xf32, ?xf32) -> (?xf32) failed on local-sync\n")
    assert "the sizes differ" in text


def test_small_floats_as_scalars_both_ways(compile_stock: Compile) -> None:
    text = """
func.func @same(%x: f16, %y: bf16, %z: f32, %n: i32) -> (f16, bf16, f32, i32) {
  return %x, %y, %z, %n : f16, bf16, f32, i32
}
"""
    values = [np.float16(0.7), ml_dtypes.bfloat16(-0.7), np.float32(1.5), np.int32(-3)]
    with Session(compile_stock(text), device="local-sync") as session:
        assert [v.item() for v in session.call("same", values)] == [v.item() for v in values]
