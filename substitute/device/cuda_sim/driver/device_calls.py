"""Driver functions on the driver itself, devices and contexts."""

from __future__ import annotations

from collections.abc import Callable

from . import codes
from .architectures import DRIVER_VERSION
from .codes import CODES, DriverError
from .driver import Driver
from .entry_points import NUMBERS
from .objects import Context, Pool

_SINCE_12 = {"cuGetProcAddress": "cuGetProcAddress_v2", "cuGraphInstantiate": "cuGraphInstantiateWithFlags"}
"""Functions whose plain name has another signature for programs of CUDA 12 and later."""
_SYMBOL_NOT_FOUND = 1
_LONGEST_NAME = 256


def init(driver: Driver, flags: int) -> None:
    """`cuInit`."""
    if flags:
        raise DriverError(codes.INVALID_VALUE, "flags must be 0")
    driver.initialised = True


def driver_version(driver: Driver, target: int) -> None:
    """`cuDriverGetVersion`."""
    driver.client.write_int(target, DRIVER_VERSION)


def error_name(driver: Driver, code: int, target: int) -> None:
    """`cuGetErrorName`."""
    _write_text(driver, code, target, lambda: CODES[code].name)


def error_string(driver: Driver, code: int, target: int) -> None:
    """`cuGetErrorString`, with the details of the last error of that code: IREE puts the text into its own messages."""
    _write_text(driver, code, target, lambda: driver.words_on(code))


def _write_text(driver: Driver, code: int, target: int, text: Callable[[], str]) -> None:
    if code not in CODES:
        driver.client.write_word(target, 0)
        raise DriverError(codes.INVALID_VALUE, f"{code} is no code of this driver")
    driver.client.write_word(target, driver.texts.address(text()))


def proc_address(driver: Driver, name: int, target: int, version: int, flags: int) -> None:
    """`cuGetProcAddress` of CUDA 11 and earlier."""
    if not _resolve(driver, name, target, version):
        raise DriverError(codes.NOT_FOUND, "the simulated driver has no such function")


def proc_address_v2(driver: Driver, name: int, target: int, version: int, flags: int, status: int) -> None:
    """`cuGetProcAddress_v2`, which also reports why a symbol was not found."""
    found = _resolve(driver, name, target, version)
    if status:
        driver.client.write_int(status, 0 if found else _SYMBOL_NOT_FOUND)
    if not found:
        raise DriverError(codes.NOT_FOUND, "the simulated driver has no such function")


def _resolve(driver: Driver, name: int, target: int, version: int) -> bool:
    text = driver.client.read_string(name, most_bytes=_LONGEST_NAME).decode(errors="replace")
    known = _SINCE_12.get(text, text) if version >= 12000 else text
    number = NUMBERS.get(known)
    address = driver.client.read_word(driver.functions + 8 * number) if number is not None else 0
    driver.client.write_word(target, address)
    return number is not None


def last_fault(driver: Driver, target: int, size_bytes: int) -> None:
    """Extension: write the fault that stopped the last launch, with its code's name, and clear it; empty if none
    did.
    """
    driver.client.write(target, driver.last_fault.encode()[: size_bytes - 1] + b"\0")
    driver.last_fault = ""


def recover(driver: Driver) -> None:
    """Extension: replace primary contexts that a fault has ended. A real device would need a new process."""
    driver.replace_faulty()


def device_get(driver: Driver, target: int, ordinal: int) -> None:
    """`cuDeviceGet`: a device is its number."""
    driver.device(ordinal)
    driver.client.write_int(target, ordinal)


def device_count(driver: Driver, target: int) -> None:
    """`cuDeviceGetCount`."""
    driver.client.write_int(target, len(driver.devices))


def device_name(driver: Driver, target: int, length: int, ordinal: int) -> None:
    """`cuDeviceGetName`."""
    _write_chars(driver, target, length, driver.device(ordinal).device_name)


def device_pci_bus_id(driver: Driver, target: int, length: int, ordinal: int) -> None:
    """`cuDeviceGetPCIBusId`."""
    _write_chars(driver, target, length, f"0000:{driver.device(ordinal).pci_bus:02X}:00.0")


def _write_chars(driver: Driver, target: int, length: int, text: str) -> None:
    if length < 1:
        raise DriverError(codes.INVALID_VALUE, "no room for a name")
    driver.client.write(target, text.encode()[: length - 1] + b"\0")


def device_uuid(driver: Driver, target: int, ordinal: int) -> None:
    """`cuDeviceGetUuid`."""
    driver.client.write(target, driver.device(ordinal).uuid.bytes)


def device_attribute(driver: Driver, target: int, attribute: int, ordinal: int) -> None:
    """`cuDeviceGetAttribute`."""
    value = driver.device(ordinal).attribute(attribute)
    if value is None:
        raise DriverError(codes.INVALID_VALUE, f"{attribute} is no attribute of a device")
    driver.client.write_int(target, value)


def device_memory(driver: Driver, target: int, ordinal: int) -> None:
    """`cuDeviceTotalMem`: all devices share one memory."""
    driver.device(ordinal)
    driver.client.write_word(target, driver.memory.size_bytes)


