"""Reads many changed inputs in child processes, and says which ones ended in something else than an error in words."""

from __future__ import annotations

import contextlib
import faulthandler
import mmap
import os
import resource
import signal
import struct
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from runtime_tests.hardening.kinds import KINDS, Kind
from substitute.errors import SubstituteError

LIMIT_S = 10
"""Processor time that one input may take."""
GROWTH_BYTES = 400 << 20
"""Growth of a child's memory over a batch of inputs."""
BATCH = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An input that was not refused as it should be."""

    kind: str
    number: int
    """Number of the input, from which and the seed it is made again."""
    problem: str
    """`traceback`, `crash`, `hang` or `growth`, with its cause."""
    tolerated: bool
    """True for a crash of LLVM or MLIR, which the product reports in words, since they run in a child process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Inputs of one kind."""

    kind: str
    read: int
    refused: int
    """Inputs that ended in an error in words; the others are valid still."""
    seconds: float
    findings: tuple[Finding, ...]


def change_sample(kind: Kind, samples: Sequence[bytes], random: Random) -> bytes:
    """Return a sample, changed once or several times."""
    data = random.choice(samples)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        data = random.choice(kind.mutators)(random, data)
    return data


def make_input(kind: str, samples: Sequence[bytes], seed: int, number: int) -> bytes:
    """Return the input of this number."""
    return change_sample(KINDS[kind], samples, Random(f"{kind} {seed} {number}"))


def read_input(kind: Kind, data: bytes, folder: Path) -> bool:
    """Read an input; return True if it was refused in words. Raises anything else."""
    try:
        kind.read(data, folder)
    except SubstituteError as error:
        assert error.what and str(error)
        return True
    return False


def valid_samples(kind: str, folder: Path) -> list[bytes]:
    """Return the samples that are read as they are, of which there has to be one."""
    found = [sample for sample in KINDS[kind].samples(folder) if not read_input(KINDS[kind], sample, folder)]
    assert found, f"no sample of {kind} is valid"
    return found


def read_many(kind: str, count: int, seed: int) -> Result:
    """Read `count` changed inputs of a kind."""
    started, refused = time.monotonic(), 0
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory(prefix="hardening-") as name:
        folder = Path(name)
        samples = valid_samples(kind, folder)
        at = 0
        while at < count:
            stop = min(at + BATCH, count)
            done, more, found = _read_batch(kind, samples, seed, (at, stop), folder)
            findings += found
            refused += more
            at = done
    return Result(kind=kind, read=count, refused=refused, seconds=time.monotonic() - started, findings=tuple(findings))


def _read_batch(
    kind: str, samples: Sequence[bytes], seed: int, numbers: tuple[int, int], folder: Path
) -> tuple[int, int, list[Finding]]:
    """Return where the next batch begins, how many inputs were refused, and what was found."""
    shared = mmap.mmap(-1, 16)
    log = folder / "findings"
    log.write_bytes(b"")
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            _serve(kind, samples, seed, numbers, folder, shared, log)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    number, refused = struct.unpack("<qq", shared[:16])
    native = KINDS[kind].native
    found = [
        Finding(kind=kind, number=int(at), problem=problem, tolerated=False)
        for at, _, problem in (line.partition(" ") for line in log.read_text().splitlines())
    ]
    if os.WIFSIGNALED(status):
        hang = os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGALRM, signal.SIGKILL)
        problem = "hang" if hang else f"crash: {signal.Signals(os.WTERMSIG(status)).name}"
        found.append(Finding(kind=kind, number=number, problem=problem, tolerated=native and not hang))
        return number + 1, refused, found
    return numbers[1], refused, found


def _serve(
    kind: str,
    samples: Sequence[bytes],
    seed: int,
    numbers: tuple[int, int],
    folder: Path,
    shared: mmap.mmap,
    log: Path,
) -> None:
    """Read the inputs of a batch, and note each before it is read."""
    null = os.open(os.devnull, os.O_WRONLY)
    faulthandler.disable()
    os.dup2(null, 1)
    os.dup2(null, 2)
    refused = 0
    before = 0
    for number in range(*numbers):
        shared[:16] = struct.pack("<qq", number, refused)
        data = make_input(kind, samples, seed, number)
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime) + LIMIT_S
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        signal.alarm(20 * LIMIT_S)
        try:
            refused += read_input(KINDS[kind], data, folder)
        except BaseException as error:
            frames = traceback.extract_tb(error.__traceback__)[-2:]
            place = " ".join(f"{Path(f.filename).name}:{f.lineno}" for f in frames)
            first = (str(error).splitlines() or [""])[0][:150]
            with log.open("a") as file:
                file.write(f"{number} traceback: {type(error).__name__}: {first} ({place})\n")
        if number == numbers[0] + (numbers[1] - numbers[0]) // 10:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    shared[:16] = struct.pack("<qq", numbers[1], refused)
    if before and (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 > GROWTH_BYTES:
        with log.open("a") as file:
            file.write(f"{numbers[0]} growth in the batch that begins here\n")


def distinct(findings: Sequence[Finding]) -> Iterator[tuple[str, list[Finding]]]:
    """Yield each problem with all inputs that show it."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        name = finding.problem.rpartition("(")[2] or finding.problem
        groups.setdefault(f"{finding.kind} {name}", []).append(finding)
    yield from groups.items()
