"""Small kernels of every kind, written into folders, and models to put them in.

What these kernels compute is what their definition says, plus `MARK`: a result shows who computed it, and in which
order it took its operands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir

from substitute.device import run_module
from substitute.pipeline import CompileResult, compile_model

MARK = 7
CPU_KINDS = ("llvm-ir", "llvm-bitcode", "object")
"""Payloads for the CPU that are files; all three are made from one text here."""

PTR, I64, VOID = ir.PointerType(), ir.IntType(64), ir.VoidType()
LLVM_TYPES: dict[str, ir.Type] = {
    "f32": ir.FloatType(),
    "f64": ir.DoubleType(),
    "f16": ir.HalfType(),
    "i1": ir.IntType(8),
    "i8": ir.IntType(8),
    "i32": ir.IntType(32),
    "i64": I64,
}
"""LLVM types of elements in memory."""


@dataclass(frozen=True)
class Operand:
    """A name with its axes, and whether any strides are fine."""

    name: str
    axes: Sequence[str]
    element: str = "f32"
    strided: bool = False


@dataclass
class Code:
    """A canonical function while it is written: named arguments, loops, elements."""

    builder: ir.IRBuilder
    values: dict[str, ir.Value]
    operands: Mapping[str, Operand]

    @contextmanager
    def loop(self, count: ir.Value) -> Iterator[ir.Value]:
        """`for index in range(count)`; a count of 0 is fine."""
        before = self.builder.block
        head, body, after = (self.builder.append_basic_block(n) for n in ("head", "body", "after"))
        self.builder.branch(head)
        self.builder.position_at_end(head)
        index = self.builder.phi(I64)
        index.add_incoming(I64(0), before)
        self.builder.cbranch(self.builder.icmp_signed("<", index, count), body, after)
        self.builder.position_at_end(body)
        yield index
        index.add_incoming(self.builder.add(index, I64(1)), self.builder.block)
        self.builder.branch(head)
        self.builder.position_at_end(after)

    def place(self, name: str, *indices: ir.Value) -> ir.Value:
        """The address of an element, by the strides that were passed or row-major ones."""
        operand = self.operands[name]
        at: ir.Value = I64(0)
        for axis, index in zip(operand.axes, indices, strict=True):
            if operand.strided:
                at = self.builder.add(at, self.builder.mul(index, self.values[f"stride_{name}_{axis}"]))
            else:
                at = self.builder.add(self.builder.mul(at, self.values[axis]), index)
        return self.builder.gep(self.values[name], [at], source_etype=LLVM_TYPES[operand.element])

    def load(self, name: str, *indices: ir.Value) -> ir.Value:
        """An element."""
        return self.builder.load(self.place(name, *indices), typ=LLVM_TYPES[self.operands[name].element])

    def store(self, value: ir.Value, name: str, *indices: ir.Value) -> None:
        """Stores an element."""
        self.builder.store(value, self.place(name, *indices))


def llvm_text(entry: str, operands: Sequence[Operand], emit: Callable[[Code], None]) -> str:
    """`void entry(ptr operands…, i64 axes…, i64 strides of strided operands…, i64 x, i64 y, i64 z)`."""
    axes = list(dict.fromkeys(axis for operand in operands for axis in operand.axes))
    strides = [f"stride_{o.name}_{axis}" for o in operands if o.strided for axis in o.axes]
    names = [*(o.name for o in operands), *axes, *strides, "x_id", "y_id", "z_id"]
    module = ir.Module(name=entry, context=ir.Context())
    type_ = ir.FunctionType(VOID, [PTR] * len(operands) + [I64] * (len(names) - len(operands)))
    function = ir.Function(module, type_, name=entry)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    emit(Code(builder, dict(zip(names, function.args, strict=True)), {o.name: o for o in operands}))
    builder.ret_void()
    return str(module)


def pointwise(operands: Sequence[Operand], body: Callable[[ir.IRBuilder, list[ir.Value]], ir.Value]) -> str:
    """`result[…] = body(arguments[…])` over the axes of the last operand, one workgroup for all."""

    def emit(code: Code) -> None:
        indices: dict[str, ir.Value] = {}

        def nest(axes: Sequence[str]) -> None:
            if axes:
                with code.loop(code.values[axes[0]]) as index:
                    indices[axes[0]] = index
                    nest(axes[1:])
                return
            loaded = [code.load(o.name, *(indices[a] for a in o.axes)) for o in operands[:-1]]
            last = operands[-1]
            code.store(body(code.builder, loaded), last.name, *(indices[a] for a in last.axes))

        nest(operands[-1].axes)

    return llvm_text("kernel", operands, emit)


def matmul_operands(*, strided: bool = False) -> tuple[Operand, Operand, Operand]:
    """a [M, K], b [K, N], c [M, N] in f32."""
    return tuple(Operand(name, axes, strided=strided) for name, axes in (("a", "MK"), ("b", "KN"), ("c", "MN")))  # type: ignore[return-value]


def matmul_text(entry: str = "kernel", *, strided: bool = False, mark: float = MARK) -> str:
    """`c = a · b + mark`, a row of c in each workgroup."""

    def emit(code: Code) -> None:
        b, row = code.builder, code.values["x_id"]
        with code.loop(code.values["N"]) as n:
            code.store(ir.FloatType()(mark), "c", row, n)
            with code.loop(code.values["K"]) as k:
                product = b.fmul(code.load("a", row, k), code.load("b", k, n))
                code.store(b.fadd(code.load("c", row, n), product), "c", row, n)

    return llvm_text(entry, matmul_operands(strided=strided), emit)


MATMUL_DEFINITION = """
func.func @matmul(%a: tensor<?x?xf32>, %b: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = tensor.dim %a, %c0 : tensor<?x?xf32>
  %n = tensor.dim %b, %c1 : tensor<?x?xf32>
  %empty = tensor.empty(%m, %n) : tensor<?x?xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x?xf32>) -> tensor<?x?xf32>
  %c = linalg.matmul ins(%a, %b : tensor<?x?xf32>, tensor<?x?xf32>) outs(%init : tensor<?x?xf32>) -> tensor<?x?xf32>
  return %c : tensor<?x?xf32>
}
"""


def bitcode(text: str) -> bytes:
    """LLVM IR as bitcode."""
    from substitute.payload.llvm.optimize import parse_ir

    return bytes(parse_ir(text, "test").as_bitcode())


def object_file(text: str, *, relocation: str = "pic") -> bytes:
    """LLVM IR as an object file for this machine."""
    import llvmlite.binding as llvm

    from substitute.payload.llvm.optimize import parse_ir

    module = parse_ir(text, "test")
    target = llvm.Target.from_default_triple()
    return bytes(target.create_target_machine(opt=2, reloc=relocation, codemodel="default").emit_object(module))


@dataclass
class KernelFolder:
    """Contents of a kernel's folder; `write` creates it."""

    payload: str | bytes
    kind: str = "llvm-ir"
    name: str = "marked"
    entry: str = "kernel"
    definition: str = ""
    operands: Sequence[Operand] = ()
    backend: str = "llvm-cpu"
    workgroup_size: Sequence[int] = ()
    workgroup_count: Sequence[str] = ("1", "1", "1")
    keys: Mapping[str, Any] = field(default_factory=dict)
    """Further top-level keys of kernel.toml."""
    target: Mapping[str, Any] = field(default_factory=dict)
    """Further keys of its `[[target]]`."""
    spec_constants: Mapping[int, str] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """The folder, with `kernel.toml` and the other files in it."""
        folder.mkdir(parents=True, exist_ok=True)
        suffix = {"llvm-ir": "ll", "llvm-bitcode": "bc", "object": "o", "spirv": "spv", "glsl": "comp", "ptx": "ptx"}
        file = folder / f"payload.{suffix.get(self.kind, 'py')}"
        data = self.payload
        if isinstance(data, str):
            data = {"llvm-bitcode": bitcode, "object": object_file}.get(self.kind, str.encode)(data)
        file.write_bytes(data)
        if self.definition:
            (folder / "definition.mlir").write_text(self.definition)
        (folder / "kernel.toml").write_text(self._manifest(file.name))
        return folder

    def _manifest(self, file: str) -> str:
        lines = ["schema = 1", f'name = "{self.name}"', *(f"{k} = {_toml(v)}" for k, v in self.keys.items())]
        if self.operands:
            lines.append("[operands]")
            lines += [
                f"{o.name} = {{ axes = {_toml(list(o.axes))}, strided = {_toml(o.strided)} }}" for o in self.operands
            ]
        lines += ["[[target]]", f'backend = "{self.backend}"', *(f"{k} = {_toml(v)}" for k, v in self.target.items())]
        lines += ["[payload]", f'kind = "{self.kind}"', f'file = "{file}"', f'entry = "{self.entry}"']
        if self.spec_constants:
            inner = ", ".join(f'{n} = "{v}"' for n, v in self.spec_constants.items())
            lines.append(f"spec_constants = {{ {inner} }}")
        lines += ["[launch]", f"workgroup_count = {_toml(list(self.workgroup_count))}"]
        if self.workgroup_size:
            lines.append(f"workgroup_size = {_toml(list(self.workgroup_size))}")
        return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    """A value as TOML writes it: strings in single quotes, in which a backslash is a backslash."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"'{k}' = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(v) for v in value)}]"
    return f"'{value}'" if isinstance(value, str) else str(value)


def build(
    folder: Path,
    model: str,
    kernels: Sequence[Path],
    *,
    flags: Sequence[str] = (),
    substituted: int = 1,
    isolate: bool = False,
) -> CompileResult:
    """Compile a model's text with only these kernels, and check the number of substituted dispatches."""
    file = folder / "model.mlir"
    file.write_text(model)
    result = compile_model(file, kernels=kernels, builtin=False, flags=flags, isolate=isolate)
    assert len(result.plan.substitutions) == substituted, [
        f"{d.kernel.name} on {d.dispatch.name}: {d.rules[-1]}" for d in result.plan.decisions
    ]
    return result


