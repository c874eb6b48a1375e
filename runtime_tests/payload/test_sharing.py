"""Equal dispatches get one payload, made once and kept from run to run; whatever differs in the code gets another."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite.binding")
from runtime_tests.read.executables import CPU, VULKAN, context, executable, parse
from runtime_tests.read.short_form import elementwise, matmul
from substitute import Session, compile_model
from substitute.cache import stamps
from substitute.cache.checked import write_checked
from substitute.catalog.catalog import load_catalog
from substitute.embed import Built, make_payloads
from substitute.filter.executable import AtOnce
from substitute.frontend import plan_executables
from substitute.model.plan import Plan
from substitute.payload import generator, store
from substitute.payload.build import Order, build, make, prepare
from substitute.payload.kinds.llvm import LlvmGenerator
from substitute.progress import Clock, silent

pytestmark = pytest.mark.compile

ZERO = "%zero = arith.constant 0.0 : f32\n"
A = "%a = input 0 !4x8xf32\n"
B = "%b = input 1 !8x16xf32\n"
C = "\noutput 2 %r !4x16xf32"
STATIC = f"{ZERO}{A}{B}{matmul(m=4, n=16, k=8)}{C}"
MOVED = STATIC.replace(
    A,
    """
    %at = arith.constant 128 : index
    %a_s = subspan 0 offset(%at) : DT<readonly:!4x8xf32>
    %a = DT.load %a_s, offsets = [0, 0], sizes = [4, 8], strides = [1, 1] : DT<readonly:!4x8xf32> -> !4x8xf32
""",
)
WINDOW = STATIC.replace(
    A,
    """
    %a_s = subspan 0 : DT<readonly:!3x4x8xf32>
    %a = DT.load %a_s, offsets = [2, 0, 0], sizes = [1, 4, 8], strides = [1, 1, 1] :
      DT<readonly:!3x4x8xf32> -> !4x8xf32
""",
)
NEXT_WINDOW = WINDOW.replace("offsets = [2, 0, 0]", "offsets = [1, 0, 0]")
SQUARE = f"{ZERO}%a = input 0 !8x8xf32\n%b = input 1 !8x8xf32\n{matmul(m=8, n=8, k=8)}\noutput 2 %r !8x8xf32"
TRANSPOSED = ", ".join(f"affine_map<(m, n, k) -> ({axes})>" for axes in ("m, k", "n, k", "m, n"))


def fused(body: str) -> str:
    return f"{ZERO}{A}{B}{matmul(m=4, n=16, k=8, result='%p')}{elementwise('%r', '%p', '!4x16xf32', body)}{C}"


def added(value: str) -> str:
    return fused(f"%k = arith.constant {value} : f32\n%y = arith.addf %x, %k : f32")


TWINS = {
    "size": (STATIC, STATIC.replace("4x", "5x").replace("sizes = [4,", "sizes = [5,")),
    "map": (SQUARE, SQUARE.replace("matmul ins(", f"matmul indexing_maps = [{TRANSPOSED}] ins(")),
    "epilogue": (STATIC, added("1.0")),
    "constant of the epilogue": (added("1.0"), added("2.0")),
    "sign of zero": (added("0.0"), added("-0.0")),
    "operation": (added("1.0"), added("1.0").replace("arith.addf %x", "arith.mulf %x")),
    "shape around a window": (WINDOW, WINDOW.replace("3x4x8", "3x4x9")),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a separate cache that accepts the files of this checkout as old enough to be cached."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(stamps, "STARTED_NS", time.time_ns())
    return tmp_path / "cache" / "iree-substitute" / "payloads"


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The entries for which a generator was called."""
    calls: list[str] = []
    original = generator.generate

    def count(request: Any) -> Any:
        calls.append(request.entry)
        return original(request)

    monkeypatch.setattr(generator, "generate", count)
    yield calls


def plan_of(*bodies: str, targets: Sequence[str] = (CPU,)) -> Plan:
    """The plan for one executable per body (per target, where there are several) with the built-in kernels."""
    texts = [(body, target) for body in bodies for target in targets]
    text = "\n".join(executable(body, name=f"d{n}", target=target) for n, (body, target) in enumerate(texts))

    def load(backends: frozenset[str]) -> Any:
        return load_catalog((), builtin=True, backends=backends, kept=True).kernels

    with context():
        plan, _ = plan_executables(parse(text), Clock(silent), load, chosen=None)
    assert len(plan.substitutions) == len(texts), [d.rules[-1] for d in plan.decisions if d.rules]
    return plan


