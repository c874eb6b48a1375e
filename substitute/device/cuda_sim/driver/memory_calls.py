"""Driver functions on memory."""

from __future__ import annotations

from collections.abc import Callable

from . import codes
from .codes import DriverError
from .driver import Driver
from .objects import Pool, Region
from .stream_calls import check_stream

_ATTACH_FLAGS = (1, 2, 4)
_POOL_USED, _POOL_MOST_USED = 7, 8
_POOL_RESERVED, _POOL_MOST_RESERVED = 5, 6
_POOL_SETTINGS = (1, 2, 3)
"""32-bit attributes of a pool; all others have 64 bits."""
_REGISTER_READ_ONLY = 8


def allocate(driver: Driver, target: int, size_bytes: int) -> None:
    """`cuMemAlloc`."""
    driver.client.write_word(target, driver.allocate(driver.current(), size_bytes).start)


def allocate_async(driver: Driver, target: int, size_bytes: int, stream: int) -> None:
    """`cuMemAllocAsync`."""
    check_stream(driver, stream)
    allocate(driver, target, size_bytes)


def allocate_from_pool(driver: Driver, target: int, size_bytes: int, pool: int, stream: int) -> None:
    """`cuMemAllocFromPoolAsync`."""
    check_stream(driver, stream)
    owner = driver.find(pool, Pool)
    region = driver.allocate(driver.current(), size_bytes)
    region.pool = owner
    owner.used_bytes += size_bytes
    owner.most_used_bytes = max(owner.most_used_bytes, owner.used_bytes)
    driver.client.write_word(target, region.start)


def allocate_managed(driver: Driver, target: int, size_bytes: int, flags: int) -> None:
    """`cuMemAllocManaged`: the host sees device memory at the same address."""
    if flags not in _ATTACH_FLAGS:
        raise DriverError(codes.INVALID_VALUE, f"{flags} are no flags of managed memory")
    region = driver.allocate(driver.current(), size_bytes)
    driver.memory.mark_initialised(region.start, size_bytes)
    driver.client.write_word(target, region.start)


def allocate_host(driver: Driver, target: int, size_bytes: int, flags: int = 0) -> None:
    """`cuMemHostAlloc` and `cuMemAllocHost`."""
    if not 0 <= flags < 8:
        raise DriverError(codes.INVALID_VALUE, f"{flags} are no flags of host memory")
    driver.client.write_word(target, driver.allocate(driver.current(), size_bytes, host=True).start)


def free(driver: Driver, address: int) -> None:
    """`cuMemFree`; null is ignored."""
    if address:
        _free(driver, address, host=False)


def free_async(driver: Driver, address: int, stream: int) -> None:
    """`cuMemFreeAsync`."""
    check_stream(driver, stream)
    free(driver, address)


def free_host(driver: Driver, address: int) -> None:
    """`cuMemFreeHost`."""
    _free(driver, address, host=True)


def _free(driver: Driver, address: int, *, host: bool) -> None:
    region = driver.regions.get(address)
    if region is None or region.host != host:
        raise DriverError(codes.INVALID_VALUE, f"{address:#x} is not what an allocation of this kind returned")
    driver.free(region)
    if region.context.fault is not None:
        raise region.context.fault


def host_device_pointer(driver: Driver, target: int, address: int, flags: int) -> None:
    """`cuMemHostGetDevicePointer`."""
    driver.current()
    for one in driver.registrations.values():
        if one.host <= address < one.host + one.size_bytes:
            return driver.client.write_word(target, one.device + address - one.host)
    found = driver.memory.find(address)
    region = driver.regions.get(found.start) if found is not None else None
    if region is None or not region.host:
        raise DriverError(codes.INVALID_VALUE, f"{address:#x} is no host memory that the driver knows")
    return driver.client.write_word(target, address)


def host_register(driver: Driver, address: int, size_bytes: int, flags: int) -> None:
    """`cuMemHostRegister`."""
    if not address or not size_bytes or not 0 <= flags < 16:
        raise DriverError(codes.INVALID_VALUE, "no memory, or no flags of registered memory")
    driver.register(driver.current(), address, size_bytes, read_only=bool(flags & _REGISTER_READ_ONLY))


def host_unregister(driver: Driver, address: int) -> None:
    """`cuMemHostUnregister`."""
    driver.unregister(address)


def info(driver: Driver, free_: int, total: int) -> None:
    """`cuMemGetInfo`."""
    driver.current()
    driver.client.write_word(free_, driver.memory.free_bytes)
    driver.client.write_word(total, driver.memory.size_bytes)


def address_range(driver: Driver, base: int, size: int, address: int) -> None:
    """`cuMemGetAddressRange`; either target may be null."""
    region: Region | None = None
    found = driver.memory.find(address)
    if found is not None:
        region = driver.regions.get(found.start)
    if region is None:
        raise DriverError(codes.NOT_FOUND, f"nothing is allocated at {address:#x}")
    for target, value in ((base, region.start), (size, region.size_bytes)):
        if target:
            driver.client.write_word(target, value)


def prefetch(driver: Driver, address: int, size_bytes: int, device: int, stream: int) -> None:
    """`cuMemPrefetchAsync`: there is only one memory, so nothing moves; device -1 is the host."""
    check_stream(driver, stream)
    driver.check(address, size_bytes)
    if device != -1:
        driver.device(device)


