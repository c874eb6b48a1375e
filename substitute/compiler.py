"""The only user of IREE's compiler: its C API in this process, its importers, and what it says when it fails."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import CompilerError, ModelError, UsageError

if TYPE_CHECKING:
    from iree.compiler import ir

HOST_FLAGS = (
    "--iree-hal-target-device=local",
    "--iree-hal-local-target-device-backends=llvm-cpu",
    "--iree-llvmcpu-target-cpu=host",
)
"""The target of a person who names none: this machine's CPU."""

_TARGET_FLAGS = ("--iree-hal-target-device", "--iree-hal-target-backends", "--iree-hal-local-target-device-backends")
_GLOBAL_FLAGS = ("--mlir-", "--debug", "--print-", "--verify-each", "--x86-", "--enable-")
_TOOL_FLAGS = {
    "--compile-to": "the whole pipeline always runs; `iree-substitute inspect` shows the dispatches",
    "--compile-from": "start from the model itself",
    "--output-format": "the output is always a VM FlatBuffer",
    "--iree-hal-preprocess-executables-with": "kernels are put in here by --kernels, with no process per executable",
}
MINIMUM_OPSET = 17
"""ONNX models of an older operator set are upgraded to this one, which IREE's importer knows best."""

_global_flags_set = False


def with_default_target(flags: Sequence[str]) -> tuple[str, ...]:
    """The flags, with this machine's CPU as the target where they name none."""
    if any(flag.startswith(_TARGET_FLAGS) for flag in flags):
        return tuple(flags)
    return (*flags, *HOST_FLAGS)


def load_model(path: Path) -> bytes | Path:
    """The model as MLIR bytecode, or the file that is MLIR already. Raises `ModelError` for a missing file or one that cannot be imported."""
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
            return _bytecode(module)
    except Exception as error:
        raise ModelError(
            "the ONNX model cannot be imported",
            where=str(path),
            expected=f"an ONNX model that IREE's importer takes (operator set {MINIMUM_OPSET} or what upgrades to it)",
            found=type(error).__name__,
            next_step="check it with onnx.checker; iree-import-onnx gives the importer's own words",
            details=_short(str(error)),
        ) from error


def _bytecode(module: ir.Operation) -> bytes:
    import io

    stream = io.BytesIO()
    module.write_bytecode(stream)
    return stream.getvalue()


def _short(words: str, lines: int = 12) -> str:
    kept = [line[:300] for line in words.strip().splitlines()]
    return "\n".join(kept[:lines] + (["…"] if len(kept) > lines else []))


class Compilation:
    """One model on its way through the compiler, in this process.

    Use as a context manager: `parse`, `run_to(phase)`, change `module`, `finish()`.
    """

    def __init__(self, flags: Sequence[str], *, name: str) -> None:
        from iree.compiler.api import ctypes_dl

        self.name = name
        self._dl: Any = ctypes_dl
        _check_tool_flags(flags)
        _set_global_flags(ctypes_dl, [f for f in flags if f.startswith(_GLOBAL_FLAGS)])
        self._session = ctypes_dl.Session()
        try:
            self._session.set_flags(*(f for f in flags if not f.startswith(_GLOBAL_FLAGS)))
        except ValueError as error:
            self._session.close()
            raise UsageError(
                "the compiler does not take these flags",
                expected="flags of iree-compile",
                found=str(error).strip(),
                next_step="iree-compile --help lists them",
            ) from None
        self._context = self._session.context
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
        """Takes MLIR text or bytecode, or a file of either (which is mapped, not copied). Raises `ModelError` with the parser's words."""
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

    def run(self, start: str, stop: str) -> None:
        """Runs from one phase to another. Raises `CompilerError` with the phase and the compiler's words."""
        if self.module is not None:
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
                found="an error; its words are below",
                next_step="try the same with --no-builtin and without --kernels to see whether IREE fails by itself",
                details=_short(words(), 24),
            )
        if stop != "end":
            self.module = self._invocation.export_module()

    def bytecode(self) -> bytes:
        """The finished VM module. Raises `CompilerError`."""
        output = self._dl.Output.open_membuffer()
        self._write(output)
        return bytes(output.map_memory())

    def write(self, path: Path) -> None:
        """Writes the finished VM module to a file, without a copy in memory. Raises `CompilerError` or `OSError`."""
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

    def _new_invocation(self) -> Any:
        invocation = self._session.invocation()
        invocation.enable_console_diagnostics()
        return invocation


def _check_tool_flags(flags: Sequence[str]) -> None:
    for flag in flags:
        reason = _TOOL_FLAGS.get(flag.partition("=")[0])
        if reason:
            raise UsageError(
                "this flag of iree-compile makes no sense here",
                found=flag,
                expected="flags about the target or the optimisation",
                next_step=reason,
            )


def _set_global_flags(ctypes_dl: Any, flags: Sequence[str]) -> None:
    """Flags of LLVM and MLIR are the process's, and can be set once."""
    global _global_flags_set
    if not flags:
        return
    if _global_flags_set:
        raise UsageError("flags of MLIR and LLVM can be set once per process", found=" ".join(flags))
    _global_flags_set = True
    ctypes_dl._initializeGlobalCL("iree-substitute", *flags)


class _Words:
    """What was caught so far."""

    def __init__(self) -> None:
        self.text = ""

    def __call__(self) -> str:
        return self.text


@contextmanager
def captured_stderr() -> Iterator[_Words]:
    """Catches what the compiler writes to the process's stderr; call what it yields, afterwards, for the text."""
    sys.stderr.flush()
    saved = os.dup(2)
    words = _Words()
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield words
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            file.seek(0)
            words.text = file.read().decode(errors="replace")
