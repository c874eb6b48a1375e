"""The client's own decision from the text: only that nothing can match, and only if that is certain."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runtime_tests.filter.conftest import CPU, CUDA, VULKAN, Surroundings
from substitute.catalog.catalog import load_catalog
from substitute.filter.client import Catalog, reject_text
from substitute.filter.prefilter import _literal, build_prefilter
from substitute.model.kernel import Kernel, Launch, PayloadSpec, TargetRule
from substitute.payload.kinds import find_kind

pytestmark = pytest.mark.compile
Executables = Callable[[tuple[str, ...]], dict[str, bytes]]


def catalog_of(kernels: Sequence[Kernel]) -> Catalog:
    """Return the client's facts about these kernels."""
    return Catalog(
        b"digest", [[kernel.encode(), *(w.encode() for w in words)] for kernel, words in build_prefilter(kernels)]
    )


def named(**changes: object) -> Kernel:
    """Return a kernel that is selected by name alone."""
    kernel = Kernel(
        name="mine",
        folder=Path(),
        summary="",
        abi="canonical",
        targets=(TargetRule(backend="llvm-cpu"),),
        forms=(),
        operands=(),
        launch=Launch(),
        payload=PayloadSpec(kind=find_kind("llvm-generator"), path=Path("g.py"), entry="f"),
    )
    return replace(kernel, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("flags", [CPU, VULKAN, CUDA], ids=["cpu", "vulkan", "cuda"])
def test_a_kernel_that_takes_an_executable_is_never_ruled_out(executables: Executables, flags: tuple[str, ...]) -> None:
    from iree.compiler import ir

    from substitute.filter.executable import new_context, parse
    from substitute.frontend import plan_executables
    from substitute.progress import Clock, silent

    kernels = load_catalog([]).kernels
    taken = ruled_out = 0
    with new_context(), ir.Location.unknown():
        for text in executables(flags).values():
            module = parse(text.decode(), where="test").operation
            plan, sites = plan_executables(module, Clock(silent), lambda _: kernels, chosen=None, whole=False)
            del sites
            matching = {decision.kernel.name for decision in plan.decisions if decision.accepted}
            for kernel in kernels:
                report = reject_text(text, catalog_of([kernel]))
                taken += kernel.name in matching
                ruled_out += bool(report)
                assert not (report and kernel.name in matching), (kernel.name, report)
    assert ruled_out > len(kernels)
    assert taken or flags == CUDA


def test_a_word_that_is_missing_rules_out(executables: Executables) -> None:
    text = executables(CPU)["matmul"]
    assert reject_text(text, Catalog(b"d", [[b"a", b'"llvm-cpu"', b"no such word"], [b"b", b'"cuda"']]))
    assert not reject_text(text, Catalog(b"d", [[b"a", b"no such word"], [b"b", b'"llvm-cpu"']]))
    assert not reject_text(text, Catalog(b"d", [[b"a", b"no such word"], [b"b"]]))
    assert reject_text(text, Catalog(b"d", []))
    assert not reject_text(text, Catalog(b"", None))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ()),
        ({"dispatches": ("matmul_f32",)}, ("matmul_f32",)),
        ({"dispatches": (r"^main\$.*_dispatch_\d+$",)}, ("_dispatch_",)),
        ({"dispatches": ("one|two",)}, ()),
        ({"dispatches": ("(?i)matmul",)}, ()),
        ({"dispatches": ("(?:matmul)?",)}, ()),
        ({"dispatches": ("naïve",)}, ("na",)),
        ({"dispatches": (r"a\.b[xyz]cde?f{0,2}g+h",)}, ("a.b",)),
        ({"dispatches": (r"[\]a]longer_(inside_a_group)x",)}, ("longer_",)),
        ({"dispatches": (r"ab*",)}, ("a",)),
        ({"kinds": ("softmax",)}, ("softmax",)),
        ({"kinds": ("reduction",)}, ()),
    ],
)
def test_words_of_a_selection(changes: dict[str, object], words: tuple[str, ...]) -> None:
    assert build_prefilter([named(**changes)]) == [("mine", ('"llvm-cpu"', *words, "func.func"))]


