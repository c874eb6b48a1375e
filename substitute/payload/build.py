"""From a substitution to a verified payload: the one place that knows every kind."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import traceback
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from ..catalog.constraints import parse_size
from ..errors import PayloadError, SubstituteError
from ..match.devices import features_asked, promised
from ..match.frozen import spec_values
from ..model.dispatch import Dispatch
from ..model.index import Index, substitute
from ..model.kernel import Kernel
from ..model.plan import Generated, Payload, Request, Substitution
from ..rewrite.bind import bind
from .attached import check_objects, check_spec_ids, resolve_constants

GENERATOR_KINDS = frozenset({"llvm-generator", "glsl-generator"})
Count = tuple[Index, Index, Index]


def build(substitution: Substitution) -> tuple[Request, Payload]:
    """Makes the payload of a substitution, verified against the dispatch's layout. Raises `PayloadError`."""
    substitution = for_its_device(substitution)
    request = bind(substitution, entry=entry_name(substitution))
    kernel = substitution.kernel
    linked = check_objects(kernel, substitution.dispatch.target) if kernel.payload.objects else frozenset()
    payload = _build(request, linked)
    if kernel.executable_constants:
        payload = replace(payload, constants=resolve_constants(request))
        check_spec_ids(payload, str(kernel.payload.path))
    return request, replace(payload, objects=kernel.payload.objects)


def _build(request: Request, linked: frozenset[str]) -> Payload:
    """By kind; `linked` are the functions that objects beside the code define."""
    kind = request.substitution.kernel.payload.kind
    if kind == "llvm-generator":
        return _llvm_generator(request, linked)
    if kind in ("llvm-ir", "llvm-bitcode"):
        return _llvm_file(request, linked)
    if kind == "object":
        return _object(request, linked)
    if kind in ("ptx", "cuda"):
        return _ptx(request)
    if kind == "spirv":
        return _spirv(request)
    if kind in ("llvm-dialect", "spirv-dialect"):
        return _dialect(request)
    if kind == "iree":
        return _own_code(request)
    return _glsl(request)


def for_its_device(substitution: Substitution) -> Substitution:
    """The same with the target that the code may count on: what the device is asked is known to be there."""
    if substitution.rule is None:
        return substitution
    dispatch = substitution.dispatch
    target = promised(dispatch.target, substitution.rule)
    return replace(substitution, dispatch=replace(dispatch, target=target))


def entry_name(substitution: Substitution) -> str:
    """The name that the payload's entry point gets.

    On Vulkan it is the export's as it stands; on CUDA IREE replaces every character that PTX does not know. On the
    CPU it is linked to a shim, possibly with others, so that it has to be unique; an object file serves all dispatches
    of its kernel.
    """
    name, kernel = substitution.dispatch.name, substitution.kernel
    if kernel.payload.kind == "object":
        return object_symbol(kernel, kernel.payload.entry)
    match substitution.dispatch.target.backend:
        case "vulkan-spirv":
            return name
        case "llvm-cpu":
            return sanitized(f"{name}_{kernel.name}")
        case _:
            return sanitized(name)


def object_symbol(kernel: Kernel, symbol: str) -> str:
    """What a symbol of a kernel's object file is called in the module: two kernels may use the same name."""
    unique = hashlib.sha256(kernel.name.encode()).hexdigest()[:8]
    return f"{sanitized(symbol)}_{sanitized(kernel.name)}_{unique}"


def sanitized(symbol: str) -> str:
    """A symbol with an underscore in the place of every character but letters, digits and underscores."""
    return re.sub(r"[^A-Za-z0-9_]", "_", symbol)


def accepts(kernel: Kernel, dispatch: Dispatch) -> str:
    """Empty if the kernel's generator can make code for this dispatch, else why not.

    A generator may define `can_generate(program) -> str`; without it, it has to take whatever matches. PTX with slots
    is asked whether they can be filled.
    """
    if kernel.payload.kind == "ptx" and kernel.slots and dispatch.program is not None:
        from .ptx.slots import refusal

        return refusal(kernel, _read(kernel).decode(errors="replace"), dispatch.program)
    if kernel.payload.kind not in GENERATOR_KINDS or dispatch.program is None:
        return ""
    function = getattr(load_generator(kernel), "can_generate", None)
    return str(function(dispatch.program)) if function else ""


