"""Mutation operators: each changes tokens of one line in a way in which kernels really go wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from runtime_tests.faults.kernel import FILES, Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One way to spoil a line of code."""

    fault: str
    """The class that it belongs to, for the tables."""
    change: Callable[[Sequence[str]], Iterator[str]]
    """From a line's tokens (white space among them) to spoiled lines."""


TOKEN = re.compile(
    r"""(?P<comment>;[^\n]*|//[^\n]*|\#[^\n]*)|(?P<space>\s+)|(?P<string>"[^"]*")|
    (?P<name>[%@$]?[A-Za-z_.][\w.$]*|%\d+)|(?P<number>0[xXfFdD][0-9A-Fa-f]+|\d+\.\d*(?:[eE][-+]?\d+)?|\d+)|
    (?P<mark>\+\+|--|<=|>=|==|!=|\+=|-=|\*=|&&|\|\||.)""",
    re.VERBOSE,
)


def tokens(line: str) -> list[str]:
    """A line's tokens; joined, they are the line."""
    return [m.group() for m in TOKEN.finditer(line)]


def _replaced(line: Sequence[str], at: int, text: str) -> str:
    return "".join((*line[:at], text, *line[at + 1 :]))


def swap(fault: str, table: dict[str, str], *, near: str = "") -> Operator:
    """Any token of the table becomes another, in lines in which `near` is a token (in any line if empty)."""

    def change(line: Sequence[str]) -> Iterator[str]:
        if near and near not in line:
            return
        for at, token in enumerate(line):
            if token in table:
                yield _replaced(line, at, table[token])

    return Operator(fault=fault, change=change)


def rewrite(fault: str, pattern: str, text: str) -> Operator:
    """A whole line that has this form becomes another (or several)."""
    form = re.compile(pattern)

    def change(line: Sequence[str]) -> Iterator[str]:
        joined = "".join(line)
        if form.search(joined):
            yield form.sub(text, joined, count=1)

    return Operator(fault=fault, change=change)


