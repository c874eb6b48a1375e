"""Effect of a substitution on the IR, checked through the bindings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runtime_tests.match.definitions import matmul_kernel
from runtime_tests.match.kernels import accepted
from runtime_tests.read.executables import CUDA, VULKAN, context, executable, parse
from runtime_tests.read.short_form import matmul
from substitute.abi.bind import bind
from substitute.errors import PlanError
from substitute.model.constraints import Comparison
from substitute.model.index import Expr, Index, apply, mul, push
from substitute.model.kernel import TargetRule
from substitute.model.payload_kind import PayloadFormat
from substitute.model.plan import Payload, Request, Substitution
from substitute.read.module import Site, children, read_module, symbol_name
from substitute.rewrite.apply import FALLBACK_SUFFIX, substitute_export
from substitute.rewrite.geometry import set_workgroup_count

pytestmark = pytest.mark.compile

ZERO = "%zero = arith.constant 0.0 : f32\n"
STATIC = f"{ZERO}%a = input 0 !4x8xf32\n%b = input 1 !8x16xf32{matmul(m=4, n=16, k=8)}\noutput 2 %r !4x16xf32"
DYNAMIC = f"""{ZERO}
    %q = size 2
    %m = iree_tensor_ext.dispatch.workload.ordinal %q, 0 : index
    %p = push 0
    %at = arith.index_castui %p : i32 to index
    %a_s = subspan 0 offset(%at) : DT<readonly:!?x8xf32>{{%m}}
    %c_s = subspan 2 : DT<writeonly:!?x16xf32>{{%m}}
    %a = DT.load %a_s, offsets = [0, 0], sizes = [%m, 8], strides = [1, 1] : DT<readonly:!?x8xf32>{{%m}} -> !?x8xf32
    %b = input 1 !8x16xf32
    %e = tensor.empty(%m) : !?x16xf32
    %i = linalg.fill ins(%zero : f32) outs(%e : !?x16xf32) -> !?x16xf32
    %r = linalg.matmul ins(%a, %b : !?x8xf32, !8x16xf32) outs(%i : !?x16xf32) -> !?x16xf32
    DT.store %r, %c_s, offsets = [0, 0], sizes = [%m, 16], strides = [1, 1] : !?x16xf32 -> DT<writeonly:!?x16xf32>{{%m}}