def load_generator(kernel: Kernel) -> ModuleType:
    """The module of a generator kernel. Raises `PayloadError` with the place of what is wrong in it."""
    path = kernel.payload.path.resolve()
    return _load(path, changed_at(path))


def changed_at(path: Path) -> int:
    """The time in ns at which a file was last changed, so that code is loaded anew after that; 0 if it is not there."""
    return path.stat().st_mtime_ns if path.exists() else 0


@lru_cache(maxsize=1024)
def _load(path: Path, _changed_at: int) -> ModuleType:
    name = f"substitute_kernel_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _generator_failed("the generator cannot be loaded", path, error) from error
    if not callable(getattr(module, "generate", None)):
        raise PayloadError(
            "the generator has no function `generate`",
            where=str(path),
            expected="def generate(request: Request) -> str or Generated",
            found=", ".join(n for n in vars(module) if not n.startswith("_")) or "an empty module",
            next_step="`iree-substitute new` writes an example",
        )
    return module


def _generator_failed(what: str, path: Path, error: Exception) -> PayloadError:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    line = f":{frames[-1].lineno}" if frames else ""
    if isinstance(error, SyntaxError) and error.lineno:
        line = f":{error.lineno}"
    return PayloadError(
        what,
        where=f"{path}{line}",
        expected="code that runs",
        found=f"{type(error).__name__}: {error}",
        next_step="mend the generator; its own traceback is shown with --debug",
    )


def _generate(request: Request) -> Generated:
    kernel = request.substitution.kernel
    module = load_generator(kernel)
    try:
        result: Any = module.generate(request)
    except SubstituteError:
        raise
    except Exception as error:
        where = request.substitution.dispatch.name
        raise _generator_failed(f"the generator failed for {where}", kernel.payload.path, error) from error
    if isinstance(result, Generated):
        return result
    return Generated(
        text=str(result), workgroup_count=_launch_count(request), workgroup_size=kernel.launch.workgroup_size
    )


def _launch_count(request: Request) -> Count:
    """The manifest's workgroup count, over the dispatch's own sizes."""
    kernel, match = request.substitution.kernel, request.match
    texts = kernel.launch.workgroup_count
    if texts is None:
        raise PayloadError(
            f"nobody says how many workgroups {kernel.name} needs",
            where=str(kernel.folder / "kernel.toml"),
            expected="[launch] workgroup_count, or a generator that returns Generated",
            found="neither",
            next_step='add workgroup_count = ["…", "1", "1"]',
        )
    sizes = {axis.name: axis.size for axis in match.axes}
    x, y, z = (substitute(parse_size(text, sizes, where=str(kernel.folder)), sizes) for text in texts)
    return x, y, z


def _dialect(request: Request) -> Payload:
    from .dialect import check_dialect

    kernel = request.substitution.kernel
    data = _read(kernel)
    check_dialect(data.decode(errors="replace"), request, str(kernel.payload.path))
    frozen = _spec_constants(request) if kernel.payload.kind == "spirv-dialect" else {}
    return Payload(
        kind=kernel.payload.kind, data=data, entry=request.entry, workgroup_count=_launch_count(request),
        workgroup_size=kernel.launch.workgroup_size, shared_memory_bytes=kernel.launch.shared_memory_bytes,
        summary=kernel.payload.path.name, frozen=tuple(sorted(frozen.items())),
    )  # fmt: skip


