"""CUDA C to PTX: by NVRTC if its library is installed, else by nvcc. Neither needs a GPU."""

from __future__ import annotations

import ctypes
import ctypes.util
import re
import sysconfig
import tempfile
from functools import lru_cache
from pathlib import Path

from ...errors import PayloadError, SourceText
from ..programs import find_program, run_program

_ERROR = re.compile(r"^(?:.*?)\((\d+)\): (?:catastrophic )?error(?:\s*#\S+)?: (.*)$", re.MULTILINE)
_NO_ARCHITECTURE = re.compile(r"invalid value for --gpu-architecture|Unsupported gpu architecture|is not a valid", re.I)


def cuda_to_ptx(source: str, *, arch: str, name: str) -> str:
    """Return PTX for `arch` (`sm_80`); `name` is the source's name in messages. Raises `PayloadError`."""
    target = arch.replace("sm_", "compute_")
    library = find_nvrtc()
    if library is not None:
        status, text, log = _with_nvrtc(library, source, target)
    else:
        program = find_program("nvcc")
        if program is None:
            raise PayloadError(
                "nothing here compiles CUDA C",
                where=name,
                expected="NVRTC (libnvrtc.so.13) or nvcc",
                found="neither",
                next_step="pip install 'iree-substitute[cuda]', or compile it elsewhere (nvcc -ptx) and use kind = ptx",
            )
        status, text, log = _with_nvcc(program, source, target)
    if status:
        raise _failed(source, log, arch, name)
    return text


def can_compile() -> bool:
    """Return True if NVRTC or nvcc is installed."""
    return find_nvrtc() is not None or find_program("nvcc") is not None


@lru_cache(maxsize=1)
def find_nvrtc() -> Path | None:
    """Return NVRTC's library: of this interpreter's packages first, then of the system."""
    library = Path(sysconfig.get_path("purelib")) / "nvidia"
    for folder in ("cu13/lib", "cuda_nvrtc/lib"):
        found = sorted((library / folder).glob("libnvrtc.so.*"))
        if found:
            return found[-1]
    name = ctypes.util.find_library("nvrtc")
    return Path(name) if name else None


def _includes() -> list[str]:
    """Return the folders with CUDA's own headers (`cuda_fp16.h`, `mma.h`), if they are installed."""
    folders = [Path(sysconfig.get_path("purelib")) / "nvidia" / part / "include" for part in ("cu13", "cuda_runtime")]
    program = find_program("nvcc")
    if program is not None:
        folders.append(program.resolve().parent.parent / "include")
    folders.append(Path("/usr/local/cuda/include"))
    return [f"--include-path={folder}" for folder in folders if folder.is_dir()]


def _with_nvrtc(library: Path, source: str, target: str) -> tuple[int, str, str]:
    """Return (status, PTX, log). Source: NVRTC 13.0, "Basic Usage"."""
    for builtins in sorted(library.parent.glob("libnvrtc-builtins.so.*")):
        ctypes.CDLL(str(builtins))  # NVRTC loads it by name, and these packages are on no search path
    nvrtc = ctypes.CDLL(str(library))
    program = ctypes.c_void_p()
    # no headers are passed; the options name their folders
    status = nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None)
    if status:
        return status, "", "nvrtcCreateProgram failed"
    options = [f"--gpu-architecture={target}", "--std=c++17", *_includes()]
    array = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
    try:
        status = nvrtc.nvrtcCompileProgram(program, len(options), array)
        log = _text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
        text = "" if status else _text(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX, program)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return status, text, log


def _text(size_of: ctypes._NamedFuncPointer, copy: ctypes._NamedFuncPointer, program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    if size_of(program, ctypes.byref(size)):
        return ""
    buffer = ctypes.create_string_buffer(size.value + 1)
    copy(program, buffer)
    return buffer.value.decode(errors="replace")


def _with_nvcc(program: Path, source: str, target: str) -> tuple[int, str, str]:
    """Return (status, PTX, log)."""
    with tempfile.TemporaryDirectory(prefix="substitute-cuda-") as folder:
        file, out = Path(folder) / "kernel.cu", Path(folder) / "kernel.ptx"
        file.write_text(source, encoding="utf-8")
        arguments = ("--ptx", f"--gpu-architecture={target}", "--std=c++17", f"--output-file={out}", str(file))
        result = run_program(program, arguments)
        text = out.read_text(encoding="utf-8") if out.is_file() else ""
        return result.status or int(not text), text, result.output.replace(str(file), "kernel.cu")


def _failed(source: str, log: str, arch: str, name: str) -> PayloadError:
    if _NO_ARCHITECTURE.search(log):
        return PayloadError(
            f"this CUDA compiler makes no code for {arch}",
            where=name,
            expected="an architecture that it knows",
            found=arch,
            next_step="compile the model for another one (--iree-cuda-target=sm_80); without a flag IREE takes sm_60",
            details=log,
        )
    found = _ERROR.search(log)
    lines = source.splitlines()
    number = int(found[1]) if found else 0
    place = None
    if 0 < number <= len(lines):
        line = lines[number - 1].replace("\t", " ")
        place = SourceText(line=number, column=len(line) - len(line.lstrip()) + 1, text=line)
    return PayloadError(
        "the CUDA C source does not compile",
        where=f"{name}:{number}" if number else name,
        source=place,
        expected='CUDA C++17 for one device function with `extern "C" __global__`',
        found=found[2] if found else log.strip().partition("\n")[0],
        next_step="correct the line",
        details=log,
    )
