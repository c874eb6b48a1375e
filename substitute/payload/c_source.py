"""Compiles C and C++ for a CPU kernel: clang and zig make LLVM IR, which is inlined; gcc makes an object file.

A compiler is taken in the order of `find_compilers`. `IREE_SUBSTITUTE_CC` in the environment names another one.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import PayloadError, SourceText
from ..match.target import architecture
from ..model.dispatch import Target
from .programs import find_program, run_program

VARIABLE = "IREE_SUBSTITUTE_CC"
Makes = Literal["llvm-ir", "object"]
LANGUAGES = {"c": ("c", "c17"), "c++": ("c++", "c++17")}
"""Name for `-x` and the standard of each kind."""
_GCC_FEATURES = re.compile(r"avx|avx2|fma|f16c|bmi|bmi2|popcnt|sse3|ssse3|sse4\.[12]|avx512(f|bw|cd|dq|vl|vnni)")
_HOST = re.compile(rb' "(?:target-cpu|target-features|tune-cpu)"="[^"]*"')
"""Attributes by which a front end says which CPU it compiles for: its own. The dispatch's target says that here."""
_ERROR = re.compile(r"^[^\n:]*:(\d+):(\d+): (?:fatal )?error: (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiler:
    """A C and C++ compiler on this machine."""

    name: str
    program: Path
    arguments: tuple[str, ...] = ()
    """Arguments before all others, such as `-m ziglang cc`."""
    makes: Makes


def find_compilers(kind: str) -> list[Compiler]:
    """Return the compilers for a kind (`c` or `c++`), the one that is taken first."""
    own = os.environ.get(VARIABLE, "")
    cplusplus = kind == "c++"
    found: list[Compiler] = []
    if own:
        program = find_program(own)
        if program is not None and os.access(program, os.X_OK):
            found.append(Compiler(name=own, program=program, makes="llvm-ir" if "clang" in program.name else "object"))
        return found
    clang = find_program("clang++" if cplusplus else "clang")
    if clang is not None:
        found.append(Compiler(name=clang.name, program=clang, makes="llvm-ir"))
    if importlib.util.find_spec("ziglang") is not None:
        arguments = ("-m", "ziglang", "c++" if cplusplus else "cc")
        found.append(Compiler(name="ziglang", program=Path(sys.executable), arguments=arguments, makes="llvm-ir"))
    for name in ("g++",) if cplusplus else ("gcc", "cc"):
        program = find_program(name)
        if program is not None:
            found.append(Compiler(name=name, program=program, makes="object"))
            break
    return found


def compile_source(kind: str, path: Path, target: Target, *, llvm: bool | None = None) -> tuple[Compiler, bytes]:
    """Compile a file for a target; return the compiler, and LLVM IR or an object file.

    `llvm`: only a compiler that makes LLVM IR (or one that does not). Raises `PayloadError`.
    """
    compilers = [c for c in find_compilers(kind) if llvm is None or (c.makes == "llvm-ir") is llvm]
    if not compilers:
        raise PayloadError(
            f"nothing here compiles {kind}",
            where=str(path),
            expected=f"clang or gcc on PATH, the package ziglang, or a compiler named by {VARIABLE}",
            found=os.environ.get(VARIABLE) or "none",
            next_step="pip install 'iree-substitute[c]' installs one; `iree-substitute doctor` says what is there",
        )
    compiler = compilers[0]
    with tempfile.TemporaryDirectory(prefix="substitute-c-") as folder:
        output = Path(folder) / ("code.ll" if compiler.makes == "llvm-ir" else "code.o")
        arguments = (*compiler.arguments, *_arguments(kind, compiler, target), "-o", str(output), str(path.resolve()))
        result = run_program(compiler.program, arguments, cwd=Path(folder))
        if result.status != 0 or not output.is_file():
            raise _failed(compiler, path, result.output)
        code = output.read_bytes()
        return compiler, _HOST.sub(b"", code) if compiler.makes == "llvm-ir" else code


def _arguments(kind: str, compiler: Compiler, target: Target) -> list[str]:
    language, standard = LANGUAGES[kind]
    arguments = ["-x", language, f"-std={standard}", "-ffp-contract=on", "-fno-math-errno", "-fno-trapping-math"]
    arguments += ["-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-g0"]
    if kind == "c++":
        arguments += ["-fno-exceptions", "-fno-rtti"]
    if compiler.makes == "llvm-ir":
        # as the front end makes it: the toolkit optimises for the dispatch's CPU, once its sizes are known
        machine = architecture(target)
        if machine and machine != platform.machine():
            system = "linux" if compiler.name == "ziglang" else "linux-gnu"
            arguments += ["-target", f"{machine}-{system}"]
        arguments += ["-S", "-emit-llvm", "-O2", "-Xclang", "-disable-llvm-passes", "-fno-sanitize=all"]
        return arguments
    arguments += ["-c", "-O3", "-fPIC", "-fvisibility=hidden"]
    if architecture(target) == "x86_64":
        features = sorted(f for f in target.features if _GCC_FEATURES.fullmatch(f))
        arguments += [f"-m{feature}" for feature in features]
    return arguments


def _failed(compiler: Compiler, path: Path, output: str) -> PayloadError:
    place = _ERROR.search(output)
    source = None
    if place:
        lines = path.read_text(errors="replace").splitlines()
        line = int(place[1])
        if 0 < line <= len(lines):
            source = SourceText(line=line, column=int(place[2]), text=lines[line - 1])
    return PayloadError(
        f"the source does not compile: {place[3]}" if place else "the source does not compile",
        where=f"{path}:{place[1]}" if place else str(path),
        expected=f"code that {compiler.name} takes",
        next_step="correct the line"
        if place
        else f"see whether {compiler.program} works by itself; {VARIABLE} names another compiler",
        details=output.strip(),
        source=source,
    )
