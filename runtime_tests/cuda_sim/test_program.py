"""Refusals: invalid PTX, wrong versions and targets, unsupported instructions, invalid launches."""

import numpy as np
import pytest

from runtime_tests.cuda_sim.fault_kernels import BODIES, text
from runtime_tests.cuda_sim.lane_programs import HEADER, Out, run_kernel
from substitute.device.cuda_sim import faults
from substitute.device.cuda_sim.faults import InvalidAddress, LaunchError, LoadError, OutOfMemory
from substitute.device.cuda_sim.launch import Limits, launch
from substitute.device.cuda_sim.memory import Memory
from substitute.device.cuda_sim.program import load

pytestmark = pytest.mark.unit
COPY = text(BODIES["copy"])


def code_of(ptx: str | bytes, architecture: str = "sm_90a", **options) -> int:
    with pytest.raises(LoadError) as caught:
        dict(load(ptx, architecture, **options).entries)
    return caught.value.code


def test_versions_and_targets():
    assert code_of(COPY.replace(".version 8.6", ".version 99.0")) == faults.UNSUPPORTED_PTX_VERSION
    assert code_of(COPY, newest_isa=(8, 5)) == faults.UNSUPPORTED_PTX_VERSION
    assert code_of(COPY, "sm_80") == faults.NO_BINARY_FOR_GPU
    assert code_of(COPY, "sm_100a") == faults.NO_BINARY_FOR_GPU
    plain = COPY.replace("sm_90a", "sm_80")
    for architecture in ("sm_80", "sm_86", "sm_90a", "sm_120"):
        assert load(plain, architecture).entries
    assert code_of(plain, "sm_75") == faults.NO_BINARY_FOR_GPU