"""
M = Expr("u64", (push(2), push(3)))
CPU_PAYLOAD = Payload(
    format=PayloadFormat.BITCODE, data=b"BC\xc0\xde" * 9, entry="entry_here", workgroup_count=(4, 1, 1)
)


def rewritten(text: str, payload: Payload, *, condition: Any = True, **options: Any) -> tuple[Any, Site, Request]:
    """The module after a kernel took its dispatch, verified; its site; what the payload is called with."""
    with context():
        module = parse(executable(text, **options))
        (site,) = read_module(module)
        made = matmul_kernel()
        match = accepted(made, site.dispatch)
        request = bind(Substitution(dispatch=site.dispatch, kernel=made, match=match), entry=payload.entry)
        substitute_export(site, request, payload, condition)
        assert module.verify()
    return module, site, request


def walk(op: Any) -> list[Any]:
    """All operations inside, in order."""
    found: list[Any] = []
    for inner in children(op):
        found += [inner, *walk(inner)]
    return found


def named(op: Any, name: str) -> list[Any]:
    return [o for o in walk(op) if o.name == name]


def test_a_call_out() -> None:
    module, site, request = rewritten(STATIC, CPU_PAYLOAD)
    functions = {symbol_name(f): f for f in named(module, "func.func")}
    assert set(functions) == {"main_dispatch_0_work", "entry_here"}
    names = [op.name for op in walk(functions["main_dispatch_0_work"])]
    assert not any(name.startswith(("linalg.", "tensor.", "iree_tensor_ext.")) for name in names)
    assert names.count("hal.interface.binding.subspan") == 3
    (call,) = named(functions["main_dispatch_0_work"], "func.call")
    assert str(call.attributes["callee"]) == "@entry_here"
    assert [str(o.type) for o in call.operands] == ["memref<i8>"] * 3 + ["index"] * 6  # M, K, N, three workgroup ids
    assert [p.name for p in request.parameters] == ["a", "b", "c"]
    declared = functions["entry_here"]
    assert str(declared.attributes["function_type"]) == str(functions_type(call))
    assert "hal.import.static" in declared.attributes
    assert str(declared.attributes["llvm.bareptr"]) == "true"
    assert (symbol_name(site.export), symbol_name(site.variant)) == ("main_dispatch_0_work", "cpu")


def functions_type(call: Any) -> Any:
    from iree.compiler import ir

    with context():
        return ir.FunctionType.get([o.type for o in call.operands], [])


def test_offsets_and_sizes_in_a_call_out() -> None:
    module, _, request = rewritten(DYNAMIC, CPU_PAYLOAD, constants=4, workload=1)
    (function,) = [f for f in named(module, "func.func") if symbol_name(f) == "main_dispatch_0_work"]
    first = named(function, "memref.view")[0]
    offset = first.operands[1].owner
    assert offset.name == "arith.index_castui"
    load = offset.operands[0].owner
    assert (load.name, int(load.attributes["ordinal"].value)) == ("hal.interface.constant.load", 0)
    assert request.scalars == (M, 8, 16)
    assert request.scalar_names == ("M", "K", "N")


def test_the_object_is_embedded() -> None:
    module, site, _ = rewritten(STATIC, CPU_PAYLOAD)
    text = str(site.variant.attributes["objects"])
    assert 'path = "entry_here.bc"' in text
    assert bytes_of(text) == CPU_PAYLOAD.data
    assert named(module, "func.call")


def bytes_of(text: str) -> bytes:
    """The elements of a `dense<[66, -64, …]>` of bytes."""
    numbers = text.partition("dense<[")[2].partition("]")[0].split(",")
    return bytes(int(n) % 256 for n in numbers)


def count_of(export: Any) -> list[str]:
    """The count region's result, each as an expression over `%w0`, …"""
    block = export.regions[0].blocks[0]
    names = {argument: f"w{n - 1}" for n, argument in enumerate(block.arguments)}

    def words(value: Any) -> str:
        if value in names:
            return names[value]
        op = value.owner
        if op.name == "arith.constant":
            return str(op.attributes["value"].value)
        return f"{op.name.removeprefix('arith.')}({', '.join(words(o) for o in op.operands)})"

    return [words(o) for o in list(block.operations)[-1].operation.operands]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        ((4, 2, 1), ["4", "2", "1"]),
        ((M, 1, 1), ["w0", "1", "1"]),
        ((apply("ceildiv", M, 64), mul(M, 3), 1), ["ceildivui(w0, 64)", "muli(w0, 3)", "1"]),
        # a difference may be negative: then the operations have a sign
        ((apply("max", apply("sub", M, 10), 1), 1, 1), ["maxsi(subi(w0, 10), 1)", "1", "1"]),
        (
            (apply("rem", apply("sub", M, 10), 3), 1, 1),
            ["subi(subi(w0, 10), muli(floordivsi(subi(w0, 10), 3), 3))", "1", "1"],
        ),
    ],
)
def test_the_workgroup_count_is_over_the_workload(count: tuple[Index, Index, Index], expected: list[str]) -> None:
    payload = Payload(format=PayloadFormat.BITCODE, data=b"BC\xc0\xde", entry="entry_here", workgroup_count=count)
    module, site, _ = rewritten(DYNAMIC, payload, constants=4, workload=1)
    assert count_of(site.export) == expected
    assert named(module, "func.call")


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        ((4, 2, 1), ["4", "2", "1"]),
        ((M, 1, 1), [f"select(cmpi(w0, 0), 0, {c})" for c in ("w0", "1", "1")]),
        (
            (M, mul(M, 3), 1),
            [f"select(ori(cmpi(w0, 0), cmpi(muli(w0, 3), 0)), 0, {c})" for c in ("w0", "muli(w0, 3)", "1")],
        ),
    ],
)
def test_none_in_one_direction_is_none_in_all_on_cuda(count: tuple[Index, Index, Index], expected: list[str]) -> None:
    with context():
        module = parse(executable(DYNAMIC, constants=4, workload=1))
        (site,) = read_module(module)
        target = replace(site.dispatch.target, backend="cuda")
        set_workgroup_count(site.export, replace(site.dispatch, target=target), count)
        assert count_of(site.export) == expected
        assert module.verify()


def test_a_count_that_the_host_does_not_know() -> None:
    with context():
        module = parse(executable(DYNAMIC, constants=4, workload=1))
        (site,) = read_module(module)
        with pytest.raises(PlanError) as caught:
            set_workgroup_count(site.export, site.dispatch, (add_one(push(0)), 1, 1))
    assert str(caught.value) == (
        "main_dispatch_0_work: the launch geometry depends on a value that IREE does not give to the workgroup count\n"
        "  expected:  sizes among the dispatch's workload: u64(push(2), push(3))\n"
        "  found:     push(0)\n"
        "  next:      compute the workgroup count from sizes of the parallel loops only"
    )


def add_one(value: Index) -> Index:
    return apply("add", value, 1)