def pool_create(driver: Driver, target: int, properties: int) -> None:
    """`cuMemPoolCreate`."""
    if not properties:
        raise DriverError(codes.INVALID_VALUE, "no properties")
    driver.client.write_word(target, driver.handles.add(Pool(context=driver.current())))


def pool_destroy(driver: Driver, handle: int) -> None:
    """`cuMemPoolDestroy`."""
    driver.find(handle, Pool)
    driver.handles.remove(handle)


def pool_check(driver: Driver, handle: int, *ignored: int) -> None:
    """`cuMemPoolSetAccess` and `cuMemPoolTrimTo`: nothing to do."""
    driver.find(handle, Pool)


def pool_get(driver: Driver, handle: int, attribute: int, target: int) -> None:
    """`cuMemPoolGetAttribute`."""
    pool = driver.find(handle, Pool)
    known = {
        _POOL_USED: pool.used_bytes,
        _POOL_MOST_USED: pool.most_used_bytes,
        _POOL_RESERVED: pool.used_bytes,
        _POOL_MOST_RESERVED: pool.most_used_bytes,
    }
    _check_pool_attribute(attribute)
    value = known.get(attribute, pool.attributes.get(attribute, 0))
    write = driver.client.write_int if attribute in _POOL_SETTINGS else driver.client.write_word
    write(target, value)


def pool_set(driver: Driver, handle: int, attribute: int, source: int) -> None:
    """`cuMemPoolSetAttribute`."""
    pool = driver.find(handle, Pool)
    _check_pool_attribute(attribute)
    read = driver.client.read_int if attribute in _POOL_SETTINGS else driver.client.read_word
    pool.attributes[attribute] = read(source)
    if attribute == _POOL_MOST_USED:
        pool.most_used_bytes = pool.used_bytes


def _check_pool_attribute(attribute: int) -> None:
    if not 1 <= attribute <= _POOL_MOST_USED:
        raise DriverError(codes.INVALID_VALUE, f"{attribute} is no attribute of a pool")


def copy(driver: Driver, destination: int, source: int, size_bytes: int, stream: int = 0) -> None:
    """`cuMemcpy` and its relatives: an address tells host and device memory apart."""
    check_stream(driver, stream)
    driver.copy(destination, source, size_bytes)


def copy_to_device(driver: Driver, destination: int, source: int, size_bytes: int, stream: int = 0) -> None:
    """`cuMemcpyHtoD`."""
    check_stream(driver, stream)
    driver.check(destination, size_bytes)
    driver.copy(destination, source, size_bytes)


def copy_to_host(driver: Driver, destination: int, source: int, size_bytes: int, stream: int = 0) -> None:
    """`cuMemcpyDtoH`."""
    check_stream(driver, stream)
    driver.check(source, size_bytes)
    driver.copy(destination, source, size_bytes)


def copy_on_device(driver: Driver, destination: int, source: int, size_bytes: int, stream: int = 0) -> None:
    """`cuMemcpyDtoD`."""
    check_stream(driver, stream)
    driver.check(destination, size_bytes)
    driver.check(source, size_bytes)
    driver.copy(destination, source, size_bytes)


def _fill(width: int) -> Callable[..., None]:
    def fill(driver: Driver, address: int, value: int, count: int, stream: int = 0) -> None:
        check_stream(driver, stream)
        driver.fill(address, (value & ((1 << 8 * width) - 1)).to_bytes(width, "little"), count)

    return fill


MEMORY_CALLS: dict[str, Callable[..., None]] = {
    "cuMemAlloc": allocate,
    "cuMemAllocAsync": allocate_async,
    "cuMemAllocFromPoolAsync": allocate_from_pool,
    "cuMemAllocManaged": allocate_managed,
    "cuMemAllocHost": allocate_host,
    "cuMemHostAlloc": allocate_host,
    "cuMemFree": free,
    "cuMemFreeAsync": free_async,
    "cuMemFreeHost": free_host,
    "cuMemHostGetDevicePointer": host_device_pointer,
    "cuMemHostRegister": host_register,
    "cuMemHostUnregister": host_unregister,
    "cuMemGetInfo": info,
    "cuMemGetAddressRange": address_range,
    "cuMemPrefetchAsync": prefetch,
    "cuMemPoolCreate": pool_create,
    "cuMemPoolDestroy": pool_destroy,
    "cuMemPoolSetAccess": pool_check,
    "cuMemPoolTrimTo": pool_check,
    "cuMemPoolGetAttribute": pool_get,
    "cuMemPoolSetAttribute": pool_set,
    "cuMemcpy": copy,
    "cuMemcpyAsync": copy,
    "cuMemcpyHtoD": copy_to_device,
    "cuMemcpyHtoDAsync": copy_to_device,
    "cuMemcpyDtoH": copy_to_host,
    "cuMemcpyDtoHAsync": copy_to_host,
    "cuMemcpyDtoD": copy_on_device,
    "cuMemcpyDtoDAsync": copy_on_device,
    **{f"cuMemsetD{8 * width}{kind}": _fill(width) for width in (1, 2, 4) for kind in ("", "Async")},
}
