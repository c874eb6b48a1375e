"""Fixtures of all tests: models, devices, and stock builds for comparison."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from runtime_tests.models import BUILDERS, Model
from substitute import compiler
from substitute.bindings import settle_bindings

SOON = ("attention", "softmax", "vulkan_pool")
"""Built-in kernels that are validated in every run; the others are among the slow tests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name == "kernel.toml" and item.path.parent.name not in SOON:
            item.add_marker(pytest.mark.slow)


CPU_FLAGS = (
    "--iree-hal-target-device=local",
    "--iree-hal-local-target-device-backends=llvm-cpu",
    "--iree-llvmcpu-target-cpu=host",
)
"""This machine's CPU."""
VULKAN_FLAGS = ("--iree-hal-target-device=vulkan",)

# the same examples every time, however slow the machine is
hypothesis.settings.register_profile(
    "project", derandomize=True, database=None, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("project")

settle_bindings()
# the guard has separate tests; elsewhere a compilation should be as cheap as possible
os.environ.setdefault("IREE_SUBSTITUTE_CHECK", "0")


@pytest.fixture(autouse=True)
def _no_flags_of_the_process() -> Iterator[None]:
    """Fail a test that sets flags of IREE for its process: other tests' compilations would have them too."""
    before = compiler._process_flags
    yield
    assert compiler._process_flags == before, "run this test's compilation with isolate=True"


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    """Makes a model of `runtime_tests.models` by name, once for all tests."""
    folder = tmp_path_factory.mktemp("models")
    made: dict[str, Model] = {}

    def make(name: str) -> Model:
        if name not in made:
            made[name] = dict(BUILDERS)[name](folder)
        return made[name]

    return make


@pytest.fixture(scope="session")
def magika(make_model: Callable[[str], Model]) -> Model:
    """Google's file-type detector with its real weights, batch 4."""
    return make_model("magika")


@pytest.fixture(scope="session")
def magika_dynamic(make_model: Callable[[str], Model]) -> Model:
    """The same with an open batch."""
    return make_model("magika_dynamic")


@pytest.fixture(scope="session")
def mlp(make_model: Callable[[str], Model]) -> Model:
    """Dense layers with ReLU."""
    return make_model("mlp")


@pytest.fixture(scope="session")
def convnet(make_model: Callable[[str], Model]) -> Model:
    """2-D, depthwise and pointwise convolutions."""
    return make_model("convnet")


@pytest.fixture(scope="session")
def transformer(make_model: Callable[[str], Model]) -> Model:
    """One transformer block."""
    return make_model("transformer")


@pytest.fixture(scope="session")
def compile_stock(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compile MLIR text, or an ONNX or MLIR file, with IREE alone; each pair of source and flags once.

    `compile_stock(source, *flags)` gives the vmfb's path; without flags it is for this machine's CPU.
    """
    folder = tmp_path_factory.mktemp("stock")
    built: dict[tuple[str, ...], Path] = {}

    def build(source: str | Path, *flags: str) -> Path:
        flags = flags or CPU_FLAGS
        key = (str(source), *flags)
        if key not in built:
            built[key] = _compile(source, flags, folder / f"{len(built)}.vmfb")
        return built[key]

    return build


def _compile(source: str | Path, flags: tuple[str, ...], target: Path) -> Path:
    text = target.with_suffix(".mlir")
    if isinstance(source, str):
        text.write_text(source)
    elif source.suffix == ".onnx":
        _run(sys.executable, "-m", "iree.compiler.tools.import_onnx", str(source), "-o", str(text))
    else:
        text = source
    _run(str(_compiler()), str(text), "-o", str(target), *flags)
    return target


def _compiler() -> Path:
    """The compiler itself: `iree-compile` on PATH is a wrapper that leaves it running when it is killed."""
    spec = importlib.util.find_spec("iree.compiler._mlir_libs")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "iree-compile"


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}\n{done.stderr}"


@pytest.fixture(scope="session")
def vulkan_device() -> str:
    """The name of a Vulkan device; skips where there is none, and says why."""
    from substitute.device import available_devices

    reason = available_devices().get("vulkan", "the runtime has no Vulkan driver")
    if reason:
        pytest.skip(f"no Vulkan device: {reason}")
    return "vulkan"


@pytest.fixture(scope="session")
def cuda_sim() -> str:
    """The simulated CUDA device, an sm_80; `f"{cuda_sim}://sm_90"` is another. Skips where it cannot be built.

    Once a session has used it, `cuda` means the simulated devices in this process.
    """
    from substitute.device import available_devices

    reason = available_devices()["cuda-sim"]
    if reason:
        pytest.skip(f"no simulated CUDA device: {reason}")
    return "cuda-sim"
