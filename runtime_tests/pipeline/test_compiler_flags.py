"""The flags of IREE's compiler: how they are read, and what is added to them."""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path

import pytest

from substitute.compiler import Compilation, _flags_of_the_process
from substitute.errors import UsageError
from substitute.flags import _TOOL_FLAGS, HOST_FLAGS, add_target, names_target, read_flags, with_default_target
from substitute.isolate import isolated
from substitute.pipeline import compile_model
from substitute.progress import silent
from substitute.read.module import read_module
from substitute.validate.targets import flags_for

DEVICE, BACKENDS, CPU = HOST_FLAGS


def tool() -> Path:
    from iree.compiler import _mlir_libs

    return Path(_mlir_libs.__file__ or "").parent / "iree-compile"


@pytest.mark.unit
@pytest.mark.parametrize(
    ("flags", "added"),
    [
        # nothing is said of a target
        ("", f"{DEVICE} {BACKENDS} {CPU}"),
        ("--iree-opt-level=O2", f"{DEVICE} {BACKENDS} {CPU}"),
        ("--iree-llvmcpu-reassociate-fp-reductions=false", f"{DEVICE} {BACKENDS} {CPU}"),
        # a CPU
        ("--iree-llvmcpu-target-cpu=generic", f"{DEVICE} {BACKENDS}"),
        ("-iree-llvmcpu-target-cpu=generic", f"{DEVICE} {BACKENDS}"),
        ("--iree-llvmcpu-target-cpu generic", f"{DEVICE} {BACKENDS}"),
        ("--iree-llvmcpu-target-cpu=generic --iree-llvmcpu-target-cpu=", f"{DEVICE} {BACKENDS} {CPU}"),
        ("--iree-llvmcpu-target-cpu-features=+avx2,+fma", f"{DEVICE} {BACKENDS}"),
        ("--iree-llvmcpu-target-cpu-features=host", f"{DEVICE} {BACKENDS}"),
        ("--iree-llvmcpu-target-triple=aarch64-linux-gnu", f"{DEVICE} {BACKENDS}"),
        ("--iree-llvmcpu-target-triple=host", f"{DEVICE} {BACKENDS} {CPU}"),
        ("--iree-llvmcpu-target-vector-width-in-bytes=32", f"{DEVICE} {BACKENDS} {CPU}"),
        # a device, with and without what IREE asks for besides
        ("--iree-hal-target-device=local", f"{BACKENDS} {CPU}"),
        ("--iree-hal-target-device=a=local[0] --iree-hal-target-device=b=vulkan", f"{BACKENDS} {CPU}"),
        ("--iree-hal-target-device=vulkan,local", f"{BACKENDS} {CPU}"),
        ("--iree-hal-target-device=local --iree-llvmcpu-target-cpu=znver3", BACKENDS),
        (f"{DEVICE} {BACKENDS}", ""),
        ("--iree-hal-local-target-device-backends=vmvx", DEVICE),
        ("--iree-hal-local-target-device-backends=llvm-cpu,vmvx", f"{DEVICE} {CPU}"),
        (f"{DEVICE} --iree-hal-local-target-device-backends vmvx", ""),
        ("--iree-hal-target-device=vulkan", ""),
        ("-iree-hal-target-device=vulkan", ""),
        ("--iree-hal-target-device vulkan", ""),
        ("--iree-hal-target-device=vulkan --iree-hal-target-device=cuda", ""),
        ("--iree-hal-target-device=cuda --iree-llvmcpu-target-cpu=generic", ""),
        ("--iree-hal-target-device=nosuch", ""),
        # the old style
        ("--iree-hal-target-backends=llvm-cpu", ""),
        ("--iree-hal-target-backends llvm-cpu --iree-llvmcpu-target-cpu=generic", ""),
        ("--iree-hal-target-backends=llvm-cpu --iree-hal-target-device=local", ""),
        # a GPU, without a device
        ("--iree-cuda-target=sm_80", "--iree-hal-target-device=cuda"),
        ("--iree-vulkan-target=ampere", "--iree-hal-target-device=vulkan"),
        ("--iree-vulkan-target-features=x --iree-vulkan-target=y", "--iree-hal-target-device=vulkan"),
        ("-iree-rocm-target gfx942", "--iree-hal-target-device=hip"),
        ("--iree-metal-target-platform=macos", "--iree-hal-target-device=metal"),
        ("--iree-cuda-target=sm_80 --iree-llvmcpu-loop-unrolling", "--iree-hal-target-device=cuda"),
    ],
)
def test_what_is_added(flags: str, added: str) -> None:
    targeted = add_target(flags.split())
    assert targeted.added == tuple(added.split())
    assert targeted.flags == (*read_flags(flags.split()).flags, *targeted.added)
    assert add_target(targeted.flags).added == (), "what is complete stays as it is"


