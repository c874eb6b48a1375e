"""Kinds of inputs: valid samples, how they are changed, and what reads them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime_tests.hardening.mutate import (
    Mutator,
    change_bytes,
    change_json,
    change_lines,
    change_tokens,
    change_words,
    change_zip,
)
from runtime_tests.validate.cases import case
from substitute.bench.bench_report import CANDIDATE, DEFAULT, BenchReport, load_report, save_report
from substitute.catalog.manifest import read_manifest, read_manifests
from substitute.device.timing import Timing
from substitute.guard.verdict import Verdict
from substitute.lock import check_lock, read_lock
from substitute.model.dispatch import Target
from substitute.model.plan import Plan
from substitute.payload.glsl.compile import compile_glsl
from substitute.payload.llvm.optimize import parse_bitcode, parse_ir, to_bitcode
from substitute.payload.ptx.body import check_body, check_calls, check_reads
from substitute.payload.ptx.memory import reachable, shared_memory
from substitute.payload.ptx.parse import parse
from substitute.payload.ptx.rename import rename
from substitute.payload.ptx.unreachable import drop_unreachable
from substitute.payload.ptx.verification import find_entry
from substitute.payload.spirv.barriers import check_barriers
from substitute.payload.spirv.disassembly import disassemble
from substitute.payload.spirv.flow import check_loads
from substitute.payload.spirv.module import read_module, write_module
from substitute.plan_file import load_plan
from substitute.read.definition import read_forms
from substitute.tune.tuner import Journal
from substitute.validate.bundle import Bundle, Subject
from substitute.validate.bundle_file import load_bundle, save_bundle

ROOT = Path(__file__).parents[2]
CPU = Target(
    backend="llvm-cpu", format="embedded-elf-x86_64", config=(("target_triple", "x86_64-unknown-unknown-eabi-elf"),)
)
TEXT = (change_bytes, change_tokens, change_tokens, change_lines)
JSON = (change_bytes, change_tokens, change_json, change_json)
LL = """define void @k(ptr %x, ptr %y, i64 %n) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %p = getelementptr float, ptr %x, i64 %i
  %v = load float, ptr %p, align 4
  %w = fmul contract float %v, 2.000000e+00
  %e = call float @expf(float %w)
  %q = getelementptr float, ptr %y, i64 %i
  store float %e, ptr %q, align 4
  %next = add nuw nsw i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}
