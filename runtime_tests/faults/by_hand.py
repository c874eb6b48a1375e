"""Faults that no operator makes: state, special values, sizes at which code happens to be right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from runtime_tests.faults.kernel import Variant

Change = tuple[str, str]
"""Text in the source, and its replacement; the first occurrence is changed."""

_KEEP = "@kept = internal global [4096 x float] zeroinitializer\n@seen = internal global i32 0\n"

FAULTS: Sequence[tuple[str, str, str, Sequence[Change]]] = (
    (
        "row_sum.ll",
        "stale output",
        "from the second launch of a row on, the sum of its first launch",
        (
            ("define void", _KEEP + "define void"),
            (
                "  ret void",
                "  %slot = and i64 %id_x, 4095\n  %kp = getelementptr float, ptr @kept, i64 %slot\n"
                "  %old = load float, ptr %kp\n  %none = fcmp oeq float %old, 0.0\n"
                "  br i1 %none, label %first_time, label %again\nfirst_time:\n  %now = load float, ptr %best\n"
                "  store float %now, ptr %kp\n  ret void\nagain:\n  %yp = getelementptr float, ptr %y, i64 %id_x\n"
                "  store float %old, ptr %yp\n  ret void",
            ),
        ),
    ),
    (
        "matvec.ll",
        "depends on launches",
        "right for the first 4 launches of each row, then one too large",
        (
            ("define void", _KEEP + "define void"),
            (
                "  ret void",
                "  %count = atomicrmw add ptr @seen, i32 1 monotonic\n  %late = icmp ugt i32 %count, 4000\n"
                "  br i1 %late, label %spoil, label %leave\nspoil:\n  %cp = getelementptr float, ptr %c, i64 %id_x\n"
                "  store float 1.0, ptr %cp\n  br label %leave\nleave:\n  ret void",
            ),
        ),
    ),
    (
        "row_sum.ll",
        "not repeatable",
        "adds a tiny number where its buffer's address has bit 6 set",
        (
            (
                "  ret void",
                "  %address = ptrtoint ptr %y to i64\n  %bit = and i64 %address, 64\n"
                "  %odd = icmp ne i64 %bit, 0\n  br i1 %odd, label %spoil, label %leave\nspoil:\n"
                "  %yp = getelementptr float, ptr %y, i64 %id_x\n  %r = load float, ptr %yp\n"
                "  %s = fmul float %r, 0x3FF0000020000000\n  store float %s, ptr %yp\n  br label %leave\n"
                "leave:\n  ret void",
            ),
        ),
    ),
    (
        "difference.ll",
        "aligned sizes only",
        "the last N % 4 elements are never written",
        (
            ("@llvm.smin.i64(i64 %end2, i64 %N_)", "@llvm.smin.i64(i64 %end2, i64 %whole)"),
            ("entry:\n", "entry:\n  %whole = and i64 %N_, -4\n"),
        ),
    ),
    (
        "transpose.ll",
        "square sizes only",
        "the result's rows are as long as the operand's",
        (("mul i64 %n, %M_", "mul i64 %n, %N_"),),
    ),
    (
        "clamp.ll",
        "first elements only",
        "nothing from element 512 on",
        (("@llvm.smin.i64(i64 %end2, i64 %N_)", "@llvm.smin.i64(i64 %end2, i64 512)"),),
    ),
    (
        "bias_add.ll",
        "short rows only",
        "of rows longer than 64 the rest is not written",
        (
            ("icmp slt i64 %n, %N_", "icmp slt i64 %n, %short"),
            ("entry:\n", "entry:\n  %long = icmp sgt i64 %N_, 128\n  %short = select i1 %long, i64 128, i64 %N_\n"),
        ),
    ),
    (
        "narrowed.ll",
        "subnormals flushed",
        "what is below the smallest normal half becomes zero",
        (
            (
                "  %narrow6",
                "  %large = call float @llvm.fabs.f32(float %loaded5)\n"
                "  %small = fcmp olt float %large, 0x3F10000000000000\n"
                "  %kept = select i1 %small, float 0.0, float %loaded5\n  %narrow6",
            ),
            ("fptrunc float %loaded5", "fptrunc float %kept"),
            ("\ndeclare", "\ndeclare float @llvm.fabs.f32(float)\ndeclare"),
        ),
    ),
    (
        "narrowed.ll",
        "overflow saturates",
        "the largest half in the place of infinity",
        (
            ("  %narrow6", "  %low = call float @llvm.minimum.f32(float %loaded5, float 65504.0)\n  %narrow6"),
            ("fptrunc float %loaded5", "fptrunc float %low"),
            ("\ndeclare", "\ndeclare float @llvm.minimum.f32(float, float)\ndeclare"),
        ),
    ),
    (
        "transpose.ll",
        "zeros lose their sign",
        "0 is added to every element that is copied",
        (
            ("store float %loaded4", "store float %plain"),
            ("  %start5", "  %plain = fadd float %loaded4, 0.0\n  %start5"),
        ),
    ),
    (
        "silu.ll",
        "overflow gives NaN",
        "x · e^x / (1 + e^x)",
        (
            ("@expf(float %negated6)", "@expf(float %loaded5)"),
            (
                "  %done9 = fdiv float %loaded5, %below8",
                "  %above = fmul float %loaded5, %called7\n  %done9 = fdiv float %above, %below8",
            ),
        ),
    ),
    (
        "gelu.ll",
        "approximation",
        "the tanh approximation in the place of erf",
        (
            (
                "  %called7 = call float @erff(float %scaled6)",
                "  %cube1 = fmul float %loaded5, %loaded5\n  %cube2 = fmul float %cube1, %loaded5\n"
                "  %cube3 = fmul float %cube2, 0x3FA6E4E260000000\n  %cube4 = fadd float %loaded5, %cube3\n"
                "  %cube5 = fmul float %cube4, 0x3FE9884540000000\n  %called7 = call float @tanhf(float %cube5)",
            ),
            ("@erff(float)", "@tanhf(float)"),
        ),
    ),
    (
        "softmax.ll",
        "missing maximum",
        "the first element in the place of the maximum",
        (("icmp slt i64 %a, %N_", "icmp slt i64 %a, 1"),),
    ),
    (
        "softmax.ll",
        "low precision",
        "the sum of exponentials in half precision",
        (
            (
                "  br label %c_head",
                "  %h = fptrunc float %total17 to half\n  %w = fpext half %h to float\n  br label %c_head",
            ),
            ("%loaded21, %total17", "%loaded21, %w"),
        ),
    ),
    (
        "matmul_i8.ll",
        "saturation",
        "the sum stops at 32767",
        (
            ("  store i32 %done14", "  %most = call i32 @llvm.smin.i32(i32 %done14, i32 32767)\n  store i32 %most"),
            ("}\n", "}\ndeclare i32 @llvm.smin.i32(i32, i32)\n"),
        ),
    ),
    (
        "integers.ll",
        "through floats",
        "the square is computed in f32",
        (
            (
                "  %square8 = mul i32 %loaded5, %loaded5",
                "  %number = sitofp i32 %loaded5 to float\n  %product = fmul float %number, %number\n"
                "  %square8 = call i32 @llvm.fptosi.sat.i32.f32(float %product)",
            ),
            ("\ndeclare", "\ndeclare i32 @llvm.fptosi.sat.i32.f32(float)\ndeclare"),
        ),
    ),
    (
        "matmul_dot.ll",
        "crash",
        "reads the address 8",
        (("  ret void", "  %bad = load volatile float, ptr inttoptr (i64 8 to ptr)\n  ret void"),),
    ),
    (
        "matmul_dot.ll",
        "hang",
        "the last row never ends",
        (
            (
                "  ret void",
                "  %last = sub i64 %M_, 1\n  %is = icmp eq i64 %id_x, %last\n"
                "  br i1 %is, label %forever, label %leave\nforever:\n  store volatile float 0.0, ptr %sum\n"
                "  br label %forever\nleave:\n  ret void",
            ),
        ),
    ),
    (
        "gather.ll",
        "clamped indices",
        "no index above 7",
        (
            ("  br label %n_head", "  %few = call i64 @llvm.smin.i64(i64 %row3, i64 7)\n  br label %n_head"),
            ("mul i64 %row3, %N_", "mul i64 %few, %N_"),
            ("}\n", "}\ndeclare i64 @llvm.smin.i64(i64, i64)\n"),
        ),
    ),
    (
        "matmul_tiled.comp",
        "race",
        "the second barrier, before the tiles are overwritten, is missing",
        (("    }\n    barrier();", "    }"),),
    ),
    (
        "matmul_tiled.ptx",
        "race",
        "the second barrier, before the tiles are overwritten, is missing",
        (("  bar.sync 0;\n  add.u32 t", "  add.u32 t"),),
    ),
    (
        "matmul_tiled.ptx",
        "divergent barrier",
        "rows beyond the last leave before the barrier",
        (("  mov.u32 t, 0;\n", "  mov.u32 t, 0;\n  setp.ge.u32 p, m, rows;\n  @p ret;\n"),),
    ),
    (
        "row_sum.ptx",
        "exited lanes",
        "lanes without an element leave before the exchange",
        (("next:\n", "  setp.ge.u32 more, n, columns;\n  @more ret;\nnext:\n"),),
    ),
    (
        "row_sum.comp",
        "race",
        "no barrier between the steps of the tree",
        (("      parts[i] += parts[i + half_];\n    }\n    barrier();", "      parts[i] += parts[i + half_];\n    }"),),
    ),
    (
        "matmul.spv",
        "constants swapped",
        "M and N change places",
        (("= 0) const int M", "= 2) const int M"), ("= 2) const int N", "= 0) const int N")),
    ),
    (
        "matmul.spv",
        "bindings swapped",
        "the operands' bindings change places",
        (("binding = 0", "binding = 7"), ("binding = 1", "binding = 0"), ("binding = 7", "binding = 1")),
    ),
    (
        "difference.spv",
        "aligned sizes only",
        "the last N % 4 elements are never written",
        (("n >= N", "n >= N / 4 * 4"),),
    ),
    ("softmax.comp", "NaN ignored", "max without NaN", (("f32_maximum", "max"),)),
    (
        "clamp.comp",
        "NaN ignored",
        "clamp() of GLSL",
        (("f32_minimum(f32_maximum(load_x(n), 0.0), 6.0)", "clamp(load_x(n), 0.0, 6.0)"),),
    ),
    ("matmul.shader_py", "static sizes only", "open sizes are taken for 16", (("k < K", "k < min(K, 64)"),)),
    (
        "matmul.py",
        "reads the output",
        "adds to what is there",
        (
            (
                "builder.store(F32(0.0), at(c_row, n))",
                "builder.store(builder.fmul(builder.load(at(c_row, n), typ=F32), F32(0.0)), at(c_row, n))",
            ),
        ),
    ),
)
"""Right kernel, class, what is wrong, and the changes."""


def faults_by_hand(controls: Mapping[str, Variant]) -> list[Variant]:
    """All of them, as variants."""
    found: list[Variant] = []
    for number, (name, fault, what, changes) in enumerate(FAULTS):
        right = controls[name]
        source = right.source
        for before, after in changes:
            assert before in source, (name, fault, before)
            source = source.replace(before, after, 1)
        found.append(replace(right, name=f"{name}.hand{number}", source=source, of=name, fault=fault, change=what))
    return found