def device_pool(driver: Driver, target: int, ordinal: int) -> None:
    """`cuDeviceGetDefaultMemPool`."""
    driver.device(ordinal)
    driver.client.write_word(target, driver.handles.add(Pool(context=None)))


def primary_retain(driver: Driver, target: int, ordinal: int) -> None:
    """`cuDevicePrimaryCtxRetain`."""
    context = driver.primary(driver.device(ordinal))
    context.users += 1
    driver.client.write_word(target, driver.handles.handle_of(context))


def primary_release(driver: Driver, ordinal: int) -> None:
    """`cuDevicePrimaryCtxRelease`: the last release destroys the context, and with it its fault."""
    context = driver.primary(driver.device(ordinal))
    if not context.users:
        driver.end_context(context)
        raise DriverError(codes.INVALID_CONTEXT, "the primary context is not retained")
    context.users -= 1
    if not context.users:
        driver.end_context(context)


def primary_reset(driver: Driver, ordinal: int) -> None:
    """`cuDevicePrimaryCtxReset`."""
    driver.end_context(driver.primary(driver.device(ordinal)))


def primary_state(driver: Driver, ordinal: int, flags: int, active: int) -> None:
    """`cuDevicePrimaryCtxGetState`."""
    device = driver.device(ordinal)
    driver.client.write_int(flags, 0)
    driver.client.write_int(active, int(driver.has_primary(device)))


def context_create(driver: Driver, target: int, flags: int, ordinal: int) -> None:
    """`cuCtxCreate`: the new context is current."""
    context = Context(architecture=driver.device(ordinal), primary=False)
    driver.client.write_word(target, driver.handles.add(context))
    driver.stack().append(context)


def context_destroy(driver: Driver, handle: int) -> None:
    """`cuCtxDestroy`."""
    context = driver.find(handle, Context, code=codes.INVALID_CONTEXT)
    if context.primary:
        raise DriverError(codes.INVALID_CONTEXT, "a primary context is released, not destroyed")
    driver.end_context(context)
    driver.handles.remove(handle)


def context_set(driver: Driver, handle: int) -> None:
    """`cuCtxSetCurrent`; null removes the current one."""
    stack = driver.stack()
    if stack:
        stack.pop()
    if handle:
        stack.append(driver.find(handle, Context, code=codes.INVALID_CONTEXT))


def context_get(driver: Driver, target: int) -> None:
    """`cuCtxGetCurrent`."""
    stack = driver.stack()
    driver.client.write_word(target, driver.handles.handle_of(stack[-1]) if stack else 0)


def context_push(driver: Driver, handle: int) -> None:
    """`cuCtxPushCurrent`."""
    driver.stack().append(driver.find(handle, Context, code=codes.INVALID_CONTEXT))


def context_pop(driver: Driver, target: int) -> None:
    """`cuCtxPopCurrent`; the target may be null."""
    stack = driver.stack()
    if not stack:
        raise DriverError(codes.INVALID_CONTEXT, "no context is current in this thread")
    context = stack.pop()
    if target:
        driver.client.write_word(target, driver.handles.handle_of(context))


def context_device(driver: Driver, target: int) -> None:
    """`cuCtxGetDevice`."""
    driver.client.write_int(target, driver.devices.index(driver.current().architecture))


def context_synchronize(driver: Driver) -> None:
    """`cuCtxSynchronize`: all work is done when its call returns."""
    driver.current()


WITHOUT_INIT = frozenset(
    (
        "cuInit",
        "cuDriverGetVersion",
        "cuGetErrorName",
        "cuGetErrorString",
        "cuGetProcAddress",
        "cuGetProcAddress_v2",
    )
)
"""Functions that may be called before `cuInit`."""

DEVICE_CALLS: dict[str, Callable[..., None]] = {
    "cuInit": init,
    "cuDriverGetVersion": driver_version,
    "iree_substitute_last_fault": last_fault,
    "iree_substitute_recover": recover,
    "cuGetErrorName": error_name,
    "cuGetErrorString": error_string,
    "cuGetProcAddress": proc_address,
    "cuGetProcAddress_v2": proc_address_v2,
    "cuDeviceGet": device_get,
    "cuDeviceGetCount": device_count,
    "cuDeviceGetName": device_name,
    "cuDeviceGetUuid": device_uuid,
    "cuDeviceGetAttribute": device_attribute,
    "cuDeviceTotalMem": device_memory,
    "cuDeviceGetPCIBusId": device_pci_bus_id,
    "cuDeviceGetDefaultMemPool": device_pool,
    "cuDeviceGetMemPool": device_pool,
    "cuDevicePrimaryCtxRetain": primary_retain,
    "cuDevicePrimaryCtxRelease": primary_release,
    "cuDevicePrimaryCtxReset": primary_reset,
    "cuDevicePrimaryCtxGetState": primary_state,
    "cuCtxCreate": context_create,
    "cuCtxDestroy": context_destroy,
    "cuCtxSetCurrent": context_set,
    "cuCtxGetCurrent": context_get,
    "cuCtxPushCurrent": context_push,
    "cuCtxPopCurrent": context_pop,
    "cuCtxGetDevice": context_device,
    "cuCtxSynchronize": context_synchronize,
}
