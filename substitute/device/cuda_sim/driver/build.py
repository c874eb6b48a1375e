"""Build of the simulated `libcuda.so`: LLVM assembly → object (llvmlite) → shared library (iree-lld)."""

from __future__ import annotations

import hashlib
import importlib.util
import platform
import sys
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from ....cache.paths import NAME, find_cache_folder
from ....errors import DeviceError
from .entry_points import ARGUMENT_TYPES, ENTRY_POINTS, MOST_ARGUMENTS, NUMBERS, EntryPoint

ARENA_BYTES = 1 << 34
"""Memory of all simulated devices; only pages that are used are allocated."""
SONAME = "libcuda.so"
"""Name of the library that IREE loads."""
MARK = "iree_substitute_last_fault"
"""Exported name that distinguishes this library from NVIDIA's."""
_LINKED_NAMES = (SONAME, "libcuda.so.1")


def library_path() -> Path:
    """Return the library's path; it is built on first use into the user's cache. Raises `DeviceError`."""
    text = library_text(Path(sys.executable), _package_root())
    folder = library_folder() / hashlib.sha256(text.encode()).hexdigest()[:16]
    if not (folder / SONAME).is_file():
        _check_platform()
        try:
            _build(text, folder)
        except OSError as error:
            raise DeviceError(
                "the library of the simulated CUDA device cannot be kept",
                where=str(folder.parent),
                expected="a folder that can be written",
                found=error.strerror or str(error),
                next_step="name another folder with XDG_CACHE_HOME",
            ) from error
    return folder / SONAME


def library_folder() -> Path:
    return find_cache_folder("cuda-sim") or Path.home() / ".cache" / NAME / "cuda-sim"


def library_text(interpreter: Path, package_root: Path) -> str:
    """Return the whole library as LLVM assembly; it starts its server with this interpreter and this package."""
    numbers = {
        "ARENA_SIZE": str(ARENA_BYTES),
        "ERROR_NAME": str(NUMBERS["cuGetErrorName"]),
        "ERROR_STRING": str(NUMBERS["cuGetErrorString"]),
    }
    agent = Path(__file__).with_name("agent.ll").read_text(encoding="utf-8")
    code = "\n".join(line.partition(";")[0].rstrip() for line in agent.splitlines())
    for name, number in numbers.items():
        code = code.replace(name, number)
    functions = (_function(number, entry) for number, entry in enumerate(ENTRY_POINTS))
    return "\n".join((code, *_tables(interpreter, package_root), *functions))


def _tables(interpreter: Path, package_root: Path) -> Iterator[str]:
    """Yield the server's command line, the functions' addresses in order, and `MARK`."""
    start = (
        "import sys\n"
        f"if {str(package_root)!r} not in sys.path: sys.path.insert(0, {str(package_root)!r})\n"
        "from substitute.device.cuda_sim.driver.server import main\n"
        "main()\n"
    )
    # -P: the user's current folder is not searched for imports
    words = (str(interpreter), "-P", "-c", start)
    for at, word in enumerate(words):
        yield _string(f"server_word_{at}", word)
    yield _string("server_program", words[0])
    pointers = ", ".join(f"ptr @server_word_{at}" for at in range(len(words)))
    yield f"@server_arguments = private constant [{len(words) + 1} x ptr] [{pointers}, ptr null]"
    addresses = ", ".join(f"ptr @{entry.name}" for entry in ENTRY_POINTS)
    yield f"@functions = private constant [{len(ENTRY_POINTS)} x ptr] [{addresses}]"


def _string(name: str, text: str) -> str:
    data = text.encode() + b"\0"
    escaped = "".join(f"\\{byte:02X}" for byte in data)
    return f'@{name} = private constant [{len(data)} x i8] c"{escaped}"'


def _function(number: int, entry: EntryPoint) -> str:
    """Return one exported function: it sends a request with its number and its arguments."""
    types = [ARGUMENT_TYPES[letter] for letter in entry.arguments]
    parameters = ", ".join(f"{type_} %a{at}" for at, type_ in enumerate(types))
    lines = [f"define i32 @{entry.name}({parameters}) {{", f"  %request = alloca [{2 + MOST_ARGUMENTS} x i64]"]
    lines.append(f"  store i64 {number}, ptr %request")
    for at, type_ in enumerate(types):
        value = f"%a{at}"
        if type_ in ("i32", "i16", "i8"):
            lines.append(f"  %w{at} = zext {type_} %a{at} to i64")
            type_, value = "i64", f"%w{at}"
        lines.append(f"  %s{at} = getelementptr i64, ptr %request, i64 {2 + at}")
        lines.append(f"  store {type_} {value}, ptr %s{at}")
    lines += ["  %result = call i32 @ask(ptr %request)", "  ret i32 %result", "}"]
    if entry.suffix:
        signature = ", ".join(types)
        lines.append(f"@{entry.name}{entry.suffix} = alias i32 ({signature}), ptr @{entry.name}")
    return "\n".join(lines)


def _build(text: str, folder: Path) -> None:
    """Compile and link next to `folder`, then move the result there, so that a folder that exists is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".building-") as name:
        made = Path(name, folder.name)
        made.mkdir()
        object_path = Path(name, "libcuda.o")
        object_path.write_bytes(_compile(text))
        _link(object_path, made / SONAME)
        (made / _LINKED_NAMES[1]).symlink_to(SONAME)
        try:
            made.rename(folder)
        except OSError:
            # another process was faster; its result is the same
            if not (folder / SONAME).is_file():
                raise


def _compile(text: str) -> bytes:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(text)
    module.verify()
    machine = llvm.Target.from_default_triple().create_target_machine(reloc="pic", opt=1)
    return bytes(machine.emit_object(module))


def _link(object_path: Path, target: Path) -> None:
    from ....payload.programs import run_program

    # no C library is named: every process that loads the library has the functions it needs (posix_spawn, mmap, ...)
    options = ("-flavor", "gnu", "-shared", "-Bsymbolic", "-soname", SONAME, "-z", "relro")
    arguments = (*options, "-o", str(target), str(object_path))
    done = run_program(_linker(), arguments)
    if done.status != 0 or not target.is_file():
        raise DeviceError(
            "the library of the simulated CUDA device cannot be linked",
            where=done.argv[0],
            found=f"exit status {done.status}",
            next_step="reinstall the package: pip install --force-reinstall iree-base-compiler",
            details=done.output,
        )


@lru_cache(maxsize=1)
def _linker() -> Path:
    """Return the linker inside iree-base-compiler."""
    spec = importlib.util.find_spec("iree.compiler")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        path = Path(folder, "_mlir_libs", "iree-lld")
        if path.is_file():
            return path
    raise DeviceError(
        "the simulated CUDA device cannot be built",
        expected="the linker iree-lld of the package iree-base-compiler",
        found="no such file",
        next_step="pip install iree-base-compiler",
    )


def _check_platform() -> None:
    if sys.platform != "linux" or platform.architecture()[0] != "64bit":
        raise DeviceError(
            "the simulated CUDA device cannot be built for this system",
            expected="Linux on a 64-bit CPU",
            found=f"{sys.platform}, {platform.machine()}",
            next_step="use local-task or vulkan, or run in a Linux container",
        )


def _package_root() -> Path:
    """Return the folder from which `substitute` is imported."""
    return Path(__file__).resolve().parents[4]