def payloads_of(plan: Plan) -> list[Built]:
    return make_payloads(plan, Clock(silent), AtOnce())


def orders_of(plan: Plan) -> list[Order]:
    return [prepare(substitution) for substitution in plan.substitutions]


def test_dispatches_that_differ_in_names_and_places_share_a_payload(generated: list[str]) -> None:
    first, *others = payloads_of(plan_of(STATIC, STATIC, MOVED))
    assert len(generated) == 1
    assert all(other.payload is first.payload for other in others)
    assert {b.request.entry for b in (first, *others)} == {first.payload.entry}
    assert [b.name for b in (first, *others)] == ["d0_work", "d1_work", "d2_work"]
    windows = payloads_of(plan_of(WINDOW, NEXT_WINDOW))
    assert windows[0].payload is windows[1].payload


@pytest.mark.parametrize("twin", TWINS)
def test_what_differs_in_the_code_is_not_shared(twin: str) -> None:
    one, other = orders_of(plan_of(*TWINS[twin]))
    assert one.key
    assert other.key
    assert one.key != other.key


def test_targets_do_not_share() -> None:
    one, other = orders_of(plan_of(STATIC, targets=(CPU, CPU.replace("+fma", "-fma"))))
    assert one.key != other.key
    assert make(one).data != make(other).data


def test_overlapping_operands_do_not_share_with_separate_ones() -> None:
    """The offsets of two operands in one buffer say whether they overlap."""
    second = """
    %at = arith.constant {at} : index
    %b_s = subspan 0 offset(%at) : DT<readonly:!8x16xf32>
    %b = DT.load %b_s, offsets = [0, 0], sizes = [8, 16], strides = [1, 1] : DT<readonly:!8x16xf32> -> !8x16xf32
    """
    one, other = orders_of(plan_of(*(STATIC.replace(B, second.format(at=at)) for at in (128, 64))))
    assert one.key != other.key


def test_offsets_are_in_the_code_of_shaders() -> None:
    one, same, other = orders_of(plan_of(STATIC, STATIC, MOVED, targets=(VULKAN,)))
    assert len({one.key, same.key, other.key}) == 3  # (a shader has the name of its dispatch)
    assert b"d0_work" in make(one).data


def test_equal_contents_give_equal_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of the entry follows from contents, not from places and times, so that code is the same anywhere."""
    monkeypatch.setenv("IREE_SUBSTITUTE_CACHE", "0")
    from substitute.cli.scaffold import scaffold

    def made(place: str, more: str, size: int) -> bytes:
        folder = tmp_path / place / "mine"
        folder.mkdir(parents=True)
        for file, text in scaffold("llvm-ir", "mine", "mine").items():
            (folder / file).write_text(text + (more if file == "kernel.ll" else ""))

        def load(backends: frozenset[str]) -> Any:
            return load_catalog((folder,), builtin=False, backends=backends).kernels

        text = executable(STATIC.replace("4x", f"{size}x"), name=f"d{size}", target=CPU)
        with context():
            plan, _ = plan_executables(parse(text), Clock(silent), load, chosen=None)
        (built,) = payloads_of(plan)
        return built.payload.data

    first = made("here", "", 4)
    assert made("there", "", 4) == first
    assert made("larger", "", 6) == first  # sizes are arguments
    assert made("other", "; another line\n", 4) != first


def test_a_persons_generator_shares_nothing(tmp_path: Path) -> None:
    from substitute.cli.scaffold import scaffold

    folder = tmp_path / "mine"
    folder.mkdir()
    for file, text in scaffold("llvm-generator", "mine", "mine").items():
        (folder / file).write_text(text)
    (kernel,) = load_catalog((folder,), builtin=False, backends=frozenset({"llvm-cpu"})).kernels
    assert not kernel.payload.kind.depends_on_program(kernel)
    (built_in,) = (s.kernel for s in plan_of(STATIC).substitutions)
    assert built_in.payload.kind.depends_on_program(built_in)


def test_a_kind_of_another_package_shares_nothing() -> None:
    """Its code is in no file that is looked at; the same kernel of the toolkit's own kind is the twin."""

    class TheirGenerator(LlvmGenerator):
        name = "their-generator"

    (order,) = orders_of(plan := plan_of(STATIC))
    assert order.key
    (substitution,) = plan.substitutions
    payload = replace(substitution.kernel.payload, kind=TheirGenerator())
    theirs = replace(substitution, kernel=replace(substitution.kernel, payload=payload))
    assert prepare(theirs).key == ""


