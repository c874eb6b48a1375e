"""A compiled module, loaded on a device and called with NumPy arrays."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self, SupportsFloat, SupportsInt

import numpy as np

from ..errors import DeviceError, InputError
from .drivers import IREE_ERRORS, extract_reason, launch_error, open_device
from .transfer import is_known, to_device, to_host
from .value_type import Array, Function, ValueType, element_name, parse_declaration, type_of


@dataclass(frozen=True, slots=True)
class Placed:
    """An array whose elements are on the device already, see `Session.put`."""

    array: Array
    view: Any


Value = Array | SupportsFloat | SupportsInt | Placed
_MISSING_DEVICE = re.compile(r'#hal\.device\.target<"([^"]+)"(?:, \[#hal\.executable\.target<"[^"]*", "([^"]+)")?')
# `iree-compile`'s names of the runtime's devices
_COMPILED_FOR = {"local": "local-task or local-sync"}
_OTHER_DEVICE = re.compile(r"HAL device `([^`]*)` not found or unavailable: .*?\bordinal = [1-9]")


class Session:
    """A module on a device, from `with Session(...)` until the block ends.

    `vmfb` is the module's bytes, or its path (then the file is mapped, not read, and must stay as it is).
    `workers` is the number of threads of `local-task`, see `open_device`. `imports` gives functions that the module
    calls: module → name → IREE's calling convention (`0iI_v`) and the function. Raises `DeviceError`.
    """

    def __init__(
        self,
        vmfb: bytes | Path,
        *,
        device: str = "local-task",
        workers: int | None = None,
        imports: Mapping[str, Mapping[str, tuple[str, Callable[..., Any]]]] = MappingProxyType({}),
    ) -> None:
        from iree.runtime import VmContext, VmInstance, create_hal_module

        self.device = device
        self._device: Any = open_device(device, workers=workers)
        self._where = str(vmfb) if isinstance(vmfb, Path) else "module"
        self._instance: Any = VmInstance()
        self._module: Any = _load(self._instance, vmfb)
        try:
            self._context: Any = VmContext(
                self._instance,
                [create_hal_module(self._instance, self._device), *_python_modules(imports), self._module],
            )
        except IREE_ERRORS as error:
            raise _load_error(error, device=device, where=self._where) from error
        self.functions: tuple[Function, ...] = tuple(_functions(self._module))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the module. Results that were returned stay valid."""
        self._context = self._module = self._instance = self._device = None

    def function(self, name: str | None = None) -> Function:
        """Return the function of this name, or the only one. Raises `DeviceError`."""
        names = [function.name for function in self.functions]
        if name is None:
            if len(names) == 1:
                return self.functions[0]
            raise DeviceError(
                "the module has several functions" if names else "the module has no function to call",
                where=self._where,
                expected="the name of one of them: " + _listed(self.functions) if names else "an exported function",
                found="no name" if names else "none",
                next_step="name the function (--function=NAME)" if names else "",
            )
        if name in names:
            return self.functions[names.index(name)]
        close = difflib.get_close_matches(name, names, n=1)
        raise DeviceError(
            f"the module has no function {name!r}",
            where=self._where,
            expected="one of " + _listed(self.functions) if names else "an exported function",
            found=name,
            next_step=f"did you mean {close[0]}?" if close else "",
        )

    def call(self, name: str | None, inputs: Sequence[Value]) -> list[Array]:
        """Call a function (None: the only one); return the results, in their own memory. Raises `DeviceError`."""
        function = self.function(name)
        results = self._invoke(function, self._pack(function, inputs))
        declared = function.results or (None,) * len(results)
        return [self._to_host(results.get_variant(at), declared[at]) for at in range(len(results))]

    def put(self, value: Array) -> Placed:
        """Copy an array to the device, for inputs that many calls share. Raises `DeviceError`."""
        try:
            return Placed(value, to_device(self._device, value))
        except IREE_ERRORS as error:
            raise DeviceError(f"an array cannot be put on {self.device}", details=str(error)) from error

    def bind(self, name: str | None, inputs: Sequence[Value]) -> Callable[[], None]:
        """Return a call with inputs that are already on the device and results that stay there, for benchmarks."""
        function = self.function(name)
        packed = self._pack(function, inputs)

        def invoke() -> None:
            self._invoke(function, packed)

        return invoke

    def _invoke(self, function: Function, packed: Any) -> Any:
        from iree.runtime import VmVariantList

        results = VmVariantList(len(function.results or ()))
        try:
            self._context.invoke(self._module.lookup_function(function.name), packed, results)
        except IREE_ERRORS as error:
            raise launch_error(
                f"function {function}", error, device=self._device, name=self.device, where=self._where
            ) from error
        return results

    def _pack(self, function: Function, inputs: Sequence[Value]) -> Any:
        from iree.runtime import VmVariantList

        values = [value.array if isinstance(value, Placed) else np.asarray(value) for value in inputs]
        declared = function.inputs or tuple(_presumed_type(a, v) for a, v in zip(values, inputs, strict=True))
        if function.inputs is not None and len(values) != len(declared):
            raise InputError(
                f"wrong number of inputs for {function.name}",
                where=self._where,
                expected=f"{len(declared)}: {', '.join(map(str, declared)) or 'none'}",
                found=f"{len(values)}: {', '.join(str(type_of(value)) for value in values) or 'none'}",
            )
        packed = VmVariantList(len(values))
        for at, (value, kind) in enumerate(zip(values, declared, strict=True)):
            self._check_input(function, at, value, kind)
            given = inputs[at]
            if kind.shape is not None and isinstance(given, Placed):
                packed.push_ref(given.view.ref)
            elif kind.shape is not None:
                packed.push_ref(self._to_device(function, at, value).ref)
            elif kind.element in ("f32", "f64"):
                packed.push_float(float(value))
            elif value.dtype.kind in "iub" and (kind.dtype is None or kind.dtype.kind in "iub"):
                packed.push_int(int(value))
            else:  # IREE's virtual machine has no smaller floats: they are passed as their bits
                packed.push_int(int.from_bytes(value.astype(kind.dtype).tobytes(), "little"))
        return packed

    def _to_device(self, function: Function, at: int, value: Array) -> Any:
        try:
            return to_device(self._device, value)
        except IREE_ERRORS as error:
            raise DeviceError(
                f"input {at} of {function.name} cannot be put on {self.device}", where=self._where, details=str(error)
            ) from error

    def _check_input(self, function: Function, at: int, value: Array, kind: ValueType) -> None:
        if not kind.bytes_are_known:
            raise DeviceError(
                f"input {at} of {function.name} is neither a tensor nor a number",
                where=self._where,
                expected="a function of tensors and numbers",
                found=str(kind),
            )
        if not kind.fits(value):
            raise InputError(
                f"input {at} of {function.name} does not fit",
                where=self._where,
                expected=str(kind),
                found=str(type_of(value)),
                next_step=_conversion(value, kind),
            )

    def _to_host(self, value: Any, kind: ValueType | None) -> Array:
        from iree.runtime import HalBufferView, VmRef

        dtype = kind.dtype if kind is not None else None
        if not isinstance(value, VmRef):
            if isinstance(value, int) and dtype is not None and dtype.kind not in "iub":
                bits = (value & 0xFFFFFFFF).to_bytes(4, "little")[: dtype.itemsize]
                return np.frombuffer(bits, dtype).reshape(())
            return np.asarray(value, dtype=dtype)
        view = value.deref(HalBufferView, True)
        if view is None:
            raise DeviceError("a result is neither a tensor nor a number", where=self._where, found=str(kind))
        if not is_known(view):
            raise DeviceError(
                "a result has elements that NumPy arrays cannot hold here",
                where=self._where,
                expected="elements of whole bytes",
                found=str(kind) if kind is not None else f"IREE's element type {int(view.element_type):#x}",
                next_step="run it with iree-run-module, or let the model return another type",
            )
        try:
            result = to_host(self._device, view)
        except IREE_ERRORS as error:
            raise DeviceError(
                f"a result cannot be read from {self.device}", where=self._where, details=str(error)
            ) from error
        # a device has no i1: it comes as bytes if the program does not declare booleans
        return result.astype(np.bool_) if dtype == np.bool_ else result