LLVM = (
    swap("loop bound", {"slt": "sle", "sgt": "sge"}),
    rewrite(
        "loop bound",
        r"^(\s*)(%\w+) = icmp slt i64 (%\w+), (%\w+)$",
        r"\1\2_most = sub i64 \4, 1\n\1\2 = icmp slt i64 \3, \2_most",
    ),
    rewrite(
        "dropped tail",
        r"^(\s*)(%\w+) = icmp slt i64 (%\w+), (%\w+)$",
        r"\1\2_most = and i64 \4, -4\n\1\2 = icmp slt i64 \3, \2_most",
    ),
    rewrite("loop start", r"phi i64 \[ 0,", "phi i64 [ 1,"),
    rewrite("loop step", r"(%\w+_next = add i64 %\w+), 1$", r"\1, 2"),
    swap("wrong operation", {"fadd": "fsub", "fsub": "fadd", "fdiv": "fmul", "fmul": "fadd"}),
    swap(
        "min and max",
        {
            "llvm.maximum.f32": "llvm.minimum.f32",
            "@llvm.maximum.f32": "@llvm.minimum.f32",
            "@llvm.minimum.f32": "@llvm.maximum.f32",
            "sgt": "slt",
            "@llvm.smin.i64": "@llvm.smax.i64",
        },
    ),
    rewrite("swapped operands", r"= (fsub|fdiv) float (\S+), (\S+)$", r"= \1 float \3, \2"),
    rewrite("swapped operands", r"= sub i32 (\S+), (%\S+)$", r"= sub i32 \2, \1"),
    swap("wrong axis", {"%M_": "%N_"}, near="mul"),
    swap("wrong axis", {"%N_": "%M_"}, near="mul"),
    swap("wrong axis", {"%K_": "%N_"}, near="mul"),
    rewrite("ignored index", r"= add i64 (%start\d+), %\w+$", r"= add i64 \1, 0"),
    rewrite("ignored index", r"= mul i64 %id_x, (%?\w+)$", r"= mul i64 0, \1"),
    rewrite("constant", r"(f(?:add|mul) float %\w+), (\d+\.\d+)$", r"\1, 0x3FF028F5C0000000"),
    rewrite("rounded differently", r"add i32 (%bits\d+), 32767", r"add i32 \1, 32768"),
    rewrite("rounded differently", r"add i32 (%bits\d+), 32767", r"add i32 \1, 0"),
    rewrite("constant", r"0x3FE6A09E60000000", "0x3FE6A00000000000"),
    rewrite("constant", r"sub i32 (%\w+), 3$", r"sub i32 \1, 2"),
    rewrite("missing initialisation", r"^\s*store (?:float|i32) (?:0\.0|0|0xFFF0000000000000), ptr %\w+$", ""),
    rewrite("wrong start", r"store float 0xFFF0000000000000, ptr", "store float 0.0, ptr"),
    rewrite(
        "low precision",
        r"^(\s*)store float (%total\d+), ptr (%\w+)$",
        r"\1\2_h = fptrunc float \2 to half\n\1\2_w = fpext half \2_h to float\n\1store float \2_w, ptr \3",
    ),
    rewrite(
        "rounded differently",
        r"^(\s*)(%narrow\d+) = fptrunc float (%\w+) to half$",
        r"\1\2_i = bitcast float \3 to i32\n\1\2_z = and i32 \2_i, -8192\n"
        r"\1\2_f = bitcast i32 \2_z to float\n\1\2 = fptrunc float \2_f to half",
    ),
    rewrite("signedness", r"= sext i(8|32) ", r"= zext i\1 "),
    rewrite("signedness", r"= sitofp i32 ", r"= uitofp i32 "),
    swap("signedness", {"sgt": "ugt"}),
    rewrite("missing maximum", r"= fsub float (%loaded\d+), %most\d+$", r"= fsub float \1, 0.0"),
    rewrite(
        "NaN ignored",
        r"^(\s*)(%called\d+) = call float @llvm.maximum.f32\(float (%\w+), float (\S+)\)$",
        r"\1\2_c = fcmp ogt float \3, \4\n\1\2 = select i1 \2_c, float \3, float \4",
    ),
    rewrite(
        "NaN ignored",
        r"^(\s*)(%product\d+) = fmul contract float (%\w+), (%\w+)$",
        r"\1\2_p = fmul contract float \3, \4\n\1\2_c = fcmp ord float \2_p, 0.0\n"
        r"\1\2 = select i1 \2_c, float \2_p, float 0.0",
    ),
    rewrite("missing write", r"^(\s*)store (\w+) (%\w+), ptr (%place\d+)$", r"\1; (nothing is stored)"),
    rewrite(
        "write past the end",
        r"^(\s*)store (\w+) (%\w+), ptr (%place\d+)$",
        r"\1store \2 \3, ptr \4\n\1\4_next = getelementptr \2, ptr \4, i64 1\n\1store \2 \3, ptr \4_next",
    ),
    rewrite(
        "writes an input",
        r"^(\s*)(%loaded\d+) = load (\w+), ptr (%place\d+)$",
        r"\1\2 = load \3, ptr \4\n\1store \3 zeroinitializer, ptr \4",
    ),
    rewrite(
        "reads the output",
        r"^(\s*)store float (%(?:done|sum)\d+), ptr (%place\d+)$",
        r"\1\3_old = load float, ptr \3\n\1\3_none = fmul float \3_old, 0.0\n"
        r"\1\3_new = fadd float \2, \3_none\n\1store float \3_new, ptr \3",
    ),
    rewrite(
        "half a launch",
        r"^entry:$",
        r"first:\n  %late = icmp sge i64 %id_x, 64\n  br i1 %late, label %leave, label %entry\n"
        r"leave:\n  ret void\nentry:",
    ),
)
"""For LLVM IR, in text, in bitcode and in objects."""

