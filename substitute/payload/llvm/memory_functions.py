"""memset, memcpy and memmove for payloads: IREE's embedded linker finds them in 3.13, and in no version before."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import llvmlite.binding as llvm

from ...iree_versions import LINK_MEMORY_FUNCTIONS, is_needed

_FUNCTIONS = """
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
# "no-builtins": else LLVM sees that these loops are memset and memcpy, and makes each call itself
MEMORY_FUNCTIONS = ("memset", "memcpy", "memmove")


def calls_memory(module: Any) -> bool:
    """Return True if a module declares memcpy, memmove or memset, or LLVM's intrinsics of them."""
    declared = [f.name for f in module.functions if f.is_declaration]
    return any(name.removeprefix("llvm.").partition(".")[0] in MEMORY_FUNCTIONS for name in declared)


def resolve_memory(module: Any, triple: str, machine: Any) -> None:
    """Defines the memory functions in an optimised module that calls them, or has LLVM's intrinsics of them.

    Where IREE's linker does not find them, every module gets them: LLVM inside of IREE may make a call of any loop.
    """
    if calls_memory(module) or is_needed(LINK_MEMORY_FUNCTIONS):
        module.link_in(llvm.parse_bitcode(_optimised(triple, machine)))


@lru_cache(maxsize=16)
def _optimised(triple: str, machine: Any) -> bytes:
    """The three functions as bitcode, vectorised for the machine."""
    functions = llvm.parse_assembly(_FUNCTIONS)
    functions.triple = triple
    functions.data_layout = str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(functions, builder)
    builder.close()
    return bytes(functions.as_bitcode())