def test_bad_text():
    assert code_of(COPY[: len(COPY) // 2]) == faults.INVALID_PTX
    assert code_of("") == faults.INVALID_PTX
    assert code_of(b"\xff\xfe\x00") == faults.INVALID_PTX
    assert code_of(COPY.replace("%p, %i, %n;", "%p, %i;")) == faults.INVALID_PTX


REFUSED = {
    "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%s], [%in, {%t, %n}], [%a];": (
        "tensor maps"
    ),
    "mapa.shared::cluster.u32 %x, %s, 0;": "clusters",
    "barrier.cluster.arrive;": "clusters",
    "mov.u32 %x, %cluster_ctaid.x;": "clusters",
    "tcgen05.fence::before_thread_sync;": "tcgen05",
    "tex.1d.v4.f32.s32 {%x, %x, %x, %x}, [%in, {%t}];": "textures",
    "wmma.load.a.sync.aligned.row.m8n8k32.global.s4 {%x}, [%in], 32;": "wmma",
    "wobble.u32 %x, %x;": "wobble.u32",
    "add.wobble.u32 %x, %x, %x;": ".wobble",
    "mma.sp.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%x}, {%x}, {%x}, {%x}, %x, 0;": "mma.sp",
}


@pytest.mark.parametrize("instruction", REFUSED)
def test_what_is_out_is_refused_by_name_and_place(instruction):
    ptx = text(BODIES["copy"].replace("ld.global", f"{instruction}\nld.global"))
    with pytest.raises(LoadError) as caught:
        load(ptx, "sm_90a").entries["k"]
    error = caught.value
    assert error.code == faults.NOT_SUPPORTED and REFUSED[instruction] in error.what
    assert error.source is not None and error.source.text == instruction
    assert ptx.splitlines()[error.source.line - 1] == instruction


def test_message_of_a_refusal():
    with pytest.raises(LoadError) as caught:
        load(text("mapa.shared::cluster.u32 %x, %s, 0;\nret;\n"), "sm_90a").entries["k"]
    assert str(caught.value) == (
        "k:11: the simulated device does not execute clusters (mapa)\n"
        "    11 | mapa.shared::cluster.u32 %x, %s, 0;\n"
        "       | ^\n"
        "  found:     mapa.shared::cluster.u32 %x, %s, 0;\n"
        "  next:      run this kernel on a GPU, or choose a variant for an older architecture"
    )


def test_a_kernel_that_is_refused_leaves_those_beside_it_alone():
    other = ".visible .entry other() { .reg .b32 %r; mapa.shared::cluster.u32 %r, %r, 0; ret; }\n"
    program = load(COPY.replace(".visible .entry k", other + ".visible .entry k"), "sm_90a")
    assert list(program.entries) == ["other", "k"] and program.entries["k"].name == "k"
    with pytest.raises(LoadError, match=r"clusters \(mapa\)"):
        program.entries["other"]
    assert "none" not in program.entries


SUM = """.func (.reg .u32 s) {name}(.reg .u32 n) {{
  .reg .u32 m, t; .reg .pred p;
  mov.u32 s, 0; setp.eq.u32 p, n, 0; @p bra END;
  sub.u32 m, n, 1; call (t), {other}, (m); add.u32 s, t, n;
END: ret; }}
"""
RECURSIVE = """.visible .entry k(.param .u64 out) {{
  .reg .u64 o, w; .reg .u32 i, s;
  ld.param.u64 o, [out]; mov.u32 i, %tid.x; mul.wide.u32 w, i, 4; add.u64 o, o, w; add.u32 i, i, {more};
  call (s), {called}, (i); st.global.u32 [o], s; ret; }}
"""


@pytest.mark.parametrize("mutual", [False, True])
def test_functions_that_call_themselves(mutual):
    other = "g" if mutual else "f"
    declared = ".func (.reg .u32 s) g(.reg .u32 n);\n"
    functions = SUM.format(name="f", other=other) + SUM.format(name="g", other="f")
    ptx = HEADER.format(target="sm_80") + declared + functions + RECURSIVE.format(called="f", more=0)
    (found,), report = run_kernel(ptx, "k", [Out((32,), "u4")])
    assert found.tolist() == [n * (n + 1) // 2 for n in range(32)]
    assert not report.findings
    # the twin: what is not expanded is said
    deep = ptx.replace("add.u32 i, i, 0;", "add.u32 i, i, 60;")
    (finding,) = run_kernel(deep, "k", [Out((32,), "u4")])[1].findings
    assert finding.kind == "trap" and "deep, which is not followed here" in finding.message


def test_an_alias_is_its_function():
    alias = ".func (.reg .u32 s) h(.reg .u32 n);\n.alias h, f;\n"
    functions = SUM.format(name="f", other="f") + alias
    ptx = HEADER.format(target="sm_80") + functions + RECURSIVE.format(called="h", more=0)
    (found,), report = run_kernel(ptx, "k", [Out((32,), "u4")])
    assert found.tolist() == [n * (n + 1) // 2 for n in range(32)] and not report.findings


@pytest.mark.parametrize(
    "change",
    [
        {"grid": (0, 1, 1)},
        {"grid": (1, 70000, 1)},
        {"block": (2048, 1, 1)},
        {"block": (32, 64, 1)},
        {"parameters": b""},
        {"dynamic_shared_bytes": 1 << 20},
    ],
)
def test_launches_that_no_device_starts(change):
    program, memory = load(COPY, "sm_90a"), Memory(1 << 16)
    arguments = {"grid": (1, 1, 1), "block": (32, 1, 1), "parameters": bytes(20), "memory": memory} | change
    with pytest.raises(LaunchError) as caught:
        launch(program, "k", **arguments)
    assert caught.value.code == faults.INVALID_VALUE


def test_required_block():
    program = load(COPY.replace(") {", ")\n.reqntid 64, 1, 1\n{", 1), "sm_90a")
    with pytest.raises(LaunchError, match="cannot be launched"):
        launch(program, "k", grid=(1, 1, 1), block=(32, 1, 1), parameters=bytes(20), memory=Memory(1 << 16))
    assert program.entries["k"].required_block == (64, 1, 1)


def test_cut_and_damaged_ptx_never_crashes():
    """Each of these is refused with a `LoadError`, or runs to a report."""
    random = np.random.default_rng(4)
    words = np.arange(512, dtype="u4")
    for body in BODIES.values():
        ptx = text(body)
        for _ in range(12):
            at = int(random.integers(200, len(ptx)))
            kind = int(random.integers(0, 3))
            token = ["%x", "7", ";", "[%s]", "%p", "ld", ".u32", "}", ","][int(random.integers(0, 9))]
            damaged = (ptx[:at], ptx[:at] + ptx[at + 3 :], ptx[:at] + token + ptx[at:])[kind]
            try:
                run_kernel(
                    damaged,
                    "k",
                    [words, Out((512,), "u4"), np.uint32(512)],
                    block=(128, 1, 1),
                    limits=Limits(steps=3000),
                )
            except (LoadError, LaunchError, KeyError) as error:
                assert "a bug" not in str(error), f"{error}\n{damaged}"


# -- memory ---------------------------------------------------------------------------------------------------------
def test_allocations_are_apart_and_reused_late():
    memory = Memory(1 << 16)
    first, second = memory.allocate(100), memory.allocate(100)
    assert first % 256 == 0 and second - first >= 100 + 256
    memory.free(first)
    assert memory.was_freed(first) and memory.allocate(100) != first
    with pytest.raises(InvalidAddress):
        memory.free(first)
    with pytest.raises(OutOfMemory):
        memory.allocate(1 << 20)


def test_all_memory_can_be_used_again():
    memory = Memory(1 << 16)
    free = memory.free_bytes
    for _ in range(5):
        addresses = [memory.allocate(3000) for _ in range(15)]
        for address in addresses:
            memory.free(address)
    assert memory.free_bytes == free and memory.contains(memory.allocate(60000), 60000)


def test_host_copies_keep_what_is_known_of_the_bytes():
    memory = Memory(1 << 16)
    first, second = memory.allocate(64), memory.allocate(64)
    memory.write(first, b"abcd")
    memory.copy(second, first, 64)
    assert memory.read(second, 4) == b"abcd"
    low = second - memory.base
    assert (memory.shadow[low : low + 4] == 2).all() and (memory.shadow[low + 4 : low + 64] == 1).all()
    memory.fill(second, b"\x01\x02", 32)
    assert memory.read(second, 64) == b"\x01\x02" * 32 and (memory.shadow[low : low + 64] == 2).all()
    for call in (lambda: memory.read(first, 65), lambda: memory.write(first - 8, b"x"), lambda: memory.read(5, 1)):
        with pytest.raises(InvalidAddress):
            call()


def test_arena_of_somebody_else():
    data = np.zeros(1 << 16, np.uint8)
    memory = Memory(len(data), base=0x1000, data=data)
    address = memory.allocate(16)
    memory.write(address, b"0123456789abcdef")
    assert bytes(data[address - 0x1000 :][:16]) == b"0123456789abcdef"
    memory.register(0x1000 + 40960, 64, "host")
    assert memory.contains(0x1000 + 40960, 64) and HEADER
