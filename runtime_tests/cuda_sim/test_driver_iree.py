"""IREE's own CUDA driver on the simulated devices: in this process, in stock tools, and from the command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from runtime_tests.kinds.programs import KernelFolder, build
from substitute.cli.main import cli
from substitute.device import Session, available_devices, describe_device, dispatch_times
from substitute.device.cuda_sim.driver import environment
from substitute.device.cuda_sim.driver.settings import LOG
from substitute.device.drivers import open_device
from substitute.errors import DeviceError, UsageError

pytestmark = [pytest.mark.device, pytest.mark.compile]

FLAGS = ("--iree-hal-target-device=cuda", "--iree-cuda-target=sm_80")
PROGRAM = """
func.func @multiply(%a: tensor<17x40xf32>, %b: tensor<40x33xf32>) -> tensor<17x33xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<17x33xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<17x33xf32>) -> tensor<17x33xf32>
  %r = linalg.matmul ins(%a, %b : tensor<17x40xf32>, tensor<40x33xf32>)
                     outs(%init : tensor<17x33xf32>) -> tensor<17x33xf32>
  return %r : tensor<17x33xf32>
}
func.func @add(%a: tensor<?xf32>, %b: tensor<?xf32>) -> tensor<?xf32> {
  %r = arith.addf %a, %b : tensor<?xf32>
  return %r : tensor<?xf32>
}
func.func @sum(%a: tensor<6x100xi32>) -> tensor<6xi32> {
  %zero = arith.constant dense<0> : tensor<6xi32>
  %r = linalg.reduce ins(%a : tensor<6x100xi32>) outs(%zero : tensor<6xi32>) dimensions = [1]
    (%x: i32, %y: i32) { %s = arith.addi %x, %y : i32  linalg.yield %s : i32 }
  return %r : tensor<6xi32>
}
func.func @capability() -> (i32, i32) {
  %c0 = arith.constant 0 : index
  %device = hal.devices.get %c0 : !hal.device
  %a, %major = hal.device.query<%device : !hal.device> key("cuda.device" :: "compute_capability_major") : i1, i32
  %b, %minor = hal.device.query<%device : !hal.device> key("cuda.device" :: "compute_capability_minor") : i1, i32
  return %major, %minor : i32, i32
}
"""
WEIGHTS = np.random.default_rng(5).standard_normal((64, 1024)).astype("<f4")
ASYNCHRONOUS = f"""
func.func @main(%a: !torch.vtensor<[4,64],f32>) -> !torch.vtensor<[4,1024],f32> {{
  %none = torch.constant.none
  %count = torch.constant.int 256
  %f32 = torch.constant.int 6
  %i4 = torch.constant.int 4
  %i64 = torch.constant.int 64
  %steps = torch.aten.arange %count, %f32, %none, %none, %none
      : !torch.int, !torch.int, !torch.none, !torch.none, !torch.none -> !torch.vtensor<[256],f32>
  %sines = torch.aten.sin %steps : !torch.vtensor<[256],f32> -> !torch.vtensor<[256],f32>
  %shape = torch.prim.ListConstruct %i4, %i64 : (!torch.int, !torch.int) -> !torch.list<int>
  %table = torch.aten.view %sines, %shape
      : !torch.vtensor<[256],f32>, !torch.list<int> -> !torch.vtensor<[4,64],f32>
  %b = torch.aten.mul.Tensor %a, %table
      : !torch.vtensor<[4,64],f32>, !torch.vtensor<[4,64],f32> -> !torch.vtensor<[4,64],f32>
  %w = torch.vtensor.literal(dense<"0x{WEIGHTS.tobytes().hex().upper()}"> : tensor<64x1024xf32>)
      : !torch.vtensor<[64,1024],f32>
  %r = torch.aten.mm %b, %w
      : !torch.vtensor<[4,64],f32>, !torch.vtensor<[64,1024],f32> -> !torch.vtensor<[4,1024],f32>
  return %r : !torch.vtensor<[4,1024],f32>
}}
"""
"""Exported with an asynchronous entry point. While its weights are copied from the mapped file, a table is computed."""
NEGATE = """
func.func @main(%a: tensor<64xf32>) -> tensor<64xf32> {
  %r = arith.negf %a : tensor<64xf32>
  return %r : tensor<64xf32>
}
"""
WILD_PTX = """.version 7.0
.target sm_80
.address_size 64
.visible .entry wild(.param .u64 source, .param .u64 target)
{
  .reg .b64 %rd<3>;
  .reg .b32 %r<2>;
  ld.param.u64 %rd1, [target];
  add.u64 %rd2, %rd1, 1000000;
  mov.u32 %r1, 0;
  st.global.u32 [%rd2], %r1;
  ret;
}
"""
HOPPER_PTX = """.version 8.0
.target sm_90a
.address_size 64
.visible .entry mark(.param .u64 source, .param .u64 target)
{
  .reg .b64 %rd<4>;
  .reg .b32 %r<3>;
  ld.param.u64 %rd1, [target];
  mov.u32 %r1, %tid.x;
  mul.wide.u32 %rd2, %r1, 4;
  add.u64 %rd3, %rd1, %rd2;
  mov.u32 %r2, 0x42280000;
  st.global.u32 [%rd3], %r2;
  ret;
}
"""
"""Writes 42 everywhere, unlike IREE's own code."""