GLSL = (
    swap("loop bound", {"<": "<="}, near="for"),
    rewrite("loop bound", r"(for \(int \w+ = [^;]*; \w+ < )(\w+);", r"\1\2 - 1;"),
    rewrite("dropped tail", r"(for \(int \w+ = [^;]*; \w+ < )(\w+);", r"\1\2 / 4 * 4;"),
    rewrite("loop start", r"(for \(int \w+) = 0;", r"\1 = 1;"),
    rewrite("missing bounds check", r"if \((?:m >= M \|\| )?\w+ >= \w+\) return;", ""),
    rewrite("wrong bounds check", r">= N\) return;", ">= N - 1) return;"),
    rewrite("dropped barrier", r"^\s*barrier\(\);$", ""),
    swap("wrong operation", {"+=": "-="}),
    swap("min and max", {"f32_max": "f32_min", "max": "min"}),
    rewrite("wrong start", r"(float \w+) = 0\.0;", r"\1 = 1.0;"),
    rewrite("missing initialisation", r"(float \w+) = 0\.0;", r"\1;"),
    rewrite("missing maximum", r" - most\)", ")"),
    rewrite("constant", r"\b1\.0\b", "1.01"),
    rewrite("constant", r"\b2\.0\b", "2.002"),
    rewrite("swapped operands", r"store_y\(n, (.*) - (load_b\(n\))\);", r"store_y(n, \2 - \1);"),
    rewrite("wrong axis", r"load_a\(m, k\)", "load_a(min(k, M - 1), min(m, K - 1))"),
    rewrite("ignored index", r"load_b\(k, n\)", "load_b(k, 0)"),
    rewrite("ignored offset", r"\b([ABC]) \+ ", ""),
    rewrite("wrong axis", r"m \* N", "m * M"),
    rewrite(
        "low precision", r"^(\s*)sum \+= (.*);$", r"\1sum = unpackHalf2x16(packHalf2x16(vec2(sum + (\2), 0.0))).x;"
    ),
    rewrite("half a launch", r"void main\(\) \{", "void main() {\n  if (gl_WorkGroupID.x >= 2) return;"),
    rewrite("write past the end", r"^(\s*)c\[(.*)\] = (.*);$", r"\1c[\2] = \3;\n\1c[\2 + 1] = \3;"),
)
"""For shaders, and the shaders inside of generators."""

PTX = (
    swap("missing bounds check", {"ge": "gt"}),
    rewrite("loop bound", r"setp\.lt\.u32", "setp.le.u32"),
    rewrite("missing bounds check", r"setp\.ge\.u32", "setp.gt.u32"),
    rewrite("loop start", r"mov\.u32 (k|t), 0;", r"mov.u32 \1, 1;"),
    rewrite("loop step", r"add\.u32 k, k, 1;", "add.u32 k, k, 2;"),
    rewrite("wrong start", r"mov\.f32 sum, 0f00000000;", "mov.f32 sum, 0f3F800000;"),
    rewrite("missing initialisation", r"^\s*mov\.f32 sum, 0f00000000;.*$", ""),
    rewrite("wrong operation", r"fma\.rn\.f32 sum, x, y, sum;", "add.f32 sum, x, y;"),
    rewrite("wrong operation", r"sub\.f32", "add.f32"),
    rewrite("swapped operands", r"sub\.f32 (\w+), (\w+), (\w+);", r"sub.f32 \1, \3, \2;"),
    rewrite("min and max", r"max\.NaN\.f32", "min.NaN.f32"),
    rewrite("NaN ignored", r"max\.NaN\.f32", "max.f32"),
    rewrite("dropped barrier", r"^\s*bar\.sync 0;$", ""),
    rewrite("wrong axis", r"mul\.wide\.u32 (\w+), m, columns;", r"mul.wide.u32 \1, m, rows;"),
    rewrite("wrong axis", r"mul\.wide\.u32 (\w+), m, depth;", r"mul.wide.u32 \1, m, columns;"),
    rewrite("constant", r"0f40000000", "0f40001000"),
    rewrite(
        "write past the end",
        r"^(\s*)st\.global\.f32 \[out\], (\w+);$",
        r"\1st.global.f32 [out], \2;\n\1st.global.f32 [out+4], \2;",
    ),
    rewrite("missing write", r"^(\s*)st\.global\.f32 \[out\], (\w+);$", r"\1// nothing"),
    rewrite(
        "low precision",
        r"^(\s*)(fma\.rn\.f32 sum, x, y, sum;)$",
        r"\1\2\n\1{ .reg .b16 h; cvt.rn.f16.f32 h, sum; cvt.f32.f16 sum, h; }",
    ),
    rewrite("rounded differently", r"cvt\.rn\.f16\.f32", "cvt.rz.f16.f32"),
    rewrite("wrong exchange", r"shfl\.sync\.down\.b32 (\w+), (\w+), 16", r"shfl.sync.down.b32 \1, \2, 15"),
    rewrite("loop bound", r"setp\.ge\.u32 (\w+), (\w+), 32;", r"setp.ge.u32 \1, \2, 31;"),
)
"""For PTX."""

