"""The only user of IREE's compiler: its C API in this process, its importers, and its error messages."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import isolate
from .bindings import settle_bindings
from .errors import CompilerError, ModelError, UsageError
from .flags import read_flags

if TYPE_CHECKING:
    from iree.compiler import ir

MINIMUM_OPSET = 17
"""ONNX models of an older operator set are upgraded to this one, which IREE's importer supports best."""

_NAME_A_KERNEL = (
    "IREE does not know what the model calls; a kernel of that name, given with --kernels, puts its definition there"
)

_process_flags: tuple[str, ...] = ()


def is_standard_onnx(name: str) -> bool:
    """Return whether ONNX defines an operator of this name."""
    from onnx import defs

    return any(defs.has(name, domain) for domain in ("", "ai.onnx.ml"))


def _calls_by_name(words: str) -> bool:
    """Return whether the compiler stopped at a call of something that is in no frontend's own set of operators."""
    of_onnx = re.findall(r'"torch\.operator"\([^)]*\) <\{name = "onnx\.(\w+)"', words)
    if of_onnx:
        return not all(map(is_standard_onnx, of_onnx))
    return "'stablehlo.custom_call'" in words or "'torch.operator'" in words


def load_model(path: Path) -> bytes | Path:
    """Return the model as MLIR bytecode, or its file if that is MLIR already.

    Raises `ModelError` for a missing file or one that cannot be imported.
    """
    suffixes = (".mlir", ".mlirbc", ".onnx")
    if path.suffix not in suffixes:
        raise ModelError(
            "this kind of file is not known",
            where=str(path),
            expected=", ".join(suffixes),
            found=path.suffix or "no suffix",
            next_step="export the model to ONNX or to MLIR first",
        )
    if not path.is_file():
        raise ModelError(
            "the model cannot be read",
            where=str(path),
            expected="a file",
            found="a folder" if path.is_dir() else "nothing there",
            next_step="check the path",
        )
    if path.suffix == ".onnx":
        return _import_onnx(path)
    return path


def _import_onnx(path: Path) -> bytes:
    import onnx
    from iree.compiler import ir
    from iree.compiler.extras import onnx_importer

    try:
        model = onnx.load(str(path))
        opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), MINIMUM_OPSET)
        if opset < MINIMUM_OPSET:
            from onnx import version_converter

            model = version_converter.convert_version(model, MINIMUM_OPSET)
        if model.ByteSize() < 2**31:
            onnx.checker.check_model(model)
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        with ir.Context() as context:
            info = onnx_importer.ModelInfo(model)
            module = info.create_module(context=context).operation
            onnx_importer.NodeImporter.define_function(info.main_graph, module).import_all()
            module.verify()
            return bytecode_of(module)
    except Exception as error:
        raise ModelError(
            "the ONNX model cannot be imported",
            where=str(path),
            expected=f"an ONNX model that IREE's importer takes (operator set {MINIMUM_OPSET} or what upgrades to it)",
            found=type(error).__name__,
            next_step="check it with onnx.checker; iree-import-onnx gives the importer's own words",
            details=_short(str(error)),
        ) from error


def bytecode_of(module: ir.Operation) -> bytes:
    """Return the module as MLIR bytecode."""
    import io

    stream = io.BytesIO()
    module.write_bytecode(stream)
    return stream.getvalue()


def _short(words: str, lines: int = 12) -> str:
    """Return the first lines, each cut, without control sequences of a terminal."""
    cut = (line[:300].expandtabs() for line in words.strip().splitlines())
    kept = ["".join(c if c.isprintable() else "." for c in line) for line in cut]
    return "\n".join(kept[:lines] + (["…"] if len(kept) > lines else []))