@pytest.fixture(scope="module")
def program(compile_stock: Callable[..., Path]) -> Path:
    return compile_stock(PROGRAM, *FLAGS)


@pytest.fixture(scope="module")
def wild(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module whose only dispatch writes where there is nothing."""
    folder = tmp_path_factory.mktemp("wild")
    kernel = KernelFolder(
        WILD_PTX,
        kind="ptx",
        entry="wild",
        backend="cuda",
        workgroup_size=(1, 1, 1),
        workgroup_count=("1", "1", "1"),
        keys={"abi": "raw", "bindings": 2, "constants": 0, "dispatches": ["dispatch_0"]},
    )
    target = folder / "wild.vmfb"
    target.write_bytes(build(folder, NEGATE, [kernel.write(folder / "kernel")], flags=FLAGS).vmfb)
    return target


def random(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name", ["sm_80", "sm_90"])
def test_programs_run(cuda_sim: str, program: Path, name: str) -> None:
    a, b = random(17, 40), random(40, 33)
    with Session(program, device=f"{cuda_sim}://{name}") as session:
        np.testing.assert_allclose(session.call("multiply", [a, b])[0], a @ b, rtol=1e-5, atol=1e-5)
        x, y = random(1000), random(1000) + 1
        np.testing.assert_array_equal(session.call("add", [x, y])[0], x + y)
        numbers = np.arange(600, dtype=np.int32).reshape(6, 100)
        np.testing.assert_array_equal(session.call("sum", [numbers])[0], numbers.sum(axis=1))


@pytest.mark.parametrize(("name", "expected"), [("sm_80", [8, 0]), ("sm_86", [8, 6]), ("sm_120", [12, 0])])
def test_a_program_sees_the_compute_capability(cuda_sim: str, program: Path, name: str, expected: list[int]) -> None:
    with Session(program, device=f"{cuda_sim}://{name}") as session:
        assert [int(number) for number in session.call("capability", [])] == expected
    assert describe_device(f"{cuda_sim}://{name}") == f"Simulated CUDA device ({name})"


def test_constants_are_copied_while_kernels_run(cuda_sim: str, compile_stock: Callable[..., Path]) -> None:
    """IREE registers the pages of the module's file, which are read-only, while the initialisers' kernels run."""
    flags = ("--iree-input-type=torch", "--iree-opt-const-eval=false")
    module = compile_stock(ASYNCHRONOUS, *FLAGS, *flags)
    a = np.random.default_rng(6).standard_normal((4, 64)).astype(np.float32)
    table = np.sin(np.arange(256, dtype=np.float32)).reshape(4, 64)
    for _ in range(20):
        with Session(module, device=cuda_sim) as session:
            assert len(session.functions) == 1
    with Session(module, device=cuda_sim) as session:
        (result,) = session.call("main", [a])
    np.testing.assert_allclose(result, (a * table) @ WEIGHTS, atol=1e-2)


def test_the_compute_capability_decides_which_variant_runs(cuda_sim: str, tmp_path: Path) -> None:
    kernel = KernelFolder(
        HOPPER_PTX,
        kind="ptx",
        entry="mark",
        backend="cuda",
        workgroup_size=(64, 1, 1),
        workgroup_count=("1", "1", "1"),
        keys={"abi": "raw", "bindings": 2, "constants": 0, "dispatches": ["dispatch_0"]},
        target={"variant": "sm_90a", "device": {"cuda.device::compute_capability_major": 9}},
    )
    built = build(tmp_path, NEGATE, [kernel.write(tmp_path / "kernel")], flags=FLAGS)
    x = random(64)
    for name, expected in (("sm_80", -x), ("sm_90", np.full(64, 42, np.float32)), ("sm_86", -x)):
        with Session(built.vmfb, device=f"{cuda_sim}://{name}") as session:
            np.testing.assert_array_equal(session.call(None, [x])[0], expected)


def test_code_for_a_newer_device_is_refused(cuda_sim: str, program: Path) -> None:
    with pytest.raises(DeviceError) as caught:
        Session(program, device=f"{cuda_sim}://sm_75")
    assert caught.value.what == "the module cannot be loaded on cuda-sim://sm_75"
    assert "CUDA_ERROR_NO_BINARY_FOR_GPU" in caught.value.details
    assert "sm_80" in caught.value.details


def test_a_module_for_something_else_is_refused(cuda_sim: str, compile_stock: Callable[..., Path]) -> None:
    with pytest.raises(DeviceError, match="was not compiled for cuda-sim") as caught:
        Session(compile_stock(NEGATE), device=cuda_sim)
    assert caught.value.next_step == "run it with --device=local-task, or compile it for cuda-sim"


def test_a_fault_is_told_and_the_next_session_is_well(cuda_sim: str, program: Path, wild: Path) -> None:
    with Session(wild, device=cuda_sim) as session:
        with pytest.raises(DeviceError) as caught:
            session.call(None, [random(64)])
        # (where it writes, another session may have had memory)
        words = r"main_dispatch_0\w*:11: (out-of-bounds|use-after-free): .* st\.global\.u32"
        assert re.match(rf"CUDA_ERROR_ILLEGAL_ADDRESS: {words}", caught.value.found)
        # the context is lost, as on a real device
        with pytest.raises(DeviceError, match="CUDA_ERROR_ILLEGAL_ADDRESS"):
            session.call(None, [random(64)])
    with Session(program, device=cuda_sim) as session:
        x = random(10)
        np.testing.assert_array_equal(session.call("add", [x, x])[0], 2 * x)


def test_cuda_means_the_simulated_devices_now(cuda_sim: str, program: Path) -> None:
    open_device(cuda_sim)
    assert available_devices()["cuda"] == "in this process CUDA is simulated"
    with pytest.raises(DeviceError, match="device 'cuda' cannot be opened here any more"):
        open_device("cuda")
    with pytest.raises(UsageError, match="there is no simulated CUDA device 'sm_1'"):
        open_device(f"{cuda_sim}://sm_1")
    with pytest.raises(UsageError, match="the number of worker threads cannot be chosen for cuda-sim"):
        open_device(cuda_sim, workers=2)
    with pytest.raises(DeviceError, match="cuda-sim has no speed to speak of"):
        dispatch_times(program, device=cuda_sim, function="capability")


def stock(tool: str, *arguments: str, device: str = "sm_80", **variables: str) -> subprocess.CompletedProcess[str]:
    """One of IREE's own programs, with nothing but its environment changed."""
    program = Path(sys.executable).with_name(tool)
    return subprocess.run(
        [str(program), *arguments],
        env={**environment(os.environ, device=device), **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("streams", [True, False], ids=["streams", "graphs"])
def test_stock_iree_run_module(cuda_sim: str, program: Path, tmp_path: Path, streams: bool) -> None:
    a, b = random(17, 40), random(40, 33)
    paths = [tmp_path / name for name in ("a.npy", "b.npy", "r.npy")]
    np.save(paths[0], a)
    np.save(paths[1], b)
    done = stock(
        "iree-run-module",
        f"--module={program}",
        "--device=cuda",
        "--function=multiply",
        f"--input=@{paths[0]}",
        f"--input=@{paths[1]}",
        f"--output=@{paths[2]}",
        f"--cuda_use_streams={str(streams).lower()}",
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(paths[2]), a @ b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("flag", ["--cuda_async_allocations=false", "--cuda_allow_inline_execution=true"])
def test_stock_tools_with_other_flags(cuda_sim: str, program: Path, flag: str) -> None:
    done = stock(
        "iree-run-module",
        f"--module={program}",
        "--device=cuda://1",
        "--function=add",
        "--input=4xf32=1",
        "--input=4xf32=2",
        "--expected_output=4xf32=3 3 3 3",
        flag,
    )
    assert done.returncode in (0, 1), done.stderr
    assert "CUDA_ERROR_NO_BINARY_FOR_GPU" in done.stderr  # (device 1 is an sm_70)
    done = stock(
        "iree-run-module",
        f"--module={program}",
        "--device=cuda",
        "--function=add",
        "--input=4xf32=1",
        "--input=4xf32=2",
        "--expected_output=4xf32=3 3 3 3",
        flag,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("streams", [True, False], ids=["streams", "graphs"])
def test_stock_tools_say_what_was_found(cuda_sim: str, wild: Path, tmp_path: Path, streams: bool) -> None:
    log = tmp_path / "log.jsonl"
    done = stock(
        "iree-run-module",
        f"--module={wild}",
        "--device=cuda",
        "--function=main",
        "--input=64xf32=1",
        f"--cuda_use_streams={str(streams).lower()}",
        **{LOG: str(log)},
    )
    assert done.returncode != 0
    assert "out-of-bounds" in done.stderr
    (row,) = [json.loads(line) for line in log.read_text().splitlines()]
    assert (row["code"], row["device"], row["findings"][0]["line"]) == ("CUDA_ERROR_ILLEGAL_ADDRESS", "sm_80", 11)


def test_the_command_runs_modules(cuda_sim: str, program: Path) -> None:
    done = CliRunner().invoke(
        cli, ["run", str(program), "--device=cuda-sim://sm_89", "--function=capability"], standalone_mode=False
    )
    assert done.exception is None
    assert done.output.splitlines()[-2:] == ["result[0]: i32=8", "result[1]: i32=9"]


def test_devices_that_failed_are_not_closed(cuda_sim: str, program: Path, wild: Path) -> None:
    """IREE's driver would crash the process after a while: hence several times, in a separate process."""
    code = f"""
import sys
from pathlib import Path
import numpy as np
from substitute.device import Session, drivers
from substitute.errors import DeviceError

kept, keep_open = [], drivers.keep_open
def record(device, name):
    kept.append(name)
    keep_open(device, name)
drivers.keep_open = record

def run(path, function, *values):
    with Session(Path(path), device="cuda-sim") as session:
        return session.call(function, values)

ones = np.ones(64, np.float32)
run({str(program)!r}, "add", ones, ones)
assert not kept
for _ in range(5):
    try:
        run({str(wild)!r}, "main", ones)
    except DeviceError as error:
        assert "out-of-bounds" in error.found
    else:
        raise AssertionError("no fault")
(sum,) = run({str(program)!r}, "add", ones, ones)
assert kept == ["cuda-sim"] * 5 and (sum == 2).all()
sys.exit(7)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 7, done.stderr
    assert "nanobind" not in done.stderr


def test_the_command_validates(cuda_sim: str, tmp_path: Path) -> None:
    model = tmp_path / "model.mlir"
    model.write_text(NEGATE)
    done = CliRunner().invoke(cli, ["validate", str(model), "--device=cuda-sim"], standalone_mode=False)
    assert done.exception is None, done.exception
    # no kernel takes anything: IREE agrees with itself, which proves nothing of a kernel
    assert done.return_value == 1, done.output
    assert "not judged: no kernel takes a dispatch of the model" in done.output


def test_the_command_starts_programs(cuda_sim: str, program: Path) -> None:
    command = (sys.executable, "-c", "import sys; from substitute.cli.main import main; sys.exit(main())")
    done = subprocess.run(
        [
            *command,
            "simulate",
            "--device=sm_90",
            "iree-run-module",
            f"--module={program}",
            "--device=cuda",
            "--function=capability",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "i32=9" in done.stdout
    done = subprocess.run([*command, "simulate", "--device=sm_90"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("export IREE_SUBSTITUTE_SIM_DEVICE=sm_90\nexport LD_LIBRARY_PATH=")
    done = subprocess.run([*command, "simulate", "no-such-program"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "error: there is no program 'no-such-program'")
