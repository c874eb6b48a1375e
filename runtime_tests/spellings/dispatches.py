"""The dispatches that IREE forms of a model, kept by content so that a second measurement compiles nothing."""

from __future__ import annotations

import hashlib
import multiprocessing
import pickle
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import substitute
from substitute.model.dispatch import Dispatch
from substitute.model.kernel import Kernel

TARGETS = {
    "llvm-cpu": ("--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu"),
    "vulkan-spirv": ("--iree-hal-target-device=vulkan",),
    "cuda": ("--iree-hal-target-device=cuda", "--iree-cuda-target=sm_80"),
}
"""Flags of each backend for which dispatches are formed; no device is needed."""
_MODELS_PER_PROCESS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelling:
    """A model file: `OPERATION-FRONTEND-NUMBER-SETTING.mlir`."""

    path: Path

    @property
    def operation(self) -> str:
        return self.path.stem.split("-")[0]

    @property
    def frontend(self) -> str:
        return self.path.stem.split("-")[1]

    @property
    def element(self) -> str:
        return "f32" if self.setting == "dynamic" else self.setting

    @property
    def setting(self) -> str:
        return self.path.stem.split("-")[3]


def read_all(
    spellings: Sequence[Spelling], kernels: Mapping[str, Sequence[Kernel]], folder: Path, level: str, target: str
) -> Iterator[tuple[Spelling, list[Dispatch] | str]]:
    """Yield each model's dispatches, or the compiler's words where there are none.

    A dispatch is formed of what the kernel of the operation takes as a whole, as it is for a kernel of a person's own;
    `kernels` are those by operation and element type.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pool = _new_pool()
    code = _digest_of_code()
    for spelling in spellings:
        own = kernels[f"{spelling.operation} {spelling.element}"]
        forms = pickle.dumps([kernel.forms for kernel in own])
        asked = _name(level, target).encode() + forms + code
        digest = hashlib.sha256(spelling.path.read_bytes() + asked).hexdigest()[:24]
        kept = folder / f"{digest}.pickle"
        if not kept.is_file():
            try:
                kept.write_bytes(pool.submit(_read, spelling.path, own, level, target).result())
            except BrokenProcessPool:
                kept.write_bytes(pickle.dumps("IREE's compiler crashed"))
                pool = _new_pool()
        yield spelling, pickle.loads(kept.read_bytes())
    pool.shutdown()


def _new_pool() -> ProcessPoolExecutor:
    # (the compiler's contexts are not given back)
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(max_workers=1, mp_context=context, max_tasks_per_child=_MODELS_PER_PROCESS)


def _digest_of_code() -> bytes:
    """Return the digest of what decides which dispatches are formed: the reader, the laws, and the regions."""
    root = Path(substitute.__file__).parent
    files = sorted(p for room in ("model", "read", "match", "rewrite") for p in (root / room).rglob("*.py"))
    return hashlib.sha256(b"".join(p.read_bytes() for p in files)).digest()


def _name(level: str, target: str) -> str:
    return level if target == "llvm-cpu" else f"{level} {target}"


def _read(path: Path, kernels: Sequence[Kernel], level: str, target: str) -> bytes:
    from substitute.compiler import Compilation, load_model
    from substitute.errors import SubstituteError
    from substitute.frontend import form_dispatches
    from substitute.read.module import read_module

    flags = (*TARGETS[target], f"--iree-opt-level={level}")
    found: list[Dispatch] | str
    try:
        with Compilation(flags, name=path.name) as compilation:
            compilation.parse(load_model(path))
            form_dispatches(compilation, kernels)
            assert compilation.module is not None
            found = [site.dispatch for site in read_module(compilation.module)]
    except SubstituteError as error:
        found = f"{error} {getattr(error, 'details', '')}".strip()
    return pickle.dumps(found)