class Compilation:
    """Compilation of one model in this process.

    Use as a context manager: `parse`, `run_to(phase)`, change `module`, `finish()`.
    """

    def __init__(self, flags: Sequence[str], *, name: str) -> None:
        settle_bindings()
        from iree.compiler.api import ctypes_dl

        self.name = name
        self.flags = read_flags(flags).flags
        self._dl: Any = ctypes_dl
        self._session = _session(ctypes_dl, self.flags)
        self._context = self._session.context
        self._context.allow_unregistered_dialects = False  # the compiler crashes on unregistered operations
        self._invocation: Any = None
        self.module: ir.Operation | None = None
        """The module between phases; may be changed in place."""

    def __enter__(self) -> Compilation:
        self._context.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.module = None
        self._invocation = None
        self._context.__exit__(None, None, None)

    def parse(self, source: bytes | Path) -> None:
        """Parse MLIR text or bytecode, or a file of either (which is mapped, not copied).

        Raises `ModelError` with the parser's message.
        """
        self._invocation = self._new_invocation()
        with captured_stderr() as words:
            if isinstance(source, Path):
                opened = self._dl.Source.open_file(self._session, str(source))
            else:
                buffer = source if source.startswith(b"ML\xefR") else source + b"\0"
                opened = self._dl.Source.wrap_buffer(self._session, buffer, buffer_name=self.name)
            parsed = self._invocation.parse_source(opened)
        if not parsed:
            raise ModelError(
                "the model is not valid MLIR",
                where=self.name,
                expected="a module that IREE's compiler parses",
                found="a parse error",
                next_step="check it with iree-opt",
                details=_short(words()),
            )
        self.module = self._invocation.export_module()
        if not any(True for region in self.module.regions for block in region for _ in block):
            raise ModelError(
                "the model is empty",
                where=self.name,
                expected="a module with at least one function",
                found="nothing",
                next_step="check the path, or export the model again",
            )

    def run(self, start: str, stop: str) -> None:
        """Run from one phase to another. Raises `CompilerError` with the phase and the compiler's message."""
        names: list[str] = []
        if self.module is not None:
            names = _export_names(self.module)
            self._invocation = self._new_invocation()
            self._invocation.import_module(self.module)
        library = self._dl._dylib
        for call, phase in (("From", start), ("To", stop)):
            function = getattr(library, f"ireeCompilerInvocationSetCompile{call}Phase")
            function.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
            function(self._invocation._inv_p, phase.encode())
        with captured_stderr() as words:
            done = self._invocation.execute()
        if not done:
            raise CompilerError(
                "IREE's compiler failed",
                where=self.name,
                expected=f"the phases after {start} up to {stop}" if start != "start" else f"the phases up to {stop}",
                found=_found(words(), names),
                next_step=_NAME_A_KERNEL
                if start == "start" and _calls_by_name(words())
                else "try the same with --no-builtin and without --kernels to see whether IREE alone fails"
                if start != "start"
                else f"no kernel has been put in yet; compare with `iree-compile {self.name} {' '.join(self.flags)}`",
                details=_short(words(), 24),
            )
        if stop != "end":
            self.module = self._invocation.export_module()

    def bytecode(self) -> bytes:
        """Return the finished VM module. Raises `CompilerError`."""
        output = self._dl.Output.open_membuffer()
        self._write(output)
        return bytes(output.map_memory())

    def write(self, path: Path) -> None:
        """Write the finished VM module to a file, without a copy in memory. Raises `CompilerError` or `OSError`."""
        try:
            output = self._dl.Output.open_file(str(path))
        except ValueError as error:
            raise OSError(0, str(error)) from None
        self._write(output)
        output.keep()
        output.close()

    def _write(self, output: Any) -> None:
        failure = ""
        with captured_stderr() as words:
            try:
                self._invocation.output_vm_bytecode(output)
            except ValueError as error:
                failure = str(error)
        if failure:
            raise CompilerError(
                "IREE's compiler could not write the module", where=self.name, found=failure, details=_short(words())
            )

    def translate(self, executable: ir.Operation) -> bool:
        """Compile one executable alone, down to its binaries, without changing it; return False if it has an error."""
        from iree.compiler import ir

        with ir.Location.unknown():
            module = ir.Module.create()
            alone = executable.clone(ip=ir.InsertionPoint(module.body)).operation
        alone.attributes["sym_visibility"] = ir.StringAttr.get("public")  # nothing else would keep a reference
        invocation = self._new_invocation()
        invocation.import_module(module.operation)
        return bool(invocation.execute(self._dl.PipelineType.IREE_COMPILER_PIPELINE_HAL_EXECUTABLE))

    def _new_invocation(self) -> Any:
        invocation = self._session.invocation()
        invocation.enable_console_diagnostics()
        return invocation


def _export_names(module: ir.Operation) -> list[str]:
    """Return the names of all dispatches of a module that has any."""
    from .read.module import children, symbol_name

    return [
        symbol_name(export)
        for executable in children(module)
        if executable.name == "hal.executable"
        for variant in children(executable)
        for export in children(variant)
        if export.name == "hal.executable.export"
    ]


