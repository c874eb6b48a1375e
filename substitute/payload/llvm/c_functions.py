"""Functions of the C library that IREE's embedded linker does not provide, for payloads that call them.

It provides memset, memcpy and memmove in 3.13, but in no earlier version; fmod and ldexp of doubles in none.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import llvmlite.binding as llvm

from ...iree_versions import LINK_MEMORY_FUNCTIONS, is_needed

_MEMORY = """
@llvm.compiler.used = appending global [3 x ptr] [ptr @memset, ptr @memcpy, ptr @memmove], section "llvm.metadata"

define weak_odr hidden ptr @memset(ptr %to, i32 %value, i64 %size) #0 {
  %byte = trunc i32 %value to i8
  %none = icmp eq i64 %size, 0
  br i1 %none, label %end, label %loop
loop:
  %i = phi i64 [ 0, %0 ], [ %next, %loop ]
  %p = getelementptr i8, ptr %to, i64 %i
  store i8 %byte, ptr %p
  %next = add nuw i64 %i, 1
  %more = icmp ult i64 %next, %size
  br i1 %more, label %loop, label %end
end:
  ret ptr %to
}

define weak_odr hidden ptr @memcpy(ptr noalias %to, ptr noalias %from, i64 %size) #0 {
  %none = icmp eq i64 %size, 0
  br i1 %none, label %end, label %loop
loop:
  %i = phi i64 [ 0, %0 ], [ %next, %loop ]
  %p = getelementptr i8, ptr %from, i64 %i
  %q = getelementptr i8, ptr %to, i64 %i
  %byte = load i8, ptr %p
  store i8 %byte, ptr %q
  %next = add nuw i64 %i, 1
  %more = icmp ult i64 %next, %size
  br i1 %more, label %loop, label %end
end:
  ret ptr %to
}

define weak_odr hidden ptr @memmove(ptr %to, ptr %from, i64 %size) #0 {
  %a = ptrtoint ptr %to to i64
  %b = ptrtoint ptr %from to i64
  %distance = sub i64 %a, %b
  %inside = icmp ult i64 %distance, %size
  br i1 %inside, label %backward, label %forward
forward:
  %i = phi i64 [ 0, %0 ], [ %next, %copy ]
  %more = icmp ult i64 %i, %size
  br i1 %more, label %copy, label %end
copy:
  %p = getelementptr i8, ptr %from, i64 %i
  %q = getelementptr i8, ptr %to, i64 %i
  %byte = load i8, ptr %p
  store i8 %byte, ptr %q
  %next = add nuw i64 %i, 1
  br label %forward
backward:
  %j = phi i64 [ %size, %0 ], [ %last, %copy_last ]
  %left = icmp ne i64 %j, 0
  br i1 %left, label %copy_last, label %end
copy_last:
  %last = sub i64 %j, 1
  %r = getelementptr i8, ptr %from, i64 %last
  %s = getelementptr i8, ptr %to, i64 %last
  %tail = load i8, ptr %r
  store i8 %tail, ptr %s
  br label %backward
end:
  ret ptr %to
}

attributes #0 = { noinline nounwind "no-builtins" }
"""
# "no-builtins": else LLVM turns these loops into calls of memset and memcpy themselves
MEMORY_FUNCTIONS = ("memset", "memcpy", "memmove")


_SCALAR = """
@llvm.compiler.used = appending global [2 x ptr] [ptr @fmod, ptr @ldexp], section "llvm.metadata"

; Long division of the fractions, bit by bit: exact, and without arithmetic that could flush subnormal numbers.
define weak_odr hidden double @fmod(double %x, double %y) #0 {
  %x_all = bitcast double %x to i64
  %y_all = bitcast double %y to i64
  %sign = and i64 %x_all, -9223372036854775808
  %a = and i64 %x_all, 9223372036854775807
  %b = and i64 %y_all, 9223372036854775807
  %x_large = icmp uge i64 %a, 9218868437227405312
  %y_nan = icmp ugt i64 %b, 9218868437227405312
  %y_zero = icmp eq i64 %b, 0
  %no_x = or i1 %x_large, %y_nan
  %none = or i1 %no_x, %y_zero
  br i1 %none, label %nan, label %finite
nan:
  ret double 0x7FF8000000000000
finite:
  %smaller = icmp ult i64 %a, %b
  br i1 %smaller, label %same, label %split
same:
  ret double %x
split:
  %a_field = lshr i64 %a, 52
  %b_field = lshr i64 %b, 52
  %a_subnormal = icmp eq i64 %a_field, 0
  %b_subnormal = icmp eq i64 %b_field, 0
  %a_exponent = select i1 %a_subnormal, i64 1, i64 %a_field
  %b_exponent = select i1 %b_subnormal, i64 1, i64 %b_field
  %a_low = and i64 %a, 4503599627370495
  %b_low = and i64 %b, 4503599627370495
  %a_hidden = select i1 %a_subnormal, i64 0, i64 4503599627370496
  %b_hidden = select i1 %b_subnormal, i64 0, i64 4503599627370496
  %a_fraction = or i64 %a_low, %a_hidden
  %b_fraction = or i64 %b_low, %b_hidden
  ; the fraction of a subnormal y may be far smaller: from here on the rest is below twice the divisor
  %first = urem i64 %a_fraction, %b_fraction
  br label %step
