"""Driver functions on streams and events. Every call has done its work when it returns, so waiting is immediate."""

from __future__ import annotations

import time
from collections.abc import Callable

from . import codes
from .codes import DriverError
from .driver import Driver
from .objects import Event, Stream

_DISABLE_TIMING = 2
_DEFAULT_STREAMS = (0, 1, 2)
"""Null, CU_STREAM_LEGACY and CU_STREAM_PER_THREAD: streams of the current context."""


def check_stream(driver: Driver, handle: int) -> None:
    """Raise `DriverError` for an invalid stream handle."""
    if handle in _DEFAULT_STREAMS:
        driver.current()
    else:
        driver.find(handle, Stream)


def stream_create(driver: Driver, target: int, flags: int, priority: int = 0) -> None:
    """`cuStreamCreate` and `cuStreamCreateWithPriority`."""
    if flags not in (0, 1):
        raise DriverError(codes.INVALID_VALUE, f"{flags} are no flags of a stream")
    driver.client.write_word(target, driver.handles.add(Stream(context=driver.current())))


def stream_destroy(driver: Driver, handle: int) -> None:
    """`cuStreamDestroy`."""
    driver.find(handle, Stream)
    driver.handles.remove(handle)


def stream_wait(driver: Driver, stream: int, event: int, flags: int) -> None:
    """`cuStreamWaitEvent`."""
    check_stream(driver, stream)
    driver.find(event, Event)


def event_create(driver: Driver, target: int, flags: int) -> None:
    """`cuEventCreate`."""
    if not 0 <= flags < 8:
        raise DriverError(codes.INVALID_VALUE, f"{flags} are no flags of an event")
    event = Event(context=driver.current(), timed=not flags & _DISABLE_TIMING)
    driver.client.write_word(target, driver.handles.add(event))


def event_destroy(driver: Driver, handle: int) -> None:
    """`cuEventDestroy`."""
    driver.find(handle, Event)
    driver.handles.remove(handle)


def event_check(driver: Driver, handle: int) -> None:
    """`cuEventQuery` and `cuEventSynchronize`: recorded events have completed."""
    driver.find(handle, Event)


def event_record(driver: Driver, handle: int, stream: int) -> None:
    """`cuEventRecord`."""
    check_stream(driver, stream)
    driver.find(handle, Event).seconds = time.perf_counter()


def event_elapsed(driver: Driver, target: int, start: int, end: int) -> None:
    """`cuEventElapsedTime`: wall time of the simulating host, in ms."""
    first, last = driver.find(start, Event), driver.find(end, Event)
    if first.seconds is None or last.seconds is None or not (first.timed and last.timed):
        raise DriverError(codes.INVALID_HANDLE, "an event was not recorded, or takes no times")
    driver.client.write_float(target, 1e3 * (last.seconds - first.seconds))


STREAM_CALLS: dict[str, Callable[..., None]] = {
    "cuStreamCreate": stream_create,
    "cuStreamCreateWithPriority": stream_create,
    "cuStreamDestroy": stream_destroy,
    "cuStreamQuery": check_stream,
    "cuStreamSynchronize": check_stream,
    "cuStreamWaitEvent": stream_wait,
    "cuEventCreate": event_create,
    "cuEventDestroy": event_destroy,
    "cuEventQuery": event_check,
    "cuEventSynchronize": event_check,
    "cuEventRecord": event_record,
    "cuEventElapsedTime": event_elapsed,
}