@pytest.mark.unit
@pytest.mark.parametrize(
    "flags",
    [
        "--iree-cuda-target=sm_80 --iree-vulkan-target=ampere",
        "--iree-llvmcpu-target-cpu=generic --iree-cuda-target sm_80",
        "--iree-hal-local-target-device-backends=llvm-cpu --iree-rocm-target=gfx942",
    ],
)
def test_flags_about_several_devices(flags: str) -> None:
    with pytest.raises(UsageError) as caught:
        add_target(flags.split())
    assert caught.value.what == "the flags are about several kinds of devices, and name none"
    assert add_target([*flags.split(), "--iree-hal-target-device=vulkan"]).added == ()


@pytest.mark.unit
def test_the_note_says_what_was_added_and_why() -> None:
    assert add_target(["--iree-cuda-target=sm_80"]).note == (
        "added --iree-hal-target-device=cuda, which --iree-cuda-target=sm_80 leaves open"
    )
    assert add_target([]).note == "", "the documented default"
    assert add_target(["--iree-hal-target-device=vulkan"]).note == ""


@pytest.mark.unit
@pytest.mark.parametrize(
    ("device", "flags", "expected"),
    [
        ("local-task", "", " ".join(HOST_FLAGS)),
        ("local-sync", "--iree-llvmcpu-target-cpu=generic", f"--iree-llvmcpu-target-cpu=generic {DEVICE} {BACKENDS}"),
        ("vulkan", "", "--iree-hal-target-device=vulkan"),
        ("vulkan", "-iree-vulkan-target=ampere", "--iree-vulkan-target=ampere --iree-hal-target-device=vulkan"),
        ("cuda-sim://sm_90", "", "--iree-hal-target-device=cuda --iree-cuda-target=sm_89"),
        ("cuda-sim", "--iree-cuda-target sm_70", "--iree-cuda-target=sm_70 --iree-hal-target-device=cuda"),
        ("vulkan", f"{DEVICE} {BACKENDS}", f"{DEVICE} {BACKENDS}"),
    ],
)
def test_the_target_of_a_device(device: str, flags: str, expected: str) -> None:
    assert flags_for(device, flags.split()) == tuple(expected.split())


@pytest.mark.unit
def test_values() -> None:
    read = read_flags(["-a=1", "--b", "x", "--a=2", "--c", "--d=", "--e=f=g", "--l=x,y", "-l", "z"])
    assert read.flags == ("--a=1", "--b=x", "--a=2", "--c", "--d=", "--e=f=g", "--l=x,y", "--l=z")
    assert (read.last("a"), read.last("b"), read.last("c"), read.last("e")) == ("2", "x", "", "f=g")
    assert read.last("z") is None
    assert read.listed("l") == ("x", "y", "z")
    off = {"--c=false", "--c=0", "--c=FALSE", "-c=False"}
    assert {flag for flag in (*off, "--c", "--c=true", "--c=1", "--d=0") if read_flags([flag]).switched_off("c")} == off


@pytest.mark.unit
@pytest.mark.parametrize("words", [["x"], ["--a=1", "x"], ["--"], ["-"]])
def test_a_word_that_is_no_flag(words: list[str]) -> None:
    with pytest.raises(UsageError):
        read_flags(words)


@pytest.mark.unit
def test_flags_of_the_tool_that_change_nothing() -> None:
    harmless = ["--output-format=vm-bytecode", "--verify", "--verify=true", "--compile-to=end", "--compile-mode=std"]
    assert read_flags([*harmless, "--iree-opt-level=O1", "--split-input-file=0"]).flags == ("--iree-opt-level=O1",)
    for flag in ("--verify=false", "--split-input-file", "--compile-mode=vm", "--iree-llvmcpu-list-targets"):
        for spelled in (flag, flag[1:]):
            with pytest.raises(UsageError) as caught:
                read_flags([spelled])
            assert caught.value.found == flag
            assert caught.value.next_step


@pytest.mark.compile
def test_all_flags_that_only_the_tool_has_are_known() -> None:
    """The compiler's library ends the process at a flag that it does not know."""
    from iree.compiler.api import ctypes_dl

    session = ctypes_dl.Session()
    known = {flag[2:].partition("=")[0] for flag in session.get_flags(False)} | _flags_of_the_process()
    text = subprocess.run([tool(), "--help-hidden"], capture_output=True, text=True, check=True).stdout
    of_the_tool = set(re.findall(r"^\s+--([A-Za-z0-9_][A-Za-z0-9_.-]*)", text, re.MULTILINE))
    assert len(of_the_tool & known) > 1000
    assert of_the_tool - known <= _TOOL_FLAGS.keys()
    assert "split-input-file" in of_the_tool - known