def _own_code(request: Request) -> Payload:
    """IREE compiles the body as it is, with what the kernel sets."""
    kernel = request.substitution.kernel
    changes = [f"{len(kernel.payload.objects)} linked objects"] if kernel.payload.objects else []
    changes += ["compilation_info"] if kernel.launch.compilation_info else []
    changes += ["a workgroup count"] if kernel.launch.workgroup_count else []
    return Payload(
        kind="iree", data=b"", entry=request.entry,
        workgroup_count=_launch_count(request) if kernel.launch.workgroup_count else None,
        compilation_info=kernel.launch.compilation_info, summary=f"IREE's own code with {', '.join(changes)}",
    )  # fmt: skip


def _llvm_generator(request: Request, linked: frozenset[str]) -> Payload:
    from .llvm.optimize import to_bitcode

    generated = _generate(request)
    dispatch = request.substitution.dispatch
    data = to_bitcode(
        generated.text, target=dispatch.target, entry=request.entry, finished=generated.finished, linked=linked
    )
    return Payload(
        kind="llvm-bitcode", data=_with_asked_features(data, request), entry=request.entry,
        workgroup_count=generated.workgroup_count,
        summary=generated.summary or "generated LLVM IR",
    )  # fmt: skip


def _with_asked_features(bitcode: bytes, request: Request) -> bytes:
    """What the device is asked for may be used in the payload, though not in the rest of the executable."""
    from .llvm.attributes import with_features

    rule = request.substitution.rule
    return with_features(bitcode, features_asked(rule), request.entry) if rule else bitcode


def _read(kernel: Kernel) -> bytes:
    try:
        return kernel.payload.path.read_bytes()
    except OSError as error:
        raise PayloadError(
            "the payload cannot be read", where=str(kernel.payload.path), expected="a file",
            found=error.strerror or str(error), next_step="check `file` in kernel.toml",
        ) from None  # fmt: skip


def _check_kind(kernel: Kernel, data: bytes, expected: str) -> None:
    from .sniff import sniff

    found = sniff(data)
    if not found.startswith(expected):
        raise PayloadError(
            f"the payload of {kernel.name} is not what kernel.toml says",
            where=str(kernel.payload.path),
            expected=f"{expected} (kind = {kernel.payload.kind})",
            found=found,
            next_step="correct `kind` or `file` in [payload]",
        )


def _llvm_file(request: Request, linked: frozenset[str]) -> Payload:
    from .llvm.optimize import parse_bitcode, parse_ir, to_bitcode
    from .llvm.signature import check_signature

    kernel = request.substitution.kernel
    data = _read(kernel)
    where = str(kernel.payload.path)
    if kernel.payload.kind == "llvm-ir":
        _check_kind(kernel, data, "LLVM IR")
        module = parse_ir(data.decode(), where)
    else:
        _check_kind(kernel, data, "LLVM bitcode")
        module = parse_bitcode(data, where)
    check_signature(module, request, kernel.payload.entry, where)
    module.get_function(kernel.payload.entry).name = request.entry
    target = request.substitution.dispatch.target
    bitcode = to_bitcode(module, target=target, entry=request.entry, linked=linked)
    return Payload(
        kind="llvm-bitcode", data=_with_asked_features(bitcode, request), entry=request.entry,
        workgroup_count=_launch_count(request),
        summary=f"{kernel.payload.path.name}, optimised for the target",
    )  # fmt: skip


def _object(request: Request, linked: frozenset[str]) -> Payload:
    from ..match.target import architecture
    from .rename import rename_symbols
    from .sniff import RESOLVED, verify_object

    kernel = request.substitution.kernel
    data = _read(kernel)
    _check_kind(kernel, data, "ELF object")
    machine = architecture(request.substitution.dispatch.target)
    name, resolved = str(kernel.payload.path), RESOLVED | linked
    verify_object(data, entry=kernel.payload.entry, machine=machine, name=name, resolved=resolved)
    renamed = rename_symbols(data, lambda symbol: object_symbol(kernel, symbol))
    return Payload(
        kind="object", data=renamed, entry=request.entry, workgroup_count=_launch_count(request),
        summary=kernel.payload.path.name,
    )  # fmt: skip


