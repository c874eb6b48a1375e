"""Runs forms on the simulated device, many in one kernel, and compares with their references."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .forms import Form
from .numbers import FORMATS

LANES = 64
_INPUTS = 4
HEADER = ".version 8.6\n.target sm_90a\n.address_size 64\n"
BITS = {
    "pred": 1,
    "amount": 32,
    "lane": 32,
    "step": 32,
    "f16x2": 32,
    "bf16x2": 32,
    "f16": 16,
    "bf16": 16,
    "f32": 32,
    "f64": 64,
}
_NAMES = "abcf"


def bits_of(type_: str) -> int:
    """Return the bits of an operand."""
    return BITS.get(type_) or int(type_[1:])


def operand(type_: str, source: random.Random) -> int:
    """A bit pattern: special values, small ones and random ones alike."""
    size = bits_of(type_)
    if type_ == "amount":
        return source.choice(
            [0, 1, 7, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 255, 256, 0xFFFFFFFF, source.randrange(70)]
        )
    if type_ == "lane":
        return source.randrange(32)
    if type_ == "step":
        return source.choice([0, 1, -1, 2, -2, 5, -7, 31]) & 0xFFFFFFFF
    if type_.endswith("x2") and type_ in BITS:
        half = type_.removesuffix("x2")
        return operand(half, source) << 16 | operand(half, source)
    if type_ in FORMATS:
        return _float(type_, source)
    mask = (1 << size) - 1
    special = [
        0,
        1,
        2,
        3,
        mask,
        mask - 1,
        mask >> 1,
        (mask >> 1) + 1,
        0x55555555,
        0xDEADBEEF,
        127,
        128,
        255,
        32768,
        65535,
    ]
    return (
        source.choice([source.choice(special), source.getrandbits(size), source.getrandbits(source.randint(1, size))])
        & mask
    )


def _float(type_: str, source: random.Random) -> int:
    format_ = FORMATS[type_]
    sign = source.getrandbits(1) << (format_.bits - 1)
    top, one = format_.infinity, format_.bias << format_.mantissa
    special = [
        0,
        1,
        2,
        (1 << format_.mantissa) - 1,
        1 << format_.mantissa,
        top - 1,
        top,
        top | 1,
        top | 1 << (format_.mantissa - 1),
        top | ((1 << format_.mantissa) - 1),
        one,
        one + 1,
        one - 1,
    ]
    kind = source.randrange(4)
    if kind == 0:
        return sign | source.choice(special)
    if kind == 1:
        return source.getrandbits(format_.bits)
    # near 1, or near the integers and ties that conversions meet
    exponent = format_.bias + source.randint(-4, min(format_.bias, 66 if kind == 2 else 5))
    return (
        sign
        | exponent << format_.mantissa
        | source.getrandbits(format_.mantissa) & source.choice([-1, -1 << (format_.mantissa // 2), 0])
    )


def cases(form: Form, source: random.Random) -> list[tuple[int, ...]]:
    """Operands of one form."""
    return [tuple(operand(t, source) for t in form.inputs) for _ in range(LANES)]


def _scope(number: int, form: Form) -> str:
    lines = []
    texts = form.text
    for at, type_ in enumerate(form.inputs):
        size = bits_of(type_)
        offset = (number * _INPUTS + at) * LANES * 8
        if type_ == "pred":
            lines.append(f".reg .pred %p; .reg .b32 %pw; ld.global.b32 %pw, [%in+{offset}]; setp.ne.b32 %p, %pw, 0;")
        else:
            held = max(size, 16)
            lines.append(f".reg .b{held} %{_NAMES[at]}; ld.global.b{size} %{_NAMES[at]}, [%in+{offset}];")
    for at, type_ in enumerate(form.outputs):
        size = bits_of(type_)
        lines.append(f".reg .{'pred' if type_ == 'pred' else f'b{max(size, 16)}'} %{'de'[at]};")
    lines.append(f"{texts};")
    for at, type_ in enumerate(form.outputs):
        size, name, offset = bits_of(type_), "de"[at], (number * 2 + at) * LANES * 8
        if type_ == "pred":
            lines.append(f".reg .b32 %w{name}; selp.b32 %w{name}, 1, 0, %{name};")
            lines.append(f"st.global.b32 [%out+{offset}], %w{name};")
        else:
            lines.append(f"st.global.b{size} [%out+{offset}], %{name};")
    return "{ " + "\n".join(lines) + " }"


def kernel(forms: Sequence[Form]) -> str:
    """PTX that executes each form once for every lane."""
    body = "\n".join(_scope(n, form) for n, form in enumerate(forms))
    return (
        f"{HEADER}.visible .entry k(.param .u64 pin, .param .u64 pout)\n{{\n.reg .b64 %in, %out, %at; .reg .b32 %t;\n"
        "ld.param.u64 %in, [pin]; ld.param.u64 %out, [pout]; mov.u32 %t, %tid.x; mul.wide.u32 %at, %t, 8;\n"
        f"add.u64 %in, %in, %at; add.u64 %out, %out, %at;\n{body}\nret;\n}}\n"
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """One result that is not what the reference says."""

    form: Form
    operands: tuple[int, ...]
    found: tuple[int, ...]
    wanted: tuple[int, ...]

    def __str__(self) -> str:
        sides = [" ".join(f"{x:#x}" for x in side) for side in (self.operands, self.found, self.wanted)]
        return f"{self.form.text}: of {sides[0]} gives {sides[1]}, should be {sides[2]}"


def differences(forms: Sequence[Form], seed: int) -> list[Difference]:
    """Return the differences between the simulated device and the references; the first of each form."""
    source = random.Random(seed)
    operands = [cases(form, source) for form in forms]
    given = np.zeros((len(forms), _INPUTS, LANES), np.uint64)
    for n, lanes in enumerate(operands):
        for lane, values in enumerate(lanes):
            given[n, : len(values), lane] = values
    results = np.zeros((len(forms), 2, LANES), np.uint64)
    found = _run(kernel(forms), given, results)
    wrong = []
    for n, form in enumerate(forms):
        for lane, values in enumerate(operands[n]):
            one = _judge(form, values, tuple(int(x) for x in found[n, : len(form.outputs), lane]))
            if one is not None:
                wrong.append(one)
                break
    return wrong


def _judge(form: Form, operands: tuple[int, ...], found: tuple[int, ...]) -> Difference | None:
    raw = form.reference(*operands)
    if raw is None:
        return None
    wanted = raw if isinstance(raw, tuple) else (raw,)
    masks = [(1 << bits_of(t)) - 1 for t in form.outputs]
    wanted = tuple(w & m for w, m in zip(wanted, masks, strict=True))
    if form.tolerance and all(abs(f - w) <= form.tolerance for f, w in zip(found, wanted, strict=True)):
        return None
    return None if found == wanted else Difference(form, operands, found, wanted)


def _run(ptx: str, given: np.ndarray, results: np.ndarray) -> np.ndarray:
    from substitute.device.cuda_sim.launch import Limits, launch
    from substitute.device.cuda_sim.memory import Memory
    from substitute.device.cuda_sim.program import load

    memory, program = Memory(1 << 25), load(ptx, "sm_90a")
    places = []
    for data in (given, results):
        address = memory.allocate(data.nbytes)
        memory.write(address, np.ascontiguousarray(data))
        places.append(address)
    entry = program.entries["k"]
    report = launch(
        program,
        "k",
        grid=(1, 1, 1),
        block=(LANES, 1, 1),
        memory=memory,
        limits=Limits(shared_bytes=232448),
        parameters=entry.pack([place.to_bytes(8, "little") for place in places]),
    )
    assert not report.findings, "\n".join(map(str, report.findings))
    return np.frombuffer(memory.read(places[1], results.nbytes), np.uint64).reshape(results.shape)


def batches(forms: Sequence[Form], size: int = 200) -> list[Sequence[Form]]:
    """Forms in kernels of a size that loads quickly."""
    edges = [*range(0, len(forms), size), len(forms)]
    return [forms[a:b] for a, b in pairwise(edges) if b > a]