POOL = (
    "--iree-hal-target-device=local",
    "--iree-hal-target-device vulkan",
    "-iree-hal-target-device=cuda",
    "--iree-hal-local-target-device-backends=llvm-cpu",
    "--iree-hal-local-target-device-backends=vmvx",
    "--iree-hal-target-backends=llvm-cpu",
    "--iree-hal-target-backends=vulkan-spirv",
    "--iree-llvmcpu-target-cpu=generic",
    "--iree-llvmcpu-target-cpu=znver3",
    "--iree-llvmcpu-target-cpu-features=+avx2",
    "-iree-cuda-target=sm_80",
    "--iree-vulkan-target ampere",
    "--iree-opt-level=O2",
    "--iree-hal-link-executables=0",
)
MODEL = """\
func.func @f(%a: tensor<8x16xf32>) -> tensor<8x16xf32> {
  %r = arith.addf %a, %a : tensor<8x16xf32>
  return %r : tensor<8x16xf32>
}
"""


@pytest.mark.compile
def test_what_stock_takes_is_left_as_it_is(tmp_path: Path) -> None:
    """Drawn combinations: where stock has a target nothing is added, so that ours is the same; elsewhere one is."""
    draw = random.Random(4)
    (tmp_path / "m.mlir").write_text(MODEL)

    def stock(flags: list[str] | tuple[str, ...]) -> str:
        """Return stock iree-compile's error; empty if it compiles."""
        command = [str(tool()), "m.mlir", "--compile-to=executable-sources", "-o", "m.out", *flags]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.stderr or "failed" if done.returncode else ""

    taken = completed = 0
    for _ in range(16):
        words = " ".join(draw.sample(POOL, draw.randint(0, 4))).split()
        if not stock(words):
            assert add_target(words).added == (), words
            taken += 1
            continue
        try:
            targeted = add_target(words)
        except UsageError:
            continue
        if targeted.added:
            assert stock(targeted.flags) == "", (words, targeted.added)
            completed += 1
    assert taken > 2
    assert completed > 2, "twin: the draws reach both"


OWN = """\
#own = #hal.executable.target<"vmvx", "vmvx-bytecode-fb">
module attributes {hal.device.targets = [#hal.device.target<"local", [#own]> : !hal.device]} {
"""
AFFINE = """\
#own = #hal.executable.target<"vmvx", "vmvx-bytecode-fb">
module attributes {stream.affinity.default = #hal.device.affinity<@mine>} {
util.global private @mine = #hal.device.target<"local", [#own]> : !hal.device
"""


@pytest.mark.compile
@pytest.mark.parametrize(("head", "backend"), [(OWN, "vmvx"), (AFFINE, "vmvx"), ("module {\n", "llvm-cpu")])
def test_a_module_that_names_its_devices_keeps_them(head: str, backend: str) -> None:
    with Compilation(with_default_target(()), name="m") as compilation:
        compilation.parse((head + MODEL + "}\n").encode())
        compilation.run("start", "executable-sources")
        assert [site.dispatch.target.backend for site in read_module(compilation.module)] == [backend]


@pytest.mark.compile
def test_a_generic_cpu_stays_generic() -> None:
    with Compilation(with_default_target(["--iree-llvmcpu-target-cpu", "generic"]), name="m") as compilation:
        compilation.parse(MODEL.encode())
        compilation.run("start", "executable-sources")
        (site,) = read_module(compilation.module)
    assert site.dispatch.target.get("cpu") == "generic"
    assert names_target(compilation.flags)


@pytest.mark.compile
def test_an_invalid_value_is_named(tmp_path: Path) -> None:
    flag = "--iree-llvmcpu-reassociate-fp-reductions=maybe"
    with pytest.raises(UsageError) as caught:
        Compilation([flag], name="m")
    assert caught.value.found == flag
    assert "invalid value for boolean" in caught.value.details


SUM_OF_SOFTMAX = """
func.func @main(%x: tensor<8x48xf32>, %k: tensor<8x48xf32>) -> tensor<8x48xf32> {
  %e = tensor.empty() : tensor<8x48xf32>
  %a = arith.addf %x, %k : tensor<8x48xf32>
  %y = linalg.softmax dimension(1) ins(%a : tensor<8x48xf32>) outs(%e : tensor<8x48xf32>) -> tensor<8x48xf32>
  return %y : tensor<8x48xf32>
}
"""
"""Two dispatches; one where IREE fuses, as it does from level O2 on."""


@pytest.mark.compile
def test_an_optimization_level_holds_beside_a_flag_of_the_process(tmp_path: Path) -> None:
    model = tmp_path / "m.mlir"
    model.write_text(SUM_OF_SOFTMAX)

    def taken(*flags: str) -> int:
        return len(compile_model(model, flags=flags, check=False).plan.substitutions)

    def work(_progress: object) -> tuple[int, str]:
        fused = taken("--iree-opt-level=O2", "--mlir-disable-threading")
        try:
            taken("--iree-opt-level=O1")
        except UsageError as error:  # IREE would take level O2
            return fused, error.what
        return fused, ""

    assert isolated(work, silent) == (1, "these flags can be set once per process")
    assert isolated(lambda _progress: taken("--mlir-disable-threading"), silent) == 2
