"""Kernels with one planted fault each, made from the right ones that `iree-substitute new` writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from substitute.cli.scaffold import scaffold

MATMUL_FAULTS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    # the last column is never added up
    "dropped_tail": (
        ("kernel.ll", "icmp slt i64 %n_next, %N", "icmp slt i64 %n_next, %most"),
        ("kernel.ll", "entry:\n", "entry:\n  %most = sub i64 %N, 1\n"),
    ),
    "one_too_many": (("kernel.ll", "icmp slt i64 %n_next, %N", "icmp sle i64 %n_next, %N"),),
    "first_k_dropped": (("kernel.ll", "[ 0, %entry ], [ %k_next", "[ 1, %entry ], [ %k_next"),),
    "not_cleared": (("kernel.ll", "  call void @llvm.memset.p0.i64(ptr %c_row, i8 0, i64 %c_bytes, i1 false)\n", ""),),
    "transposed": (
        ("kernel.ll", "%b_start = mul i64 %k, %N", "%b_start = mul i64 0, %N"),
        ("kernel.ll", "getelementptr float, ptr %b_row, i64 %n\n", "getelementptr float, ptr %b_row, i64 %turned\n"),
        ("kernel.ll", "  %b_place", "  %down = mul i64 %n, %K\n  %turned = add i64 %down, %k\n  %b_place"),
    ),
    "same_row": (("kernel.ll", "%a_start = mul i64 %row, %K", "%a_start = mul i64 0, %K"),),
    "operand_changed": (("kernel.ll", "  %b_start", "  store float 0.0, ptr %a_place\n  %b_start"),),
    "zeros": (("kernel.ll", "store float %total", "store float 0.0"),),
    "copied_input": (("kernel.ll", "store float %total", "store float %element"),),
    "half_precision": (
        (
            "kernel.ll",
            "  store float %total",
            "  %half = fptrunc float %total to half\n  %wide = fpext half %half to float\n  store float %wide",
        ),
    ),
    "nan_swallowed": (
        (
            "kernel.ll",
            "  store float %total",
            "  %number = fcmp ord float %product, 0.0\n"
            "  %kept = select i1 %number, float %total, float %before\n  store float %kept",
        ),
    ),
    "address_dependent": (
        (
            "kernel.ll",
            "  store float %total",
            "  %address = ptrtoint ptr %a to i64\n  %bit = and i64 %address, 64\n"
            "  %odd = icmp ne i64 %bit, 0\n  %first = icmp eq i64 %k, 0\n"
            "  %both = and i1 %odd, %first\n"
            "  %more = select i1 %both, float 0x3E60000000000000, float 0.0\n"
            "  %moved = fadd float %total, %more\n  store float %moved",
        ),
    ),
    "slightly_off": (
        (
            "kernel.ll",
            "%product = fmul contract float %factor, %element",
            "%exact = fmul contract float %factor, %element\n  %product = fmul float %exact, 0x3FF0000100000000",
        ),
    ),
    "last_row_not_launched": (("kernel.toml", 'workgroup_count = ["M",', 'workgroup_count = ["M - 1",'),),
    "dereferences_null": (
        ("kernel.ll", "  %b_start", "  store volatile float 0.0, ptr inttoptr (i64 8 to ptr)\n  %b_start"),
    ),
}
"""(file, what stands there, what stands there instead) of each fault."""


def _calls(function: str) -> tuple[tuple[str, str, str], ...]:
    """Calls a function `@fault` first of all."""
    return (
        ("kernel.ll", "define void", f"define internal void @fault() noinline {{\n{function}\n}}\n\ndefine void"),
        ("kernel.ll", "entry:\n", "entry:\n  call void @fault()\n"),
    )


ENDING_FAULTS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "endless": _calls("  %p = alloca i64\n  br label %spin\nspin:\n  store volatile i64 0, ptr %p\n  br label %spin"),
    "traps": _calls('  call void asm sideeffect "ud2", ""()\n  ret void'),
    "exits": _calls(
        '  call void asm sideeffect "syscall", "{rax},{rdi},~{rcx},~{r11},~{memory}"(i64 231, i64 5)\n  ret void'
    ),
    "overflows": _calls(
        "  %room = alloca [512 x i64]\n  store volatile i64 1, ptr %room\n  call void @fault()\n"
        "  %held = load volatile i64, ptr %room\n  ret void"
    ),
}
"""LLVM code that ends the process, or never ends (on x86-64)."""

MEMORY_FAULTS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "reads_behind": (
        (
            "kernel.ll",
            "  %c_place",
            "  %next = getelementptr float, ptr %b_place, i64 1\n"
            "  %unused = load volatile float, ptr %next\n  %c_place",
        ),
    ),
    "reads_before": (
        (
            "kernel.ll",
            "  %b_start",
            "  %last = getelementptr float, ptr %a_place, i64 -1\n"
            "  %unused = load volatile float, ptr %last\n  %b_start",
        ),
    ),
    "reads_far_behind": (
        (
            "kernel.ll",
            "  %b_start",
            "  %far = getelementptr float, ptr %a_place, i64 40000\n"
            "  %unused = load volatile float, ptr %far\n  %b_start",
        ),
    ),
    "adds": (("kernel.ll", "  call void @llvm.memset.p0.i64(ptr %c_row, i8 0, i64 %c_bytes, i1 false)\n", ""),),
    "aligned": (
        ("kernel.ll", "  %b_start", "  %wide = load volatile <2 x double>, ptr %a_row, align 16\n  %b_start"),
        ("kernel.toml", 'name = "aligned"', 'name = "aligned"\nalignment = 4'),
    ),
}
"""Accesses that write nothing where they should not."""


def _keeps_state(first: str, second: str) -> tuple[tuple[str, str, str], ...]:
    """A factor of 1 that the first workgroup ever stores, and a mark that it is there, in this order."""
    stores = {
        "factor": "  store volatile float 1.0, ptr @factor",
        "mark": "  store volatile i32 1, ptr @mark",
    }
    return (
        (
            "kernel.ll",
            "define void",
            "@mark = internal global i32 0\n@factor = internal global float 0.0\n\ndefine void",
        ),
        (
            "kernel.ll",
            "entry:\n",
            "entry:\n  %made = load volatile i32, ptr @mark\n  %is_made = icmp ne i32 %made, 0\n"
            f"  br i1 %is_made, label %begin, label %make\nmake:\n{stores[first]}\n{stores[second]}\n"
            "  br label %begin\nbegin:\n  %one = load volatile float, ptr @factor\n",
        ),
        ("kernel.ll", "[ 0, %entry ], [ %k_next", "[ 0, %begin ], [ %k_next"),
        ("kernel.ll", "fmul contract float %factor, %element", "fmul contract float %scaled, %element"),
        ("kernel.ll", "  %b_start", "  %scaled = fmul float %factor, %one\n  %b_start"),
    )


ORDER_FAULTS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    # right where the next row comes later
    "clears_the_next_row": (
        (
            "kernel.ll",
            "entry:\n",
            "entry:\n  %next = add i64 %row, 1\n  %there = icmp slt i64 %next, %M\n"
            "  %target = select i1 %there, i64 %next, i64 %row\n  %next_start = mul i64 %target, %N\n"
            "  %next_row = getelementptr float, ptr %c, i64 %next_start\n  store volatile float 0.0, ptr %next_row\n",
        ),
    ),
    "marked_before_it_is_made": _keeps_state("mark", "factor"),
}
"""Faults that depend on which workgroup runs first, and on what runs at the same time."""
ORDER_RIGHT: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "right_in_any_order": (),
    "right_made_before_it_is_marked": _keeps_state("factor", "mark"),
}

MATMUL_RIGHT: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "right": (),
    # the sum is the same in any order
    "right_backwards": (
        (
            "kernel.ll",
            "%a_place = getelementptr float, ptr %a_row, i64 %k",
            "%last = sub i64 %K, 1\n  %kk = sub i64 %last, %k\n  %a_place = getelementptr float, ptr %a_row, i64 %kk",
        ),
        ("kernel.ll", "%b_start = mul i64 %k, %N", "%b_start = mul i64 %kk, %N"),
    ),
    # further off than its definition's roundings explain, and says so
    "right_as_declared": (
        *MATMUL_FAULTS["slightly_off"],
        (
            "kernel.toml",
            "[payload]",
            '[accuracy]\nmax_error = "256·γ_K"\nreason = "a factor that is slightly off"\n\n[payload]',
        ),
    ),
    # (the row's number times 96 floats)
    "right_aligned": (
        ("kernel.ll", "  %b_start", "  %wide = load volatile <2 x double>, ptr %a_row, align 16\n  %b_start"),
        ("kernel.toml", 'name = "right_aligned"', 'name = "right_aligned"\nalignment = 16'),
    ),
}

GLSL_FAULTS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "glsl_k_dropped": (("kernel.comp", "int k = 0; k < K", "int k = 0; k + 1 < K"),),
    "glsl_wrong_column": (("kernel.comp", "load_b(k, n)", "load_b(k, max(n - 1, 0))"),),
    "glsl_right": (),
}


def write_variants(folder: Path, kind: str, variants: Mapping[str, tuple[tuple[str, str, str], ...]]) -> list[Path]:
    """A kernel's folder for each, with no constraints; all are selected by name in a plan."""
    made = []
    for name, changes in variants.items():
        files = scaffold(kind, name, name)
        for file, old, new in (*changes, ("kernel.toml", '"N % 16 == 0", ', "")):
            assert old in files[file], (name, old)
            files[file] = files[file].replace(old, new)
        place = folder / name
        place.mkdir(parents=True)
        for file, text in files.items():
            (place / file).write_text(text)
        made.append(place)
    return made


def matmuls(count: int, *, k: int = 96) -> str:
    """A model of that many matrix multiplications, `f0`, `f1`, …, each of another size."""
    return "\n".join(
        f"""func.func @f{i}(%a: tensor<{17 + i}x{k}xf32>, %b: tensor<{k}x33xf32>) -> tensor<{17 + i}x33xf32> {{
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<{17 + i}x33xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<{17 + i}x33xf32>) -> tensor<{17 + i}x33xf32>
  %c = linalg.matmul ins(%a, %b : tensor<{17 + i}x{k}xf32>, tensor<{k}x33xf32>)
                     outs(%init : tensor<{17 + i}x33xf32>) -> tensor<{17 + i}x33xf32>
  return %c : tensor<{17 + i}x33xf32>
}}"""
        for i in range(count)
    )


def dispatch_of(number: int, *, k: int = 96) -> str:
    """The name that IREE gives the dispatch of `f<number>`."""
    return f"f{number}_dispatch_0_matmul_{17 + number}x33x{k}_f32"