def _found(words: str, names: Sequence[str]) -> str:
    # the linker names a function where it says what it lacks; the operation that MLIR prints then names all of a module
    linked = set(re.findall(r"\.o:\((?:\.text\.)?([^)]+)\)", words))
    named = [name for name in names if name in linked] or [
        name for name in names if re.search(rf'[@"]{re.escape(name)}\b', words)
    ]
    if len(named) == 1:
        return f"an error in {named[0]}; its words are below"
    return "an error; its words are below"


def _session(ctypes_dl: Any, flags: Sequence[str]) -> Any:
    """Return a session with these flags. Those that only exist per process are set for it, once."""
    session = ctypes_dl.Session()
    own, left = [], []
    for flag in flags:
        failure = ""
        with captured_stderr() as words:
            try:
                session.set_flags(flag)
                own.append(flag)
            except ValueError as error:
                failure = str(error)
        if "option not found" in failure:
            left.append(flag)
        elif failure:
            raise _bad_flags([flag], details=_short(words()))
    levels = _levels(own)
    if left:
        session.close()
        _set_process_flags(ctypes_dl, (*left, *levels))
        session = ctypes_dl.Session()  # a new session may read what the process's flags change
        session.set_flags(*own)
    elif _process_flags and levels != _levels(_process_flags):
        session.close()
        raise _set_already(levels)
    return session


def _levels(flags: Sequence[str]) -> tuple[str, ...]:
    """Return the optimization levels among flags.

    Sessions have their own, but in a process with flags IREE takes only the process's (`CompilerDriver.cpp`).
    """
    return tuple(flag for flag in flags if "opt-level" in flag.partition("=")[0])


def _set_process_flags(ctypes_dl: Any, flags: tuple[str, ...]) -> None:
    """Set flags for the whole process: sessions have their own, but MLIR's, LLVM's and passes' flags are global."""
    global _process_flags
    known = _flags_of_the_process()
    unknown = [flag for flag in flags if flag.partition("=")[0].lstrip("-") not in known]
    if unknown:
        raise _bad_flags(unknown)
    if _process_flags and _process_flags != flags:
        raise _set_already(flags)
    if not _process_flags:
        _process_flags = flags
        ctypes_dl._initializeGlobalCL("iree-substitute", *flags)


def _set_already(flags: Sequence[str]) -> UsageError:
    return UsageError(
        "these flags can be set once per process",
        expected=" ".join(_process_flags),
        found=" ".join(flags) or "no optimization level",
        next_step="use `isolate=True`, or the command line",
    )


def _flags_of_the_process() -> frozenset[str]:
    """Return the names of all flags that the compiler's library takes for a whole process.

    It prints them and ends the process, so another process asks it; an unknown flag would end this one.
    """
    ask = "from iree.compiler.api import ctypes_dl; ctypes_dl._initializeGlobalCL('x', '--help-hidden')"
    try:
        done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CompilerError(
            "the compiler cannot be asked for its flags",
            where=sys.executable,
            found=str(error),
            next_step="reinstall iree-base-compiler",
        ) from error
    return frozenset(re.findall(r"^\s+--?([A-Za-z0-9_][A-Za-z0-9_.-]*)", done.stdout, re.MULTILINE))


def _bad_flags(found: Sequence[str], details: str = "") -> UsageError:
    return UsageError(
        "the compiler does not take these flags",
        expected="flags of iree-compile",
        found=" ".join(found),
        next_step="iree-compile --help lists them",
        details=details,
    )


class _Words:
    """Output captured so far."""

    def __init__(self) -> None:
        self.text = ""

    def __call__(self) -> str:
        return self.text


@contextmanager
def captured_stderr() -> Iterator[_Words]:
    """Capture the compiler's output to the process's stderr; call the yielded object, afterwards, for the text."""
    sys.stderr.flush()
    words = _Words()
    if isolate.stderr_is_kept:
        # the parent reads the file if this process crashes
        start = os.lseek(2, 0, os.SEEK_CUR)
        try:
            yield words
        finally:
            words.text = os.pread(2, os.lseek(2, 0, os.SEEK_CUR) - start, start).decode(errors="replace")
        return
    saved = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield words
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            file.seek(0)
            words.text = file.read().decode(errors="replace")