step:
  %rest = phi i64 [ %first, %split ], [ %doubled, %next ]
  %exponent = phi i64 [ %a_exponent, %split ], [ %lower, %next ]
  %fits = icmp uge i64 %rest, %b_fraction
  %without = sub i64 %rest, %b_fraction
  %left = select i1 %fits, i64 %without, i64 %rest
  %last = icmp eq i64 %exponent, %b_exponent
  %zero = icmp eq i64 %left, 0
  %done = or i1 %last, %zero
  br i1 %done, label %pack, label %next
next:
  %doubled = shl i64 %left, 1
  %lower = sub i64 %exponent, 1
  br label %step
pack:
  br i1 %zero, label %signed_zero, label %normalise
signed_zero:
  %empty = bitcast i64 %sign to double
  ret double %empty
normalise:
  %zeros = call i64 @llvm.ctlz.i64(i64 %left, i1 true)
  %wanted = sub i64 %zeros, 11
  %room = sub i64 %exponent, 1
  %narrow = icmp slt i64 %room, %wanted
  %shift = select i1 %narrow, i64 %room, i64 %wanted
  %fraction = shl i64 %left, %shift
  %final = sub i64 %exponent, %shift
  %hidden = and i64 %fraction, 4503599627370496
  %is_subnormal = icmp eq i64 %hidden, 0
  %field = select i1 %is_subnormal, i64 0, i64 %final
  %high = shl i64 %field, 52
  %low = and i64 %fraction, 4503599627370495
  %size = or i64 %high, %low
  %bits = or i64 %size, %sign
  %result = bitcast i64 %bits to double
  ret double %result
}

; x times 2^n, in steps that round at most once.
define weak_odr hidden double @ldexp(double %x, i32 %n) #0 {
  br label %up
up:
  %u = phi double [ %x, %0 ], [ %larger, %more ]
  %i = phi i32 [ %n, %0 ], [ %i_less, %more ]
  %u_left = phi i32 [ 2, %0 ], [ %u_next, %more ]
  %high = icmp sgt i32 %i, 1023
  %may_rise = icmp ne i32 %u_left, 0
  %rise = and i1 %high, %may_rise
  br i1 %rise, label %more, label %down
more:
  %larger = fmul double %u, 0x7FE0000000000000
  %i_less = sub i32 %i, 1023
  %u_next = sub i32 %u_left, 1
  br label %up
down:
  %d = phi double [ %u, %up ], [ %smaller, %less ]
  %j = phi i32 [ %i, %up ], [ %j_more, %less ]
  %d_left = phi i32 [ 2, %up ], [ %d_next, %less ]
  %low = icmp slt i32 %j, -1022
  %may_fall = icmp ne i32 %d_left, 0
  %fall = and i1 %low, %may_fall
  br i1 %fall, label %less, label %end
less:
  ; 2^-969: what is left is a normal number, so that the last product alone rounds
  %smaller = fmul double %d, 0x0360000000000000
  %j_more = add i32 %j, 969
  %d_next = sub i32 %d_left, 1
  br label %down
end:
  %below = call i32 @llvm.smax.i32(i32 %j, i32 -1022)
  %exponent = call i32 @llvm.smin.i32(i32 %below, i32 1023)
  %biased = add i32 %exponent, 1023
  %wide = zext i32 %biased to i64
  %field = shl i64 %wide, 52
  %power = bitcast i64 %field to double
  %result = fmul double %d, %power
  ret double %result
}

declare i64 @llvm.ctlz.i64(i64, i1)
declare i32 @llvm.smax.i32(i32, i32)
declare i32 @llvm.smin.i32(i32, i32)

attributes #0 = { noinline nounwind "no-builtins" }
"""
SCALAR_FUNCTIONS = ("fmod", "ldexp")


def calls_memory(module: Any) -> bool:
    """Return True if a module declares memcpy, memmove or memset, or LLVM's intrinsics of them."""
    declared = [f.name for f in module.functions if f.is_declaration]
    return any(name.removeprefix("llvm.").partition(".")[0] in MEMORY_FUNCTIONS for name in declared)


def calls_scalar(module: Any) -> bool:
    """Return True if a module declares fmod or ldexp, or has remainders of doubles, which become calls of fmod."""
    if any(f.is_declaration and f.name in SCALAR_FUNCTIONS for f in module.functions):
        return True
    instructions = (i for f in module.functions for block in f.blocks for i in block.instructions)
    return any(i.opcode == "frem" and "double" in str(i.type) for i in instructions)


def resolve_calls(module: Any, triple: str, machine: Any) -> None:
    """Define the functions that an optimised module calls, or has LLVM's intrinsics or instructions of.

    Where IREE's linker does not find memset, every module gets it: LLVM inside of IREE may make a call of any loop.
    """
    if calls_memory(module) or is_needed(LINK_MEMORY_FUNCTIONS):
        module.link_in(llvm.parse_bitcode(_optimised(_MEMORY, triple, machine)))
    if calls_scalar(module):
        module.link_in(llvm.parse_bitcode(_optimised(_SCALAR, triple, machine)))


@lru_cache(maxsize=16)
def _optimised(text: str, triple: str, machine: Any) -> bytes:
    """Return functions as bitcode, vectorised for the machine."""
    functions = llvm.parse_assembly(text)
    functions.triple = triple
    functions.data_layout = str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(functions, builder)
    builder.close()
    return bytes(functions.as_bitcode())