def _ptx(request: Request) -> Payload:
    from ..match.target import architecture
    from .ptx import bind_ptx, cuda_to_ptx
    from .sniff import sniff

    kernel, arch = request.substitution.kernel, architecture(request.substitution.dispatch.target)
    data, name = _read(kernel), str(kernel.payload.path)
    if kernel.payload.kind == "cuda":
        text = cuda_to_ptx(data.decode(errors="replace"), arch=arch, name=name)
        name = f"{name}, compiled"
    else:
        if sniff(data) != "text":  # of a text the parser says more
            _check_kind(kernel, data, "PTX")
        text = data.decode(errors="replace")
    bound, facts = bind_ptx(request, text, arch=arch, name=name)
    return Payload(
        kind="ptx", data=bound.encode(), entry=request.entry, workgroup_count=_launch_count(request),
        workgroup_size=kernel.launch.workgroup_size or facts.workgroup_size,
        shared_memory_bytes=kernel.launch.shared_memory_bytes, summary=f"{kernel.payload.path.name}: {facts.summary}",
    )  # fmt: skip


def _spirv(request: Request) -> Payload:
    from .spirv import adapt

    kernel, dispatch = request.substitution.kernel, request.substitution.dispatch
    data = _read(kernel)
    _check_kind(kernel, data, "SPIR-V")
    bindings_count = len(dispatch.layout.bindings) if kernel.abi == "raw" else len(request.parameters)
    _verify_spirv(data, request, kernel.payload.entry, bindings_count, kernel.launch.workgroup_size)
    bindings = {i: i for i in range(len(dispatch.layout.bindings))}
    if kernel.abi == "canonical":
        bindings = {i: p.operand.binding for i, p in enumerate(request.parameters)}
    adapted = adapt(
        data,
        entry=kernel.payload.entry,
        export_name=request.entry,
        bindings=bindings,
        spec_constants=_spec_constants(request),
    )
    return Payload(
        kind="spirv", data=adapted, entry=request.entry, workgroup_count=_launch_count(request),
        workgroup_size=kernel.launch.workgroup_size, summary=kernel.payload.path.name,
    )  # fmt: skip


def _verify_spirv(
    data: bytes, request: Request, entry: str, bindings: int, workgroup_size: tuple[int, int, int] | None
) -> None:
    from .spirv import capabilities_of, limits_of, verify

    dispatch = request.substitution.dispatch
    verify(
        data,
        entry=entry,
        bindings=bindings,
        push_constants=dispatch.layout.constants,
        workgroup_size=workgroup_size,
        capabilities=capabilities_of(dispatch.target),
        limits=limits_of(dispatch.target),
        name=str(request.substitution.kernel.payload.path),
    )


def _spec_constants(request: Request) -> dict[int, int]:
    """What each specialization constant is frozen to; the match has made sure that all are numbers."""
    values = {}
    for number, name, value in spec_values(request.substitution.kernel, request.match):
        assert isinstance(value, int), name
        values[number] = value
    return values


def _glsl(request: Request) -> Payload:
    from .glsl import compile_glsl, features_of
    from .spirv import adapt

    kernel, dispatch = request.substitution.kernel, request.substitution.dispatch
    if kernel.payload.kind == "glsl-generator":
        generated = _generate(request)
    else:
        from .glsl import canonical_source

        generated = Generated(
            text=canonical_source(request, _read(kernel).decode(errors="replace")),
            workgroup_count=_launch_count(request),
            workgroup_size=kernel.launch.workgroup_size,
            summary=f"{kernel.payload.path.name}, compiled for this dispatch",
        )
    vulkan = features_of(dispatch.target).vulkan
    binary = compile_glsl(generated.text, name=str(kernel.payload.path), vulkan=vulkan)
    _verify_spirv(binary, request, "main", len(dispatch.layout.bindings), generated.workgroup_size)
    adapted = adapt(binary, entry="main", export_name=request.entry, bindings={}, spec_constants={})
    return Payload(
        kind="spirv", data=adapted, entry=request.entry, workgroup_count=generated.workgroup_count,
        workgroup_size=generated.workgroup_size, summary=generated.summary or "generated GLSL",
    )  # fmt: skip