PYTHON = (
    rewrite("loop start", r"phi\.add_incoming\(I64\(0\)", "phi.add_incoming(I64(1)"),
    rewrite("loop step", r"builder\.add\(index, I64\(1\)\)", "builder.add(index, I64(2))"),
    rewrite("loop bound", r'icmp_signed\("<", following', 'icmp_signed("<=", following'),
    rewrite("dropped tail", r"^(\s*)yield index$", r"\1yield index  # (tail)\n\1count = builder.and_(count, I64(-4))"),
    rewrite("wrong operation", r"builder\.fadd\(", "builder.fsub("),
    rewrite("wrong axis", r"builder\.mul\(row, k_size\)", "builder.mul(row, n_size)"),
    rewrite("wrong axis", r"builder\.mul\(row, n_size\)", "builder.mul(row, k_size)"),
    rewrite("wrong axis", r"builder\.mul\(k, n_size\)", "builder.mul(k, k_size)"),
    rewrite("missing initialisation", r"^(\s*)builder\.store\(F32\(0\.0\).*$", r"\1pass"),
    rewrite("wrong start", r"builder\.store\(F32\(0\.0\)", "builder.store(F32(0.001)"),
    rewrite("constant", r"F32\(2\.0\)", "F32(2.001)"),
    rewrite("swapped operands", r"builder\.fsub\((\w+), (\w+)\)", r"builder.fsub(\2, \1)"),
    rewrite(
        "low precision",
        r"^(\s*)builder\.store\(total, place\)$",
        r"\1half = builder.fptrunc(total, ir.HalfType())\n\1builder.store(builder.fpext(half, F32), place)",
    ),
    rewrite("size of the wrong axis", r'size\("K"\), size\("N"\)', 'size("N"), size("K")'),
    rewrite("missing write", r"^(\s*)builder\.store\((total|value), place\)$", r"\1pass"),
)
"""For generators that write LLVM IR."""

OPERATORS = {
    "llvm-ir": LLVM,
    "llvm-bitcode": LLVM,
    "object": LLVM,
    "llvm-generator": PYTHON,
    "glsl": GLSL,
    "glsl-generator": GLSL,
    "spirv": GLSL,
    "ptx": PTX,
}


def source_mutants(right: Variant) -> list[Variant]:
    """Every operator at every line, each change once."""
    lines = right.source.split("\n")
    found: dict[str, Variant] = {}
    for operator in OPERATORS[right.kind]:
        for number, line in enumerate(lines):
            if line.startswith(("declare", "define", "//", ";")):
                continue
            for changed in operator.change(tokens(line)):
                source = "\n".join((*lines[:number], changed, *lines[number + 1 :]))
                if changed == line or source in found:
                    continue
                found[source] = replace(
                    right,
                    name=f"{right.name}.{len(found)}",
                    source=_declared(source),
                    of=right.name,
                    fault=operator.fault,
                    change=f"{FILES[right.kind]}:{number + 1}: {line.strip()} → {_short(changed)}",
                )
    return list(found.values())


def _short(text: str) -> str:
    return "; ".join(part.strip() for part in text.split("\n")) or "(removed)"


def _declared(source: str) -> str:
    """With declarations of the intrinsics that a change brought in."""
    for call in re.findall(r"call (\w+) @(llvm\.\w+\.\w+)\(", source):
        type_, name = call
        if f"@{name}(" not in "".join(x for x in source.split("\n") if x.startswith("declare")):
            source += f"declare {type_} @{name}({type_}, {type_})\n"
    return source


def launch_mutants(right: Variant) -> list[Variant]:
    """One workgroup too few along each dimension that has several, and one too many."""
    found = []
    for number, count in enumerate(right.workgroup_count):
        if count == "1":
            continue
        changes = (("too few workgroups", f"max({count} - 1, 1)"), ("too many workgroups", f"{count} + 1"))
        for fault, changed in changes:
            counts = [*right.workgroup_count[:number], changed, *right.workgroup_count[number + 1 :]]
            x, y, z = counts
            found.append(
                replace(
                    right,
                    name=f"{right.name}.{'few' if 'few' in fault else 'many'}{'xyz'[number]}",
                    of=right.name,
                    workgroup_count=(x, y, z),
                    fault=fault,
                    change=f"kernel.toml: workgroup_count: {count} → {changed}",
                )
            )
    return found
