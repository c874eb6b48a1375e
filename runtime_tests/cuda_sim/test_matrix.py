"""Matrix instructions: fragments laid out by the ISA's formulas for each element, products by NumPy in float64."""

from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

from runtime_tests.cuda_sim.lane_programs import HEADER, Out, run_kernel
from substitute.device.cuda_sim import wgmma

pytestmark = pytest.mark.unit
RANDOM = np.random.default_rng(5)
TYPES = {
    "f16": (16, np.float16),
    "bf16": (16, ml_dtypes.bfloat16),
    "tf32": (32, np.float32),
    "e4m3": (8, ml_dtypes.float8_e4m3fn),
    "e5m2": (8, ml_dtypes.float8_e5m2),
    "s8": (8, np.int8),
    "u8": (8, np.uint8),
}


def values(type_: str, shape: tuple[int, ...]) -> np.ndarray:
    """Small numbers that every type represents, so that sums are exact."""
    low = 0 if type_[0] == "u" else -4
    return RANDOM.integers(low, 5, shape).astype(TYPES[type_][1])


def registers_of_a(matrix: np.ndarray, bits: int) -> np.ndarray:
    """[lanes, registers] uint32, element by element (PTX ISA 9.7.14.5: row = g + 8·(j odd), column = …)."""
    rows, depth = matrix.shape
    each = 32 // bits
    count = rows // 8 * depth // (4 * each)
    out = np.zeros((32, count, each), matrix.dtype)
    for lane in range(32):
        g, t = lane // 4, lane % 4
        for j in range(count):
            row = g + 8 * (j % (rows // 8))
            start = j // (rows // 8) * 4 * each + t * each
            out[lane, j] = matrix[row, start : start + each]
    return out.view(np.uint32).reshape(32, count)


def registers_of_c(matrix: np.ndarray) -> np.ndarray:
    """[lanes, registers]: rows g and g + 8, columns 2t and 2t + 1."""
    rows = matrix.shape[0]
    out = np.zeros((32, rows // 8 * 2), matrix.dtype)
    for lane in range(32):
        g, t = lane // 4, lane % 4
        for j in range(rows // 8 * 2):
            out[lane, j] = matrix[g + 8 * (j // 2), 2 * t + j % 2]
    return out


def mma_program(opcode: str, a: int, b: int, c: int, wide: bool = False) -> str:
    """Loads fragments [32, n] of A, B, C and stores those of D."""
    kind, size = ("b64", 8) if wide else ("b32", 4)
    names = {"a": a, "b": b, "c": c, "d": c}
    lines = [
        HEADER.format(target="sm_90a"),
        ".visible .entry k(.param .u64 pa, .param .u64 pb, .param .u64 pc, .param .u64 pd) {",
    ]
    lines.append(f".reg .b64 %p, %o; .reg .b32 %t; .reg .{kind} %a<8>, %b<8>, %c<8>, %d<8>; mov.u32 %t, %tid.x;")
    for name, count in names.items():
        if name == "d":
            parts = {n: "{" + ", ".join(f"%{n}{j}" for j in range(names[n])) + "}" for n in names}
            lines.append(f"{opcode} {parts['d']}, {parts['a']}, {parts['b']}, {parts['c']};")
        lines.append(f"ld.param.u64 %p, [p{name}]; mul.wide.u32 %o, %t, {size * count}; add.u64 %p, %p, %o;")
        for j in range(count):
            lines.append(
                f"st.global.{kind} [%p+{size * j}], %d{j};"
                if name == "d"
                else f"ld.global.{kind} %{name}{j}, [%p+{size * j}];"
            )
    return "\n".join([*lines, "ret; }"])


@pytest.mark.parametrize(
    "shape, types",
    [
        ((16, 8, 16), "f32.f16.f16.f32"),
        ((16, 8, 8), "f32.f16.f16.f32"),
        ((16, 8, 16), "f32.bf16.bf16.f32"),
        ((16, 8, 8), "f32.bf16.bf16.f32"),
        ((16, 8, 8), "f32.tf32.tf32.f32"),
        ((16, 8, 4), "f32.tf32.tf32.f32"),
        ((16, 8, 32), "f32.e4m3.e4m3.f32"),
        ((16, 8, 32), "f32.e5m2.e4m3.f32"),
        ((16, 8, 32), "s32.s8.s8.s32"),
        ((16, 8, 16), "s32.u8.s8.s32"),
        ((8, 8, 16), "s32.s8.u8.s32"),
        ((16, 8, 16), "f16.f16.f16.f16"),
    ],
)
def test_mma(shape, types):
    m, n, k = shape
    d_type, a_type, b_type, _ = types.split(".")
    a, b = values(a_type, (m, k)), values(b_type, (k, n))
    result = {"f32": np.float32, "s32": np.int32, "f16": np.float16}[d_type]
    c = RANDOM.integers(-9, 9, (m, n)).astype(result)
    bits = TYPES[a_type][0]
    fragments = [registers_of_a(a, bits), registers_of_a(np.ascontiguousarray(b.T), bits), registers_of_c(c)]
    if d_type == "f16":
        fragments[2] = np.ascontiguousarray(fragments[2]).view(np.uint32)
    opcode = f"mma.sync.aligned.m{m}n{n}k{k}.row.col.{types}"
    ptx = mma_program(opcode, *(f.shape[1] for f in fragments))
    dtype = {"f32": "f4", "s32": "i4", "f16": "u4"}[d_type]
    (found,), report = run_kernel(ptx, "k", [*fragments, Out(fragments[2].shape, dtype)])
    assert not report.findings
    expected = (a.astype("f8") @ b.astype("f8") + c).astype(result)
    assert (found.view(result) == registers_of_c(expected)).all()


def test_mma_f64():
    a, b, c = (RANDOM.integers(-5, 5, shape).astype("f8") for shape in ((8, 4), (4, 8), (8, 8)))
    # PTX ISA 9.7.14.5.1: a: row = lane / 4, column = lane % 4; b: row = lane % 4, column = lane / 4
    lanes = np.arange(32)
    fragments = [a[lanes // 4, lanes % 4][:, None], b[lanes % 4, lanes // 4][:, None], registers_of_c(c)]
    ptx = mma_program("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64", 1, 1, 2, wide=True)
    (found,), report = run_kernel(ptx, "k", [*fragments, Out((32, 2), "f8")])
    assert not report.findings and (found == registers_of_c(a @ b + c)).all()


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("turned", [False, True])
def test_ldmatrix_and_stmatrix(count, turned):
    """Row i of matrix j is at the address that lane 8·j + i gives; lane 4·r + t gets elements 2t, 2t + 1 of row r."""
    trans = ".trans" if turned else ""
    regs = "{" + ", ".join(f"%v{j}" for j in range(count)) + "}"
    ptx = (
        HEADER.format(target="sm_90a")
        + f"""
.visible .entry k(.param .u64 pi, .param .u64 po, .param .u64 ps) {{
.shared .align 128 .b8 tile[1024];
.reg .b64 %i, %o, %s, %w; .reg .b32 %t, %a, %x, %v<4>;
mov.u32 %t, %tid.x; ld.param.u64 %i, [pi]; ld.param.u64 %o, [po]; ld.param.u64 %s, [ps];
mul.wide.u32 %w, %t, 16; add.u64 %i, %i, %w; add.u64 %s, %s, %w;
shl.b32 %a, %t, 4; mov.u32 %x, tile; add.u32 %a, %a, %x;
.reg .b32 %c<4>; ld.global.v4.b32 {{%c0, %c1, %c2, %c3}}, [%i]; st.shared.v4.b32 [%a], {{%c0, %c1, %c2, %c3}};
bar.warp.sync 0xffffffff;
ldmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 {regs}, [%a];
mul.wide.u32 %w, %t, {4 * count}; add.u64 %o, %o, %w;
"""
        + "".join(f"st.global.b32 [%o+{4 * j}], %v{j};\n" for j in range(count))
        + f"""
stmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 [%a+512], {regs};
bar.warp.sync 0xffffffff;
setp.ge.u32 %q, %t, {8 * count}; @%q ret;
ld.shared.v4.b32 {{%c0, %c1, %c2, %c3}}, [%a+512]; st.global.v4.b32 [%s], {{%c0, %c1, %c2, %c3}};
ret; }}""".replace("setp.ge", ".reg .pred %q; setp.ge")
    )
    data = RANDOM.integers(0, 60000, (32, 8)).astype("u2")
    (loaded, stored), report = run_kernel(ptx, "k", [data, Out((32, count), "u4"), Out((8 * count, 8), "u2")])
    assert not report.findings, report.findings
    halves = loaded.view("u2").reshape(32, count, 2)
    for lane in range(32):
        for j in range(count):
            matrix = data[8 * j : 8 * j + 8]
            matrix = matrix.T if turned else matrix
            assert (halves[lane, j] == matrix[lane // 4, 2 * (lane % 4) : 2 * (lane % 4) + 2]).all()
    assert (stored == data[: 8 * count]).all()


# -- wgmma ----------------------------------------------------------------------------------------------------------
def swizzled(offset: np.ndarray, width: int) -> np.ndarray:
    """The 16-byte pieces of rows of `width` bytes, exchanged within 8 rows: piece index xor row index."""
    pieces = width // 16
    row = offset // 128 % 8 if width == 128 else offset // 128 % (4 if width == 64 else 2)
    piece = offset // 16 % (8 if width == 128 else pieces)
    return offset - piece * 16 + (piece ^ row) * 16


def stored(matrix: np.ndarray, width: int) -> tuple[bytes, int, int]:
    """A K-major operand [rows, K] in shared memory: its bytes, the leading and the stride offset."""
    rows, k = matrix.shape
    size = matrix.dtype.itemsize
    out = np.zeros(rows * max(k * size, width if width > 16 else 32), np.uint8)
    r, c = np.meshgrid(np.arange(rows), np.arange(k * size), indexing="ij")
    if width == 16:
        leading, stride = 128, 256
        at = r // 8 * stride + c // 16 * leading + r % 8 * 16 + c % 16
    else:
        leading, stride = 16, 8 * width
        at = swizzled(r // 8 * stride + r % 8 * width + c, width)
    out[at] = np.ascontiguousarray(matrix).view(np.uint8).reshape(rows, -1)
    return out.tobytes(), leading, stride


def wgmma_program(
    opcode: str, result: str, count: int, tail: str, a_registers: bool, a_bytes: int, b_bytes: int
) -> str:
    """Copies A and B into shared memory, multiplies twice (the second time onto the first), stores the fragments."""
    regs = "{" + ", ".join(f"%d{j}" for j in range(count)) + "}"
    a = "{%x0, %x1, %x2, %x3}" if a_registers else "%da"
    lines = [
        HEADER.format(target="sm_90a"),
        f"""
.visible .entry k(.param .u64 ga, .param .u64 gb, .param .u64 fa, .param .u64 xa, .param .u64 xb, .param .u64 out) {{
.shared .align 1024 .b8 sa[{a_bytes}]; .shared .align 1024 .b8 sb[{b_bytes}];
.reg .b64 %p, %w, %da, %db, %s; .reg .b32 %t, %i, %v, %x<4>, %y; .reg .pred %q; .reg .{result} %d<{count}>;
mov.u32 %t, %tid.x;""",
    ]
    for name, size in (("a", a_bytes), ("b", b_bytes)):
        lines.append(f"""shl.b32 %i, %t, 2; ld.param.u64 %p, [g{name}]; cvt.u64.u32 %w, %i; add.u64 %p, %p, %w;
mov.u32 %y, s{name}; add.u32 %y, %y, %i;
L{name}: setp.ge.u32 %q, %i, {size}; @%q bra E{name};
ld.global.b32 %v, [%p]; st.shared.b32 [%y], %v; add.u64 %p, %p, 512; add.u32 %y, %y, 512; add.u32 %i, %i, 512;
bra L{name};
E{name}:
mov.u32 %y, s{name}; shr.u32 %y, %y, 4; cvt.u64.u32 %s, %y; ld.param.u64 %d{name}, [x{name}];
or.b64 %d{name}, %d{name}, %s;""")
    lines.append("bar.sync 0; fence.proxy.async; ld.param.u64 %p, [fa]; mul.wide.u32 %w, %t, 16; add.u64 %p, %p, %w;")
    lines += [f"ld.global.b32 %x{j}, [%p+{4 * j}];" for j in range(4)]
    zero = "0f00000000" if result == "f32" else "0"
    lines += [f"mov.{result} %d{j}, {zero};" for j in range(count)]
    lines.append("wgmma.fence.sync.aligned;")
    for p in ("0", "1"):
        lines.append(f"setp.ne.b32 %q, {p}, 0; {opcode} {regs}, {a}, %db, %q{tail};")
    lines.append(
        "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;"
        f" ld.param.u64 %p, [out]; mul.wide.u32 %w, %t, {4 * count}; add.u64 %p, %p, %w;"
    )
    lines += [f"st.global.{result} [%p+{4 * j}], %d{j};" for j in range(count)]
    return "\n".join([*lines, "ret; }"])


@pytest.mark.parametrize("width", [16, 32, 64, 128])
@pytest.mark.parametrize("type_", ["f16", "bf16", "tf32", "e4m3", "s8"])
@pytest.mark.parametrize("a_registers", [False, True])
def test_wgmma(type_, width, a_registers):
    bits, _ = TYPES[type_]
    n, k = 24, 256 // bits
    a, b = values(type_, (64, k)), values(type_, (n, k))
    (a_data, leading, stride), (b_data, _, _) = stored(a, width), stored(b, width)
    mode = {16: 0, 128: 1, 64: 2, 32: 3}[width]
    descriptor = np.uint64(leading >> 4 << 16 | stride >> 4 << 32 | mode << 62)
    integer = type_ == "s8"
    tail = (
        ""
        if integer
        else ", 1, -1, 0, 0"
        if bits == 16 and not a_registers
        else ", 1, -1, 0"
        if bits == 16
        else ", 1, -1"
    )
    result = "s32" if integer else "f32"
    opcode = f"wgmma.mma_async.sync.aligned.m64n{n}k{k}.{result}.{type_}.{type_}"
    ptx = wgmma_program(opcode, result, n // 2, tail, a_registers, len(a_data), len(b_data))
    fragments = np.concatenate([registers_of_a(a[16 * w : 16 * w + 16], bits) for w in range(4)])
    arguments = [
        np.frombuffer(a_data, "u1"),
        np.frombuffer(b_data, "u1"),
        fragments,
        descriptor,
        descriptor,
        Out((128, n // 2), "u4"),
    ]
    (found,), report = run_kernel(ptx, "k", arguments, block=(128, 1, 1))
    assert not report.findings, [str(f) for f in report.findings]
    expected = 2 * (1 if integer else -1) * (a.astype("f8") @ b.astype("f8").T)
    found = found.view("i4" if integer else "f4")
    for thread in range(128):
        warp, g, t = thread // 32, thread % 32 // 4, thread % 4
        for j in range(n // 2):
            row, column = 16 * warp + g + 8 * (j // 2 % 2), j // 4 * 8 + 2 * t + j % 2
            assert found[thread, j] == expected[row, column]


def stored_turned(matrix: np.ndarray, width: int) -> tuple[bytes, int, int]:
    """Shared memory of a matrix [rows, K] whose rows' dimension is contiguous ("MN-major"), leading and stride offset.

    PTX ISA 9.7.15.5.1, "Canonical layouts", in elements, with T of them in 16 bytes:
    without swizzling ((T, 1, m), (8, k)) : ((1, T, SBO), (T, LBO)),
    else with w = width / 16 ((T, w, m), (8, k)) : ((1, T, LBO), (w T, SBO)), and bits 4, 5, 6 of an address are xored
    with bits 7, 8, 9 (as many of them as the mode has).
    """
    rows, depth = matrix.shape
    size = matrix.itemsize
    t, w = 16 // size, width // 16
    atom = 8 * width  # bytes of 8 depths of one chunk of rows
    chunks = -(-rows // (t * w))
    # chunks of rows follow each other, then eights of depths; some bytes between them show which offset is which
    along_rows, along_depth = atom + (1024 if w > 1 else 48), chunks * (atom + (1024 if w > 1 else 48)) + 1024
    data = bytearray(b"\xff" * (along_depth * (depth // 8)))
    bits = {1: 0, 2: 1, 4: 2, 8: 3}[w]
    for row in range(rows):
        for k in range(depth):
            inner, chunk = row % (t * w), row // (t * w)
            at = inner * size + chunk * along_rows + k % 8 * width + k // 8 * along_depth
            at ^= (at >> 7 & ((1 << bits) - 1)) << 4
            data[at : at + size] = matrix[row, k].tobytes()
    leading, stride = (along_depth, along_rows) if w == 1 else (along_rows, along_depth)
    return bytes(data), leading, stride


@pytest.mark.parametrize("width", [16, 32, 64, 128])
@pytest.mark.parametrize("turned", ["a", "b", "ab"])
def test_wgmma_of_turned_operands(turned, width):
    """A as [K, 64] and B as [K, N], row-major in shared memory: only 16-bit types can be read so."""
    n, k, type_ = 80, 16, "bf16"
    a, b = values(type_, (64, k)), values(type_, (n, k))
    images = [(stored_turned if name in turned else stored)(m, width) for name, m in (("a", a), ("b", b))]
    mode = {16: 0, 128: 1, 64: 2, 32: 3}[width]
    words = [np.uint64(leading >> 4 << 16 | stride >> 4 << 32 | mode << 62) for _, leading, stride in images]
    tail = f", 1, 1, {int('a' in turned)}, {int('b' in turned)}"
    opcode = f"wgmma.mma_async.sync.aligned.m64n{n}k{k}.f32.{type_}.{type_}"
    ptx = wgmma_program(opcode, "f32", n // 2, tail, False, len(images[0][0]), len(images[1][0]))
    arguments = [np.frombuffer(data, "u1") for data, _, _ in images]
    arguments += [np.zeros((128, 4), "u4"), *words, Out((128, n // 2), "f4")]
    (found,), report = run_kernel(ptx, "k", arguments, block=(128, 1, 1))
    assert not report.findings, [str(f) for f in report.findings]
    expected = 2 * (a.astype("f8") @ b.astype("f8").T)
    thread, j = np.indices((128, n // 2))
    row, column = 16 * (thread // 32) + thread % 32 // 4 + 8 * (j // 2 % 2), j // 4 * 8 + 2 * (thread % 4) + j % 2
    np.testing.assert_array_equal(found, expected[row, column])
    # the twin: read as if it were not turned it is another matrix
    wrong = ptx.replace(tail, ", 1, 1, 0, 0", 2)
    assert (run_kernel(wrong, "k", arguments, block=(128, 1, 1))[0][0] != expected[row, column]).any()


WGMMA_FAULTS = {
    "no wait": ("wgmma.wait_group.sync.aligned 0;", "", "unfinished-copy", "st.global"),
    "no commit": ("wgmma.commit_group.sync.aligned;", "", "unfinished-copy", "st.global"),
    "no fence": ("wgmma.fence.sync.aligned;", "", "race", "wgmma.mma_async"),
    "no barrier": ("bar.sync 0;", "", "race", "wgmma.mma_async"),
    "no proxy fence": ("fence.proxy.async;", "", "race", "wgmma.mma_async"),
    "written while in use": (
        "wgmma.wait_group",
        "st.shared.b32 [sb], 0x12345678; wgmma.wait_group",
        "unfinished-copy",
        "st.shared.b32 [sb]",
    ),
    "descriptor past the end": ("or.b64 %da, %da, %s;", "or.b64 %da, %da, 0x3ff0;", "out-of-bounds", "wgmma.mma_async"),
    "half of a warpgroup": (
        "wgmma.fence",
        "setp.lt.u32 %q, %t, 64; @%q ret; wgmma.fence",
        "deadlock",
        "wgmma.mma_async",
    ),
}


@pytest.mark.parametrize("fenced", [False, True])
def test_a_fence_is_needed_once_an_accumulator_was_used(fenced):
    ptx, arguments = wgmma_case()
    product = ptx[ptx.index("wgmma.mma_async") : ptx.index("wgmma.commit_group")].partition(";")[0]
    ends = "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;"
    fence = "wgmma.fence.sync.aligned;" if fenced else ""
    again = ptx.replace(ends, f"{ends} add.f32 %d0, %d0, %d0; {fence} {product}; {ends}")
    _, report = run_kernel(again, "k", arguments, block=(128, 1, 1))
    assert [f.kind for f in report.findings] == ([] if fenced else ["race"]), [str(f) for f in report.findings]


def test_each_warpgroup_waits_for_its_own_products():
    lanes = np.arange(256)
    batch = SimpleNamespace(lanes=None, chosen=lambda _: lanes if batch.lanes is None else batch.lanes)
    flight = wgmma.InFlight(per_block=2, number_of=lanes // 128, classes=[(np.ones(2, bool), wgmma.GroupState())])
    (both,) = flight.states(batch)
    words = [(np.arange(3), np.zeros(3, int), np.full(3, thread)) for thread in (0, 128)]
    both.open, both.open_registers = words, frozenset({7})
    batch.lanes = lanes[128:]
    (second,) = flight.states(batch)
    assert second.open == words[1:] and second.registers == {7}
    second.open, second.open_registers = [], frozenset()
    batch.lanes = lanes[:128]
    (first,) = flight.states(batch)
    assert first.open == words[:1] and first.registers == {7}
    batch.lanes = None
    assert len(flight.states(batch)) == 2
    assert flight.state_of(200) is second


def wgmma_case() -> tuple[str, list[object]]:
    """A right program, and what it is launched with."""
    a, b = values("f16", (64, 16)), values("f16", (16, 16))
    (a_data, leading, stride), (b_data, _, _) = stored(a, 32), stored(b, 32)
    descriptor = np.uint64(leading >> 4 << 16 | stride >> 4 << 32 | 3 << 62)
    opcode = "wgmma.mma_async.sync.aligned.m64n16k16.f32.f16.f16"
    ptx = wgmma_program(opcode, "f32", 8, ", 1, 1, 0, 0", False, len(a_data), len(b_data))
    arguments = [np.frombuffer(a_data, "u1"), np.frombuffer(b_data, "u1"), np.zeros((128, 4), "u4")]
    return ptx, [*arguments, descriptor, descriptor, Out((128, 8), "f4")]


@pytest.mark.parametrize("name", WGMMA_FAULTS)
def test_faults_around_wgmma(name):
    old, new, kind, at = WGMMA_FAULTS[name]
    ptx, arguments = wgmma_case()
    assert old in ptx
    assert not run_kernel(ptx, "k", arguments, block=(128, 1, 1))[1].findings
    _, report = run_kernel(ptx.replace(old, new, 1), "k", arguments, block=(128, 1, 1))
    matching = [f for f in report.findings if f.kind == kind and at in f.instruction]
    assert matching, [str(f) for f in report.findings]


COPIED = ("ld.global.b32 %v, [%p]; st.shared.b32 [%y], %v;", "cp.async.ca.shared.global [%y], [%p], 4;")
FENCES = {
    # after the wait, before or after the barrier: by the threads that copied, or by those that multiply
    "by the writers": ("cp.async.wait_all; fence.proxy.async; bar.sync 0;", ""),
    "by the readers": ("cp.async.wait_all; bar.sync 0; fence.proxy.async;", ""),
    "in groups": ("cp.async.commit_group; cp.async.wait_group 0; fence.proxy.async; bar.sync 0;", ""),
    "none": ("cp.async.wait_all; bar.sync 0;", "race"),
    "of another proxy": ("cp.async.wait_all; fence.proxy.alias; bar.sync 0;", "race"),
    "before the copies have landed": ("fence.proxy.async; cp.async.wait_all; bar.sync 0;", "race"),
    "by half of the writers": (
        "cp.async.wait_all; setp.lt.u32 %q, %t, 64; @%q fence.proxy.async; bar.sync 0;",
        "race",
    ),
}


@pytest.mark.parametrize("name", FENCES)
def test_proxy_fences_behind_asynchronous_copies(name):
    """Writes of cp.async are as invisible to wgmma as those of st.shared, though here the numbers are right anyway."""
    fence, kind = FENCES[name]
    ptx, arguments = wgmma_case()
    assert COPIED[0] in ptx and "bar.sync 0; fence.proxy.async;" in ptx
    ptx = ptx.replace(*COPIED).replace("bar.sync 0; fence.proxy.async;", fence)
    _, report = run_kernel(ptx, "k", arguments, block=(128, 1, 1))
    assert {f.kind for f in report.findings} == ({kind} if kind else set()), [str(f) for f in report.findings]
    assert all("wgmma.mma_async" in f.instruction and "fence.proxy.async" in f.message for f in report.findings)