@given(st.from_regex(r"(a|b|\\.|\\d|\[ab\]|a\?|b\*|a\{0,1\}|\(ab\)|\+|\.|_x){1,8}", fullmatch=True), st.data())
def test_the_text_of_a_pattern_is_in_all_that_it_finds(pattern: str, data: st.DataObject) -> None:
    try:
        re.compile(pattern)
    except re.error:
        assume(False)
    found = data.draw(st.from_regex(pattern, fullmatch=True))
    for word in _literal(pattern):
        assert word in found


def test_each_target_and_each_pattern_is_a_way_of_its_own() -> None:
    targets = (TargetRule(backend="cuda", format="cuda-nvptx-fb"), TargetRule(backend="rocm"))
    found = build_prefilter([named(targets=targets, dispatches=("one", "t(w)o"))])
    assert found == [
        ("mine", ('"cuda"', '"cuda-nvptx-fb"', "one", "func.func")),
        ("mine", ('"cuda"', '"cuda-nvptx-fb"', "t", "func.func")),
        ("mine", ('"rocm"', "one", "func.func")),
        ("mine", ('"rocm"', "t", "func.func")),
    ]


def test_a_raw_kernel_can_take_the_place_of_an_external_object_where_nothing_has_to_be_put_into_a_body() -> None:
    payload = PayloadSpec(kind=find_kind("ptx"), path=Path("k.ptx"), entry="f")
    assert build_prefilter([named(abi="raw", targets=(TargetRule(backend="cuda"),), payload=payload)]) == [
        ("mine", ('"cuda"',))
    ]
    assert build_prefilter([named(abi="raw")]) == [("mine", ('"llvm-cpu"', "func.func"))]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text + text.replace(b"@product", b"@other", 1),
        lambda text: text.replace(b"@product", b'@"pr\\6Fduct"', 1),
        lambda text: text.replace(b"@product", '@"prödukt"'.encode(), 1),
        lambda text: text + b"\0",
        lambda text: text + b"// dense_resource<x>",
        lambda text: b"module { }",
        lambda text: b"",
    ],
)
def test_only_one_whole_plain_executable_is_judged(executables: Executables, spoil: Callable[[bytes], bytes]) -> None:
    text = executables(CPU)["matmul"]
    nothing = Catalog(b"d", [])
    assert reject_text(text, nothing)
    assert not reject_text(spoil(text), nothing)


def test_a_new_executable_needs_no_worker_once_the_kernels_are_known(
    surroundings: Surroundings, executables: Executables
) -> None:
    kernel = surroundings.kernel("return ''", dispatches="no_such_dispatch")
    for path in (*kernel.iterdir(), kernel):
        os.utime(path, (1e9, 1e9))
    words = ("--no-builtin", "--kernels", kernel, "--report-dir", "reports")
    text = executables(CPU)["matmul"]
    assert surroundings.run(*words, data=text).stdout == text
    kept = surroundings.folder / "cache"
    assert surroundings.wait_for(lambda: any(b"?mine" in path.read_bytes() for path in kept.rglob("catalogs/[!.]*")))
    for process in surroundings.workers():
        os.kill(process, signal.SIGKILL)
    assert surroundings.wait_for(lambda: not surroundings.workers())
    other = executables(CPU)["rows"]
    done = surroundings.run(*words, data=other)
    assert (done.returncode, done.stdout, done.stderr) == (0, other, b"")
    assert surroundings.workers() == []
    report = json.loads(max((surroundings.folder / "reports").iterdir(), key=os.path.getmtime).read_text())
    assert report["changed"] is False
    assert report["kernels"] == [{"kernel": "mine", "missing": "no_such_dispatch"}]
    manifest = kernel / "kernel.toml"
    manifest.write_text(manifest.read_text().replace("no_such_dispatch", "rows"))
    done = surroundings.run(*words, data=other)
    assert done.returncode != 0  # it is taken now, and its generator is of no use
    assert done.stdout == b""