def test_a_condition_keeps_iree_s_own_code() -> None:
    condition = Comparison(predicate="eq", left=apply("rem", M, 4), right=0)
    module, site, _ = rewritten(DYNAMIC, CPU_PAYLOAD, condition=condition, constants=4, workload=1)
    exports = {symbol_name(e): e for e in named(module, "hal.executable.export")}
    fallback = f"main_dispatch_0_work{FALLBACK_SUFFIX}"
    assert list(exports) == ["main_dispatch_0_work", fallback]
    assert str(site.export.attributes["condition_fallback"]) == f"@{fallback}"
    assert [int(e.attributes["ordinal"].value) for e in exports.values()] == [0, 1]
    condition_block = site.export.regions[1].blocks[0]
    assert [op.operation.name for op in condition_block.operations] == [
        "arith.constant",
        "arith.remui",
        "arith.constant",
        "arith.cmpi",
        "hal.return",
    ]
    functions = {symbol_name(f): f for f in named(module, "func.func")}
    assert named(functions[fallback], "linalg.matmul")
    assert not named(functions["main_dispatch_0_work"], "linalg.matmul")
    # only the first export's count is ours
    assert count_of(site.export) == ["4", "1", "1"]
    assert named(exports[fallback], "iree_tensor_ext.dispatch.workgroup_count_from_slice")


def test_twin_without_a_condition_nothing_is_kept() -> None:
    module, _, _ = rewritten(DYNAMIC, CPU_PAYLOAD, constants=4, workload=1)
    assert len(named(module, "hal.executable.export")) == 1
    assert not named(module, "linalg.matmul")


@pytest.mark.parametrize(("target", "kind", "backend"), [(VULKAN, "spirv", "vulkan-spirv"), (CUDA, "ptx", "cuda")])
def test_an_external_variant(target: str, kind: str, backend: str) -> None:
    payload = Payload(
        format=PayloadFormat(kind),
        data=b"\x03\x02\x23\x07" * 4,
        entry="entry_here",
        workgroup_count=(4, 1, 1),
        workgroup_size=(64, 2, 1),
        shared_memory_bytes=1024,
    )
    module, site = external(target, payload)
    assert site.dispatch.target.backend == backend
    assert not named(module, "builtin.module")
    assert not named(module, "func.func")
    assert [int(s.value) for s in site.export.attributes["workgroup_size"]] == [64, 2, 1]
    assert int(site.export.attributes["workgroup_local_memory"].value) == 1024
    assert count_of(site.export) == ["4", "1", "1"]
    assert "objects" in site.variant.attributes


def external(target: str, payload: Payload) -> tuple[Any, Site]:
    with context():
        module = parse(executable(STATIC, target=target))
        (site,) = read_module(module)
        made = matmul_kernel(targets=[TargetRule(backend=site.dispatch.target.backend)], kind="glsl")
        match = accepted(made, site.dispatch)
        request = bind(Substitution(dispatch=site.dispatch, kernel=made, match=match), entry=payload.entry)
        substitute_export(site, request, payload)
        assert module.verify()
    return module, site


CONSTANT = """
func.func @scaled(%x: !?xf32, %w: !?xf32) -> !?xf32 {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : !?xf32
  %e = tensor.empty(%n) : !?xf32
  %r = linalg.map { arith.mulf } ins(%x, %w : !?xf32, !?xf32) outs(%e : !?xf32)
  return %r : !?xf32
}
"""


@pytest.mark.parametrize(
    ("constant", "size", "data"),
    [
        ("%w = arith.constant dense<[1.0, 2.0, 3.5]> : !3xf32", 3, "0000803F0000004000006040"),
        ("%w = arith.constant dense<[0.0, 0.0, -0.0]> : !3xf32", 3, "000000000000000000000080"),
        (
            "%all = arith.constant dense<[0.0, 1.0, 2.0, 3.5]> : !4xf32\n"
            "%w = tensor.extract_slice %all[1] [3] [1] : !4xf32 to !3xf32",
            4,
            "000000000000803F0000004000006040",
        ),
    ],
    ids=["whole", "negative zero", "slice"],
)
def test_constants_become_globals(constant: str, size: int, data: str) -> None:
    from runtime_tests.match.kernels import kernel

    text = f"""
    %x = input 0 !3xf32
    {constant}
    %r = arith.mulf %x, %w : !3xf32
    output 1 %r !3xf32
    """
    with context():
        module = parse(executable(text, bindings=2))
        (site,) = read_module(module)
        made = kernel(CONSTANT, {"x": "N", "w": "N", "y": "N"})
        match = accepted(made, site.dispatch)
        request = bind(Substitution(dispatch=site.dispatch, kernel=made, match=match), entry="entry_here")
        substitute_export(site, request, CPU_PAYLOAD)
        assert module.verify()
        (data_op,) = named(module, "memref.global")
        assert bytes_of(str(data_op.attributes["initial_value"])) == bytes.fromhex(data)
    assert str(data_op.attributes["type"]) == f"memref<{4 * size}xi8>"
    (call,) = named(module, "func.call")
    assert [o.owner.name for o in call.operands][:3] == ["memref.view"] * 3
    assert {str(o.type) for o in list(call.operands)[:3]} == {"memref<i8>"}