def test_a_second_run_takes_payloads_from_the_cache(cache: Path, generated: list[str]) -> None:
    plan = plan_of(STATIC)
    (made,) = payloads_of(plan)
    assert [path.name for path in cache.iterdir()] == [orders_of(plan)[0].key]
    (taken,) = payloads_of(plan)
    assert len(generated) == 1
    assert taken.payload == made.payload


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "unlike", "foreign"])
def test_what_is_damaged_is_made_anew(damage: str, cache: Path, generated: list[str]) -> None:
    plan = plan_of(STATIC)
    (made,) = payloads_of(plan)
    (path,) = cache.iterdir()
    content = path.read_bytes()
    if damage == "foreign":
        path.chmod(0o666)
    else:
        write_checked(path, b"\x80\x05N.")  # a pickle of None
        unlike = path.read_bytes()
        path.write_bytes(
            {"cut": content[:-9], "flipped": content[:-9] + b"!" + content[-8:], "empty": b"", "unlike": unlike}[damage]
        )
    (again,) = payloads_of(plan)
    assert len(generated) == 2
    assert again.payload == made.payload
    assert path.read_bytes() == content


@pytest.mark.parametrize("changed", ["generator.py", "tiling.py"])
def test_changed_code_is_seen(tmp_path: Path, cache: Path, changed: str) -> None:
    """The kernel's code is in a folder beside its own, in several files."""
    (substitution,) = plan_of(STATIC).substitutions
    kernel = substitution.kernel
    code = kernel.payload.path.parent
    assert code != kernel.folder
    for folder in (kernel.folder, code):
        copy, ignored = tmp_path / folder.name, shutil.ignore_patterns("__pycache__")
        shutil.copytree(folder, copy, ignore=ignored, copy_function=shutil.copyfile)
    path = tmp_path / code.name / kernel.payload.path.name
    copied = replace(kernel, folder=tmp_path / kernel.folder.name, payload=replace(kernel.payload, path=path))
    moved = replace(substitution, kernel=copied)
    first = prepare(moved)
    assert first.key != prepare(substitution).key
    assert prepare(moved).key == first.key
    make(first)
    assert not cache.exists()  # the kernel is younger than this process: it could be another one by now
    with (tmp_path / code.name / changed).open("a") as file:
        file.write("# another\n")
    assert prepare(moved).key != first.key


def test_the_cache_can_be_turned_off(cache: Path, generated: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(store.VARIABLE, "0")
    plan = plan_of(STATIC, MOVED)
    payloads_of(plan)
    payloads_of(plan)
    assert len(generated) == 2
    assert not cache.exists()


def test_unused_payloads_are_removed(cache: Path) -> None:
    (substitution,) = plan_of(STATIC).substitutions
    build(substitution)
    (path,) = cache.iterdir()
    old = cache / "old"
    old.write_bytes(b"")
    os.utime(old, (0, 0))
    store.prune()
    assert list(cache.iterdir()) == [path]


def test_shared_code_computes_what_iree_computes(tmp_path: Path) -> None:
    model = tmp_path / "chain.mlir"
    steps = [
        f"%w{n} = tensor.extract_slice %w[{n}, 0, 0] [1, 8, 8] [1, 1, 1] : tensor<3x8x8xf32> to tensor<8x8xf32>\n"
        f"%y{n} = linalg.matmul ins(%{f'y{n - 1}' if n else 'x'}, %w{n} : tensor<4x8xf32>, tensor<8x8xf32>)"
        " outs(%f : tensor<4x8xf32>) -> tensor<4x8xf32>\n"
        for n in range(3)
    ]
    model.write_text(f"""
func.func @main(%x: tensor<4x8xf32>, %w: tensor<3x8x8xf32>) -> tensor<4x8xf32> {{
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8xf32>) -> tensor<4x8xf32>
  {"".join(steps)}
  return %y2 : tensor<4x8xf32>
}}""")
    rng = np.random.default_rng(5)
    x, w = (rng.integers(-4, 5, shape).astype(np.float32) for shape in ((4, 8), (3, 8, 8)))
    for flags in ((), ("--iree-hal-link-executables=false",)):
        # the flag belongs to the process
        result = compile_model(model, flags=flags, check=False, isolate=bool(flags))
        assert len(result.payloads) > 1
        assert len({payload.entry for payload in result.payloads.values()}) == 1
        with Session(result.vmfb, device="local-sync") as session:
            (y,) = session.call(None, [x, w])
        np.testing.assert_array_equal(y, x @ w[0] @ w[1] @ w[2])
