"""Thousands of mutated executables: each is answered with an executable or with an error, never with half of one."""

from __future__ import annotations

import os
import posix
import random
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from runtime_tests.filter.conftest import CPU, CUDA, NAME, VULKAN, Surroundings
from substitute.filter import client

pytestmark = pytest.mark.compile
Executables = Callable[[tuple[str, ...]], dict[str, bytes]]

COUNT = int(os.environ.get("FUZZ_COUNT", "3000"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
TOKEN = re.compile(rb'"[^"\n]*"|[%@#!]?[A-Za-z_$][\w$.]*|-?\d+(?:\.\d+)?|\s+|.', re.DOTALL)
LINE_LIMIT = 16
EACH = 20
"""One in this many inputs goes through a process of the client; the others are sent to the worker directly."""


def mutate(text: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """One mutation, or a few."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        text = rng.choice(
            (
                delete_token,
                double_token,
                swap_tokens,
                truncate,
                flip_bit,
                double_line,
                delete_line,
                other_number,
                splice,
            )
        )(text, others, rng)
    return text


def _edit(text: bytes, rng: random.Random, change: Callable[[list[bytes], int], None]) -> bytes:
    tokens = TOKEN.findall(text)
    if tokens:
        change(tokens, rng.randrange(len(tokens)))
    return b"".join(tokens)


def delete_token(text: bytes, others: list[bytes], rng: random.Random) -> bytes:
    return _edit(text, rng, lambda tokens, at: tokens.__delitem__(at))


def double_token(text: bytes, others: list[bytes], rng: random.Random) -> bytes:
    return _edit(text, rng, lambda tokens, at: tokens.insert(at, tokens[at]))


def swap_tokens(text: bytes, others: list[bytes], rng: random.Random) -> bytes:
    def swap(tokens: list[bytes], at: int) -> None:
        other = rng.randrange(len(tokens))
        tokens[at], tokens[other] = tokens[other], tokens[at]

    return _edit(text, rng, swap)


def other_number(text: bytes, others: list[bytes], rng: random.Random) -> bytes:
    numbers = list(re.finditer(rb"\d+", text))
    if not numbers:
        return text
    found = rng.choice(numbers)
    number = rng.choice((b"0", b"1", b"-1", b"7", b"4294967296", b"9223372036854775807", b"99999999999999999999"))
    return text[: found.start()] + number + text[found.end() :]


def truncate(text: bytes, others: list[bytes], rng: random.Random) -> bytes:
    return text[: rng.randrange(len(text) + 1)]


def flip_bit(text: bytes, others: list[bytes], rng: random.Random) -> bytes:
    if not text:
        return text
    at = rng.randrange(len(text))
    return text[:at] + bytes([text[at] ^ (1 << rng.randrange(8))]) + text[at + 1 :]


def double_line(text: bytes, others: list[bytes], rng: random.Random) -> bytes:
    lines = text.splitlines(keepends=True)
    if lines:
        at = rng.randrange(len(lines))
        lines[at:at] = lines[at : at + rng.randrange(1, LINE_LIMIT)]
    return b"".join(lines)


def delete_line(text: bytes, others: list[bytes], rng: random.Random) -> bytes:
    lines = text.splitlines(keepends=True)
    if lines:
        del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def splice(text: bytes, others: list[bytes], rng: random.Random) -> bytes:
    other = rng.choice(others)
    return text[: rng.randrange(len(text) + 1)] + other[rng.randrange(len(other) + 1) :]


def check(output: bytes) -> str:
    """Return why this is not one executable; empty if it is."""
    from iree.compiler import ir

    with ir.Context():
        try:
            module = ir.Module.parse(output.decode())
        except (ir.MLIRError, UnicodeDecodeError) as error:
            return str(error)
        names = [op.operation.name for op in module.body.operations]
    return "" if names == ["hal.executable"] else f"{names}"


@pytest.mark.slow
def test_every_mutation_is_answered_whole(
    shared: Surroundings, executables: Executables, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [text for flags in (CPU, VULKAN, CUDA) for text in executables(flags).values()]
    environment, rng = shared.environment, random.Random(SEED)
    cases = []
    for number in range(COUNT):
        one = random.Random(rng.random())
        text = mutate(texts[number % len(texts)], texts, one)
        if b'target(<"vulkan' in text and number % 10:  # glslang takes long, and is not what is tested
            text = text.replace(b"vulkan-spirv", b"rocm", 1)
        cases.append(text)

    def run(text: bytes) -> tuple[int, bytes, bytes]:
        done = subprocess.run(
            [NAME, "--no-cache"], input=text, capture_output=True, env=environment, check=False, timeout=120
        )
        return done.returncode, done.stdout, done.stderr

    def ask(text: bytes) -> tuple[int, bytes, bytes]:
        answer = client.ask_worker(client.Arguments(["--no-cache"]), text, b"")
        if answer is None:
            return run(text)
        if answer.kind == client.FAILED:
            return int(answer.body[:2], 16), b"", f"{NAME}: error: {answer.body[2:].decode()}".encode()
        return 0, text if answer.kind == client.UNCHANGED else answer.body, b""

    monkeypatch.setitem(posix.environ, b"XDG_RUNTIME_DIR", environment["XDG_RUNTIME_DIR"].encode())
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda number: (ask if number % EACH else run)(cases[number]), range(COUNT)))
    outcomes: Counter[str] = Counter()
    for number, (text, (status, output, words)) in enumerate(zip(cases, answers, strict=True)):
        where = f"FUZZ_SEED={SEED}, case {number}: {text!r}"
        if status == 0:
            outcomes["unchanged" if output == text else "changed"] += 1
            assert output == text or not check(output), where
            assert words == b"", where
        else:
            outcomes["crash" if b" died" in words else "error"] += 1
            assert output == b"", where
            assert words.startswith(NAME.encode() + b": error: "), where
            assert b"this is a bug in" not in words, f"{where}\n{words.decode()}"
    print(dict(outcomes))
    assert outcomes["changed"] > COUNT // 50
    assert outcomes["unchanged"] > COUNT // 50
    assert outcomes["error"] > COUNT // 4


def test_the_check_sees_half_an_executable(executables: Executables) -> None:
    text = executables(CPU)["matmul"]
    assert check(text) == ""
    assert check(text[: len(text) // 2])
    assert check(text + text.replace(b"@product", b"@other", 1))
    assert check(b"")