declare float @expf(float)
attributes #0 = { nounwind "x"="y" }
!0 = !{i32 1, !"a"}
"""
SHADER = """#version 450
layout(local_size_x = 8) in;
layout(set = 0, binding = 0) readonly buffer A { float a[]; };
layout(set = 0, binding = 1) buffer B { float b[]; };
layout(push_constant) uniform P { uint n; };
shared float part[8];
void main() {
  uint i = gl_GlobalInvocationID.x;
  part[gl_LocalInvocationID.x] = i < n ? a[i] : 0.0;
  barrier();
  float sum = 0.0;
  for (int j = 0; j < 8; ++j) sum += part[j];
  if (i < n) b[i] = sum;
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of input."""

    samples: Callable[[Path], Sequence[bytes]]
    """Valid inputs; the folder is for what has to be made."""
    read: Callable[[bytes, Path], object]
    """Reads an input; the folder is its own. Raises `SubstituteError`."""
    mutators: tuple[Mutator, ...]
    native: bool = False
    """True if it is read by LLVM or MLIR, which may end the process; the product does so in a child process only."""


def _shipped(name: str, count: int) -> Callable[[Path], list[bytes]]:
    def samples(folder: Path) -> list[bytes]:
        del folder
        files = [file for root in ("kernels", "ptx_blobs", "samples") for file in sorted((ROOT / root).rglob(name))]
        small = sorted((f for f in files if f.stat().st_size < 16_000), key=lambda f: (f.stat().st_size, str(f)))
        return [file.read_bytes() for file in small[:: max(1, len(small) // count)]]

    return samples


def _manifests(folder: Path) -> list[bytes]:
    return _shipped("kernel.toml", 40)(folder)


def _read_manifest(data: bytes, folder: Path) -> None:
    root = folder / "kernels"
    if not root.exists():
        shutil.copytree(ROOT / "kernels", root, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("generator.py", "kernel.ll", "kernel.ptx", "kernel.comp", "kernel.spv", "rule.py"):
            (root / "softmax" / name).write_text("")
    file = root / "softmax" / "kernel.toml"
    file.write_bytes(data)
    read_manifests(file)


def _definitions(folder: Path) -> list[bytes]:
    del folder
    return [(ROOT / f"kernels/{name}/definition.mlir").read_bytes() for name in ("softmax", "row_reduce")]


def _read_definition(data: bytes, folder: Path) -> None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return  # `read_definition` of the catalog refuses it before
    kernel = read_manifest(ROOT / "kernels/softmax/kernel.toml").kernel
    read_forms(folder / "definition.mlir", text, kernel.operands)


def _read_ptx(data: bytes, folder: Path) -> None:
    del folder
    text = data.decode("utf-8", "replace")
    module = parse(text)
    for entry in [f.name for f in module.functions if f.is_entry][:2]:
        drop_unreachable(module, entry)
        rename(text, entry, "renamed")
        functions = reachable(module, find_entry(module, entry))
        for function in functions:
            check_body(module, function)
        check_calls(module, functions)
        check_reads(module, functions)
        shared_memory(module, functions)


def _binaries(folder: Path) -> list[bytes]:
    del folder
    return [compile_glsl(SHADER, name="sample")]


def _read_spirv(data: bytes, folder: Path) -> None:
    del folder
    module = read_module(data)
    for instruction in module.instructions:
        disassemble(instruction)
    check_barriers(module, "sample")
    check_loads(module, "sample")
    write_module(module)


def _read_llvm(data: bytes, folder: Path) -> None:
    del folder
    parse_ir(data.decode("utf-8", "replace"), "sample")
    to_bitcode(data.decode("utf-8", "replace"), target=CPU, entry="k", finished=True)


def _bitcode(folder: Path) -> list[bytes]:
    del folder
    return [to_bitcode(LL, target=CPU, entry="k", finished=True)]


def _file_reader(read: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    def reader(data: bytes, folder: Path) -> object:
        file = folder / "input"
        file.write_bytes(data)
        return read(file)

    return reader


def _plans(folder: Path) -> list[bytes]:
    del folder
    one = {"dispatch": "d0", "kernel": "matmul", "tuning": {"tile": 4}, "axes": {"M": 4}, "payload": {"sha256": "0"}}
    other = {"dispatch": "d1", "variant": "v", "kernel": "softmax"}
    return [json.dumps({"schema": 1, "substitutions": [one, other], "machine": {"cpu": "x"}}).encode()]


def _locks(folder: Path) -> list[bytes]:
    del folder
    payloads = {"d0": {"kernel": "k", "sha256": "00"}, "d1": {"kernel": "k", "sha256": "01"}}
    return [json.dumps({"version": 1, "kernels": {"k": {"k/kernel.toml": "00"}}, "payloads": payloads}).encode()]


def _read_lock(file: Path) -> None:
    check_lock(file, read_lock(file), Plan(substitutions=(), decisions=(), dispatches=()), {})


def _benches(folder: Path) -> list[bytes]:
    report = BenchReport(
        model="m",
        digest="0",
        function="main",
        device="local-task",
        threads=1,
        clock="wall time",
        flags=("--x",),
        machine={"cpu": "x"},
        taken=1,
        dispatches=2,
        unchecked=(),
        timings=tuple(Timing(name=name, samples_us=(1.0, 1.5, 2.0)) for name in (CANDIDATE, DEFAULT)),
        left_out=(),
        clear=True,
    )
    save_report(report, folder / "sample")
    return [(folder / "sample").read_bytes()]


def _read_bench(file: Path) -> None:
    load_report(file).ratio_to(DEFAULT)


def _bundles(folder: Path) -> list[bytes]:
    subject = Subject(name="d", kernel="k", kind="copy", cases=(case(), case()), notes=("a",), text="hal.executable")
    bundle = Bundle(
        device="local-task",
        candidate=b"one",
        baseline=b"two",
        beside=frozenset({"run_0"}),
        subjects=(subject,),
        seconds={"build": 1.5},
    )
    save_bundle(bundle, folder / "sample")
    return [(folder / "sample").read_bytes()]


def _read_bundle(file: Path) -> None:
    load_bundle(file).only("d")


def _journals(folder: Path) -> list[bytes]:
    del folder
    verdict = Verdict(outcome="right", device="d", sizes=("4xf32",), ratio=0.5, interval=(0.4, 0.6), ours_us=1.0)
    lines = [json.dumps({"key": key, "verdict": verdict.to_json()}) for key in ("a", "b")]
    return ["\n".join(lines).encode(), lines[0].encode()]


def _read_journal(file: Path) -> None:
    for verdict in Journal(file).known.values():
        assert verdict.text and json.dumps(verdict.to_json())


KINDS = {
    "manifest": Kind(samples=_manifests, read=_read_manifest, mutators=TEXT),
    "definition": Kind(samples=_definitions, read=_read_definition, mutators=TEXT, native=True),
    "ptx": Kind(samples=_shipped("kernel.ptx", 8), read=_read_ptx, mutators=TEXT),
    "spirv": Kind(samples=_binaries, read=_read_spirv, mutators=(change_words, change_words, change_bytes)),
    "llvm": Kind(samples=lambda folder: [LL.encode()], read=_read_llvm, mutators=TEXT, native=True),
    "bitcode": Kind(
        samples=_bitcode,
        read=lambda data, folder: parse_bitcode(data, "sample"),
        mutators=(change_bytes, change_words),
        native=True,
    ),
    "plan": Kind(samples=_plans, read=_file_reader(load_plan), mutators=JSON),
    "lock": Kind(samples=_locks, read=_file_reader(_read_lock), mutators=JSON),
    "bench": Kind(samples=_benches, read=_file_reader(_read_bench), mutators=JSON),
    "journal": Kind(samples=_journals, read=_file_reader(_read_journal), mutators=JSON),
    "bundle": Kind(samples=_bundles, read=_file_reader(_read_bundle), mutators=(change_bytes, *[change_zip(JSON)] * 3)),
}