def run(
    folder: Path,
    model: str,
    kernels: Sequence[Path],
    inputs: Sequence[np.ndarray[Any, Any]],
    *,
    flags: Sequence[str] = (),
    substituted: int = 1,
    device: str = "local-sync",
    isolate: bool = False,
) -> list[np.ndarray[Any, Any]]:
    """Compiles and runs; the results."""
    result = build(folder, model, kernels, flags=flags, substituted=substituted, isolate=isolate)
    return run_module(result.vmfb, device=device, inputs=inputs)


def floats(*shape: int, seed: int = 3) -> np.ndarray[Any, Any]:
    """Normal f32 numbers; another `seed`, other numbers."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def generic(maps: Sequence[str], inputs: str, outputs: str, body: str, results: str, dims: str = "i, j") -> str:
    """A parallel `linalg.generic`: maps as `i, j` texts, the rest as MLIR."""
    texts = ", ".join(f"affine_map<({dims}) -> ({m})>" for m in maps)
    kinds = ", ".join(['"parallel"'] * len(dims.split(",")))
    return (
        f"linalg.generic {{indexing_maps = [{texts}], iterator_types = [{kinds}]}}\n"
        f"    ins({inputs}) outs({outputs}) {{\n{body}\n  }} -> {results}"
    )


def subtraction(x: str, y: str, shape: str) -> str:
    """`x - y` into the tensor %e, as a linalg.generic; x and y are values of two dimensions."""
    type_ = f"tensor<{shape}xf32>"
    body = "  ^bb0(%p: f32, %q: f32, %o: f32):\n    %s = arith.subf %p, %q : f32\n    linalg.yield %s : f32"
    return generic(["i, j"] * 3, f"{x}, {y} : {type_}, {type_}", f"%e : {type_}", body, type_)
