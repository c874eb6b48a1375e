"""One file of tests, compiled by stock IREE and with the built-in kernels, each of its functions run in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from typing import Any, Literal

from runtime_tests.iree_e2e.build_files import flags_of
from runtime_tests.iree_e2e.check import Checks, check_module
from substitute.device.drivers import open_device
from substitute.errors import CompilerCrash, SubstituteError
from substitute.isolate import Call, isolated
from substitute.pipeline import compile_model
from substitute.progress import Progress, silent
from substitute.validate.targets import flags_for

Which = Literal["stock", "ours"]
BOTH: tuple[Which, ...] = ("stock", "ours")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """Outcome of one file on one device."""

    path: str
    refused: dict[str, str] = field(default_factory=dict)
    """By `stock` and `ours`: why it was not compiled, or at what the process died."""
    functions: dict[str, dict[str, str]] = field(default_factory=dict)
    """By `stock` and `ours`, then by function: what failed; empty if it passed."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Processor time of compiling, where both compile."""
    substituted: int = 0
    """Dispatches that a kernel took."""


def run_files(paths: Sequence[Path], device: str, flags: Sequence[str] = ()) -> list[FileResult]:
    """Compile and run files in one child process; those that crash it are repeated in separate ones."""
    arguments = {"paths": tuple(paths), "device": device, "flags": tuple(flags)}
    try:
        found: list[FileResult] = isolated(Call(run_here, {**arguments, "which": BOTH}), silent)
        return found
    except CompilerCrash:
        if len(paths) > 1:
            return [result for path in paths for result in run_files([path], device, flags)]
    refused: dict[str, str] = {}
    functions: dict[str, dict[str, str]] = {}
    for which in BOTH:
        try:
            (alone,) = isolated(Call(run_here, {**arguments, "which": (which,)}), silent)
            refused |= alone.refused
            functions |= alone.functions
        except CompilerCrash as crash:
            refused[which] = f"the process died in {crash.where}: {crash.found}"
    return [FileResult(path=str(paths[0]), refused=refused, functions=functions)]


def run_here(
    *, paths: Sequence[Path], device: str, flags: Sequence[str], which: Sequence[Which], progress: Progress
) -> list[FileResult]:
    """The same in this process."""
    common = flags_for(device, flags)
    _warm_up(common)
    return [_run_one(path, device, (*common, *flags_of(path, device)), which, progress) for path in paths]


def _run_one(path: Path, device: str, flags: Sequence[str], which: Sequence[Which], progress: Progress) -> FileResult:
    refused: dict[str, str] = {}
    functions: dict[str, dict[str, str]] = {}
    seconds: dict[str, float] = {}
    substituted = 0
    for one in which:
        progress(f"compile {one}", None)
        start = process_time()
        try:
            # unchecked: a wrong kernel has to be found here, not left out
            result = compile_model(path, substitute=one == "ours", flags=flags, check=False)
        except SubstituteError as error:
            refused[one] = f"{error.what}: {_first_error(error.details or error.found)}"
            continue
        seconds[one] = process_time() - start
        if one == "ours":
            substituted = len(result.plan.substitutions)
        progress(f"run {one}", None)
        functions[one] = call_all(result.vmfb, device)
    return FileResult(
        path=str(path),
        refused=refused,
        functions=functions,
        seconds=seconds if len(seconds) == 2 else {},
        substituted=substituted,
    )


WARM = """func.func @warm(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = arith.addf %x, %x : tensor<4xf32>
  return %y : tensor<4xf32>
}
"""


def _warm_up(flags: Sequence[str]) -> None:
    """Loads the compiler and the catalog, which a process does once, before anything is timed."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "warm.mlir"
        path.write_text(WARM)
        for substitute in (False, True):
            compile_model(path, substitute=substitute, flags=flags, check=False)


def _first_error(words: str) -> str:
    line = next((line for line in words.splitlines() if "error:" in line), words.strip().partition("\n")[0])
    return line.rpartition("error:")[2].strip()[:200]


def call_all(vmfb: bytes, device: str) -> dict[str, str]:
    """Every function without arguments, in order, and what failed in it."""
    from iree.runtime import VmContext, VmInstance, VmModule, VmVariantList, create_hal_module

    opened = open_device(device)
    instance = VmInstance()
    found: dict[str, str] = {}
    try:
        module = VmModule.copy_buffer(instance, vmfb)
        context = VmContext(instance, [create_hal_module(instance, opened), check_module(opened), module])
    except (RuntimeError, ValueError) as error:
        return {"(load)": _short(error)}
    for name in module.function_names:
        if name.startswith("__") or name.endswith("$async"):
            continue
        function = module.lookup_function(name)
        if _takes_arguments(function):
            continue
        Checks.failure = ""
        try:
            context.invoke(function, VmVariantList(0), VmVariantList(1))
            found[name] = ""
        except (RuntimeError, ValueError, AssertionError) as error:
            found[name] = Checks.failure or _short(error)
    return found


def _takes_arguments(function: Any) -> bool:
    declared = function.reflection.get("iree.abi.declaration", "")
    return "(" in declared and not declared.partition("(")[2].startswith(")")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
