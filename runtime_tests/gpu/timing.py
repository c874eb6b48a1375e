"""Timing of kernels on a GPU: events around batches of launches, contenders in turns, buffers larger than the cache."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from runtime_tests.gpu.device import Gpu
from substitute.device.timing import Timing
from substitute.errors import DeviceError, ValidationError

CACHES = 3
"""The buffers that are used in turn are together this many times as large as the second-level cache."""
MEMORY_SHARE = 0.6
"""Share of the device's memory that they may take."""
SAMPLE_US = 2_000.0
"""A sample is a batch of launches that takes about this long, so that starting the first one does not count."""
MOST_LAUNCHES = 1_000
ROUNDS = 30
Launch = Callable[[int], None]
"""Starts a contender on one of the sets of buffers."""


def relative_spread(timing: Timing) -> float:
    """Distance between the quartiles ÷ the median."""
    return timing.spread_us / timing.median_us


def rotation_size(set_bytes: int, cache_bytes: int, memory_bytes: int) -> int:
    """Return the number of sets of buffers to use in turn, so that none is in the cache when its turn comes again.

    Two at least. Raises `DeviceError` where not even these fit into `memory_bytes`.
    """
    wanted = max(2, math.ceil(CACHES * cache_bytes / max(1, set_bytes)))
    room = int(MEMORY_SHARE * memory_bytes) // max(1, set_bytes)
    if room < 2:
        raise DeviceError(
            "the buffers do not fit into the device's memory twice",
            expected=f"{2 * set_bytes} bytes",
            found=f"{int(MEMORY_SHARE * memory_bytes)} bytes that may be used",
            next_step="time a smaller problem, or use a larger device",
        )
    return min(wanted, room)


def launches_per_sample(launch_us: float) -> int:
    """Return the number of launches in a sample, from the time of one."""
    return max(1, min(MOST_LAUNCHES, math.ceil(SAMPLE_US / max(launch_us, 1e-3))))


def time_contenders(
    gpu: Gpu, contenders: Mapping[str, Launch], *, sets: int, rounds: int = ROUNDS
) -> dict[str, Timing]:
    """Every contender once a round, each round beginning with another one; warm-up does not count."""
    counts = {}
    for name, launch in contenders.items():
        _batch(gpu, launch, sets, 2)  # loads what is loaded at the first launch
        counts[name] = launches_per_sample(_batch(gpu, launch, sets, 3))
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds):
        for name in in_turn(names, number):
            samples[name].append(_batch(gpu, contenders[name], sets, counts[name]))
    return {name: Timing(name=name, samples_us=tuple(found)) for name, found in samples.items()}


def in_turn(names: Sequence[str], number: int) -> list[str]:
    """The names, begun with another one in each round."""
    first = number % len(names) if names else 0
    return [*names[first:], *names[:first]]


def _batch(gpu: Gpu, launch: Launch, sets: int, count: int) -> float:
    """Microseconds per launch."""
    start = gpu.record()
    for number in range(count):
        launch(number % sets)
    return gpu.elapsed_us(start, gpu.record()) / count


def require_right(worst: float, *, name: str, when: str) -> None:
    """No time of a contender that is wrong. `worst`: largest |error| ÷ allowed. Raises `ValidationError`."""
    if not worst <= 1.0:
        raise ValidationError(
            f"{name} is wrong, so its time does not count",
            where=when,
            expected="|error| ÷ allowed of at most 1",
            found=f"{worst:.3g}",
        )
