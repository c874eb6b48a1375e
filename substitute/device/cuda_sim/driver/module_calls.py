"""Driver functions on modules and their entries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from . import codes
from .architectures import MOST_THREADS, PLAIN_SHARED_BYTES
from .codes import DriverError
from .driver import Driver
from .objects import Function, Module

_MOST_IMAGE_BYTES = 64 << 20
_LONGEST_NAME = 65536
_ELF, _FATBIN = b"\x7fELF", b"\x50\xed\x55\xba"
_INFO_LOG, _INFO_SIZE, _ERROR_LOG, _ERROR_SIZE = 3, 4, 5, 6
"""Options of the PTX compiler: buffers for its messages, and their sizes."""
_MAX_DYNAMIC_SHARED, _PREFERRED_CARVEOUT = 8, 9


def load(driver: Driver, target: int, image: int, count: int = 0, options: int = 0, values: int = 0) -> None:
    """`cuModuleLoadData` and `cuModuleLoadDataEx`: PTX only."""
    from ..faults import LoadError
    from ..program import load as load_program

    context = driver.current()
    logs = dict(_options(driver, count, options, values))
    try:
        text = _read_ptx(driver, image)
        # a copy: programs are cached by text, but each module has variables of its own
        program = replace(load_program(text, context.architecture.accepted))
    except LoadError as error:
        _log(driver, logs, str(error))
        raise DriverError(error.code, str(error)) from error
    except DriverError as error:
        _log(driver, logs, error.words)
        raise
    driver.client.write_word(target, driver.handles.add(Module(context=context, program=program)))


def _options(driver: Driver, count: int, options: int, values: int) -> Iterator[tuple[int, int]]:
    for at in range(count):
        yield driver.client.read_int(options + 4 * at), driver.client.read_word(values + 8 * at)


def _log(driver: Driver, options: dict[int, int], words: str) -> None:
    """Write the compiler's messages to the caller's buffers."""
    target, size_bytes = options.get(_ERROR_LOG, 0), options.get(_ERROR_SIZE, 0) & 0xFFFFFFFF
    if target and size_bytes:
        driver.client.write(target, words.encode()[: size_bytes - 1] + b"\0")


def _read_ptx(driver: Driver, image: int) -> str:
    start = driver.client.read(image, 4)
    if start in (_ELF, _FATBIN):
        kind = "a cubin" if start == _ELF else "a fat binary"
        raise DriverError(
            codes.INVALID_IMAGE,
            f"the image is {kind}: machine code, which the simulated device does not execute; PTX is",
        )
    data = driver.client.read_string(image, most_bytes=_MOST_IMAGE_BYTES)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise DriverError(codes.INVALID_IMAGE, f"the image is no text: byte {error.start}") from error
    if ".version" not in text:
        raise DriverError(codes.INVALID_IMAGE, "the image is neither PTX (it has no .version) nor machine code")
    return text


def unload(driver: Driver, handle: int) -> None:
    """`cuModuleUnload`."""
    driver.find(handle, Module).program.unload(driver.memory)
    driver.handles.remove(handle)


def function(driver: Driver, target: int, handle: int, name: int) -> None:
    """`cuModuleGetFunction`."""
    module = driver.find(handle, Module)
    text = driver.client.read_string(name, most_bytes=_LONGEST_NAME).decode(errors="replace")
    if text not in module.program.entries:
        there = ", ".join(module.program.entries) or "none"
        raise DriverError(codes.NOT_FOUND, f"the module has no entry {text!r}; it has: {there}")
    from ..faults import LoadError

    try:
        entry = module.program.entries[text]
    except LoadError as error:
        raise DriverError(error.code, str(error)) from error
    most = max(0, PLAIN_SHARED_BYTES - entry.static_shared_bytes)
    made = Function(context=module.context, module=module, entry=entry, most_dynamic_bytes=most)
    driver.client.write_word(target, driver.handles.add(made))


def variable(driver: Driver, target: int, size: int, handle: int, name: int) -> None:
    """`cuModuleGetGlobal`; either target may be null."""
    module = driver.find(handle, Module)
    text = driver.client.read_string(name, most_bytes=_LONGEST_NAME).decode(errors="replace")
    variables = module.program.globals(driver.memory)
    if text not in variables:
        there = ", ".join(variables) or "none"
        raise DriverError(codes.NOT_FOUND, f"the module has no variable {text!r}; it has: {there}")
    for place, value in zip((target, size), variables[text], strict=True):
        if place:
            driver.client.write_word(place, value)


def function_attribute(driver: Driver, target: int, attribute: int, handle: int) -> None:
    """`cuFuncGetAttribute`."""
    found = driver.find(handle, Function)
    entry, device = found.entry, found.module.context.architecture
    values = {
        0: entry.maximum_threads or MOST_THREADS,
        1: entry.static_shared_bytes,
        2: 0,  # constant memory
        3: entry.local_bytes,
        4: entry.registers,
        5: device.number,  # of the PTX
        6: device.number,  # of the machine code
        7: 0,  # caching
        _MAX_DYNAMIC_SHARED: found.most_dynamic_bytes,
        _PREFERRED_CARVEOUT: -1,
    }
    if attribute not in values:
        raise DriverError(codes.INVALID_VALUE, f"{attribute} is no attribute of a function that the device has")
    driver.client.write_int(target, values[attribute])


def set_function_attribute(driver: Driver, handle: int, attribute: int, value: int) -> None:
    """`cuFuncSetAttribute`."""
    found = driver.find(handle, Function)
    if attribute == _PREFERRED_CARVEOUT:
        return
    if attribute != _MAX_DYNAMIC_SHARED:
        raise DriverError(codes.INVALID_VALUE, f"attribute {attribute} of a function cannot be set")
    device = found.module.context.architecture
    most = device.shared_bytes_per_block - found.entry.static_shared_bytes
    if not 0 <= value <= most:
        raise DriverError(
            codes.INVALID_VALUE,
            f"{value} bytes of dynamic shared memory for {found.entry.name}; {device.name} has {most} bytes for it",
        )
    found.most_dynamic_bytes = value


MODULE_CALLS: dict[str, Callable[..., None]] = {
    "cuModuleLoadData": load,
    "cuModuleLoadDataEx": load,
    "cuModuleUnload": unload,
    "cuModuleGetFunction": function,
    "cuModuleGetGlobal": variable,
    "cuFuncGetAttribute": function_attribute,
    "cuFuncSetAttribute": set_function_attribute,
}