def run_module(
    vmfb: bytes | Path, *, device: str, function: str | None = None, inputs: Sequence[Value] = ()
) -> list[Array]:
    """Load a module, call one function (None: the only one) and return its results. Raises `DeviceError`."""
    with Session(vmfb, device=device) as session:
        return session.call(function, inputs)


def _python_modules(imports: Mapping[str, Mapping[str, tuple[str, Callable[..., Any]]]]) -> list[Any]:
    from iree.runtime import PyModuleInterface

    modules = []
    for name, functions in imports.items():
        interface: Any = PyModuleInterface(name, lambda module: module)
        for function, (convention, body) in functions.items():
            interface.export(function, convention, lambda _module, *arguments, body=body: body(*arguments))
        modules.append(interface.create())
    return modules


def _load(instance: Any, vmfb: bytes | Path) -> Any:
    from iree.runtime import VmModule

    if isinstance(vmfb, Path) and not vmfb.is_file():
        raise DeviceError(
            "no such module",
            where=str(vmfb),
            expected="a file written by iree-compile or iree-substitute compile",
            found="a folder" if vmfb.is_dir() else "nothing",
        )
    try:
        if isinstance(vmfb, Path):
            return VmModule.mmap(instance, str(vmfb))
        return VmModule.copy_buffer(instance, vmfb)
    except (*IREE_ERRORS, OSError) as error:
        raise DeviceError(
            "not a compiled IREE module",
            where=str(vmfb) if isinstance(vmfb, Path) else "module",
            expected="a vmfb, whole, of this version of IREE",
            found=extract_reason(error),
            next_step="compile the model: iree-substitute compile MODEL -o OUT.vmfb",
        ) from error


