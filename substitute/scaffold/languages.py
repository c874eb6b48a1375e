"""The languages in which simple code is written, and the launch geometry of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..model.dispatch import Program, Target
from ..model.kernel import Kernel
from .c_text import CWriter, GlslWriter
from .draft import NotExpressible
from .nests import Grid, free_name, list_names, render_count, write_nests

INVOCATIONS = 64
"""Invocations of a workgroup on a GPU."""
MOST_X = 32768
"""Workgroups along x on Vulkan, whose devices need not take more than 65535; the others lie along y."""
CPU = Target(backend="llvm-cpu", format="", config=())
GPU_IR = Target(
    backend="cuda",
    format="",
    config=(("target_triple", "nvptx64-nvidia-cuda"), ("cpu_features", "+fma,+f16c,+sse4.1")),
)
"""What LLVM's backend for PTX has as instructions, in the words that the code generation understands."""
ARCHITECTURE = "sm_80"
"""The architecture for which CUDA code is written and compiled, unless flags say another."""

CUDA_TYPES = [
    "#ifdef __CUDACC_RTC__  // NVRTC has no stdint.h",
    "typedef signed char int8_t;",
    "typedef unsigned char uint8_t;",
    "typedef short int16_t;",
    "typedef unsigned short uint16_t;",
    "typedef int int32_t;",
    "typedef unsigned int uint32_t;",
    "typedef long long int64_t;",
    "typedef unsigned long long uint64_t;",
    "#define INT64_C(value) value##LL",
    "#define INT64_MIN (-9223372036854775807LL - 1)",
    "#define INT32_MIN (-2147483647 - 1)",
    "#else",
    "#include <stdint.h>",
    "#endif",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """One kind of payload that simple code can be written for."""

    kind: str
    backend: str
    file: str
    comment: str
    write: Callable[[Kernel, Program, Sequence[Grid]], str]
    """The code, without its head. Raises `NotExpressible`."""

    @property
    def on_gpu(self) -> bool:
        return self.backend != "llvm-cpu"

    @property
    def device(self) -> str:
        """The device that runs it here."""
        return {"vulkan-spirv": "vulkan", "cuda": f"cuda-sim://{ARCHITECTURE}"}.get(self.backend, "local-task")

    @property
    def flags(self) -> str:
        """The compiler's flags for its target."""
        return {
            "vulkan-spirv": " --iree-hal-target-device=vulkan",
            "cuda": f" --iree-hal-target-device=cuda --iree-cuda-target={ARCHITECTURE}",
        }.get(self.backend, "")

    def launch(self, grids: Sequence[Grid]) -> str:
        """Return the table `[launch]`."""
        points = render_count(grids)
        if not self.on_gpu:
            return f'workgroup_count = ["{points}", "1", "1"]   # one for each index of the outermost loop'
        groups = f"ceildiv({points}, {INVOCATIONS})"
        if self.backend == "vulkan-spirv":
            along = f'"min({groups}, {MOST_X})", "ceildiv({groups}, {MOST_X})", "1"'
        else:
            along = f'"{groups}", "1", "1"'
        return f"workgroup_size = [{INVOCATIONS}, 1, 1]\nworkgroup_count = [{along}]   # an invocation for each point"


def _write_llvm(kernel: Kernel, program: Program, grids: Sequence[Grid]) -> str:
    from .llvm_text import write_llvm

    return write_llvm(kernel, grids, program, CPU)


def _write_ptx(kernel: Kernel, program: Program, grids: Sequence[Grid]) -> str:
    from .llvm_text import write_ptx

    return write_ptx(kernel, grids, program, GPU_IR, ARCHITECTURE)


def _write_glsl(kernel: Kernel, program: Program, grids: Sequence[Grid]) -> str:
    writer = GlslWriter(kernel)
    point = free_name("point", list_names(kernel))
    write_nests(program, grids, writer, point)
    group = f"(gl_WorkGroupID.y * {MOST_X}u + gl_WorkGroupID.x)"
    first = f"  int {point} = int({group} * {INVOCATIONS}u + gl_LocalInvocationID.x);"
    return "\n".join(["void main() {", first, *writer.lines, "}", ""])


def _write_c(kernel: Kernel, program: Program, grids: Sequence[Grid]) -> str:
    writer = CWriter(kernel)
    write_nests(program, grids, writer, "id_x", exact=True)
    includes = ["#include <stdint.h>", *(["#include <math.h>"] if writer.libm else [])]
    return _c_function(writer, includes, _signature(kernel))


def _write_cuda(kernel: Kernel, program: Program, grids: Sequence[Grid]) -> str:
    writer = CWriter(kernel, cuda=True)
    point = free_name("point", list_names(kernel))
    write_nests(program, grids, writer, point)
    writer.lines.insert(0, f"  const int64_t {point} = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;")
    return _c_function(writer, CUDA_TYPES, _signature(kernel))


def _signature(kernel: Kernel) -> str:
    """Return the function's head; the meaning of each argument stands beside it."""
    return kernel.payload.kind.describe_call(kernel).removesuffix(";")


def _c_function(writer: CWriter, head: Sequence[str], signature: str) -> str:
    helpers = writer.head()
    return "\n".join([*head, "", *([helpers] if helpers else []), f"{signature} {{", *writer.lines, "}", ""])


LANGUAGES: tuple[Language, ...] = (
    Language(kind="llvm-ir", backend="llvm-cpu", file="kernel.ll", comment=";", write=_write_llvm),
    Language(kind="c", backend="llvm-cpu", file="kernel.c", comment="//", write=_write_c),
    Language(kind="c++", backend="llvm-cpu", file="kernel.cpp", comment="//", write=_write_c),
    Language(kind="glsl", backend="vulkan-spirv", file="kernel.comp", comment="//", write=_write_glsl),
    Language(kind="ptx", backend="cuda", file="kernel.ptx", comment="//", write=_write_ptx),
    Language(kind="cuda", backend="cuda", file="kernel.cu", comment="//", write=_write_cuda),
)


def find_language(kind: str) -> Language:
    """Return the language of a kind of payload. Raises `NotExpressible`."""
    for language in LANGUAGES:
        if language.kind == kind:
            return language
    names = ", ".join(language.kind for language in LANGUAGES)
    raise NotExpressible(f"a payload of kind {kind}, for which no code is written (only for {names})")