def _functions(module: Any) -> list[Function]:
    found = []
    for name in module.function_names:
        # `f$async` is the form with fences of `f`, which waits by itself
        if name.startswith("__") or name.endswith("$async"):
            continue
        declaration = module.lookup_function(name).reflection.get("iree.abi.declaration")
        known = parse_declaration(name, declaration) if declaration else None
        found.append(known or Function(name=name, inputs=None, results=None))
    return found


def _load_error(error: Exception, *, device: str, where: str) -> DeviceError:
    other = _OTHER_DEVICE.search(str(error))
    if other is not None:
        return DeviceError(
            "the module is for several devices",
            where=where,
            expected="a module for one device",
            found=f"one that needs another device, {other[1]}, beside {device}",
            next_step="run it with iree-run-module, which takes several --device",
        )
    match = _MISSING_DEVICE.search(str(error))
    if match is None:
        return DeviceError(f"the module cannot be loaded on {device}", where=where, details=str(error))
    wanted = _COMPILED_FOR.get(match[1], match[1])
    driver = device.partition("://")[0]
    same = driver in (match[1], f"{match[1]}-sim") or (match[1] == "local" and driver.startswith("local-"))
    return DeviceError(
        f"the module was not compiled for {'this ' if same else ''}{device}",
        where=where,
        expected=f"a module for {device}",
        found=f"one for {wanted}" + (f" ({match[2]})" if match[2] else ""),
        next_step=(
            "compile it for this machine's own features"
            if same
            else f"run it with --device={wanted.split()[0]}, or compile it for {device}"
        ),
    )


def _presumed_type(value: Array, given: Value) -> ValueType:
    """Return the type of an argument that is not declared: Python and NumPy numbers are scalars, arrays are tensors."""
    shape = value.shape if isinstance(given, np.ndarray | Placed) else None
    return ValueType(element=element_name(value.dtype), shape=shape)


def _conversion(value: Array, kind: ValueType) -> str:
    if kind.shape is not None and len(kind.shape) == value.ndim and kind.dtype not in (None, value.dtype):
        return f"convert the array: .astype({str(kind.dtype)!r})"
    return ""


def _listed(functions: Sequence[Function]) -> str:
    return ", ".join(function.name for function in functions)
