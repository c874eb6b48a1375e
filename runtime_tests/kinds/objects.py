"""Object files that the tests of kernels and of the filter link."""

from __future__ import annotations

from pathlib import Path

from runtime_tests.kinds.programs import MARK, KernelFolder, Operand, generic, object_file

VECTOR = "tensor<?xf32>"
BODY = "  ^bb0(%p: f32, %q: f32, %o: f32):\n    %s = arith.subf %p, %q : f32\n    linalg.yield %s : f32"
DEFINITION = f"""
func.func @subtract(%a: {VECTOR}, %b: {VECTOR}) -> {VECTOR} {{
  %c0 = arith.constant 0 : index
  %n = tensor.dim %a, %c0 : {VECTOR}
  %e = tensor.empty(%n) : {VECTOR}
  %r = {generic(["i"] * 3, f"%a, %b : {VECTOR}, {VECTOR}", f"%e : {VECTOR}", BODY, VECTOR, dims="i")}
  return %r : {VECTOR}
}}
"""
MODEL = DEFINITION.replace("@subtract", "@main").replace("?x", "96x").replace("tensor.empty(%n)", "tensor.empty()")
LOOP = """
define void @kernel(ptr %a, ptr %b, ptr %c, i64 %N, i64 %x, i64 %y, i64 %z) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %pa = getelementptr float, ptr %a, i64 %i
  %pb = getelementptr float, ptr %b, i64 %i
  %pc = getelementptr float, ptr %c, i64 %i
  %va = load float, ptr %pa
  %vb = load float, ptr %pb
  %d = fsub float %va, %vb
  %s = call float @own(float %d)
  store float %s, ptr %pc
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %N
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""
OWN = {
    "a function": "define float @own(float %v) noinline {\n  %s = fadd float %v, MARK\n  ret float %s\n}",
    "a constant": """@table = constant [2 x float] [float 0.0, float MARK]
define float @own(float %v) noinline {
  %p = getelementptr float, ptr @table, i64 1
  %m = load volatile float, ptr %p
  %s = fadd float %v, %m
  ret float %s
}""",
    "a variable": """@counter = global float MARK
define float @own(float %v) noinline {
  %m = load volatile float, ptr @counter
  %s = fadd float %v, %m
  ret float %s
}""",
    "zeroes": """@room = global [4 x float] zeroinitializer
define float @own(float %v) noinline {
  store volatile float MARK, ptr @room
  %m = load volatile float, ptr @room
  %s = fadd float %v, %m
  ret float %s
}""",
    "pointers": """@functions = constant [2 x ptr] [ptr @zero, ptr @marked]
define float @zero(float %v) {
  ret float 0.0
}
define float @marked(float %v) {
  %s = fadd float %v, MARK
  ret float %s
}
define float @own(float %v) noinline {
  %p = getelementptr ptr, ptr @functions, i64 1
  %f = load volatile ptr, ptr %p
  %s = call float %f(float %v)
  ret float %s
}""",
}
OPERANDS = [Operand(name, "N") for name in "abc"]


def make_object(own: str, *, relocation: str = "pic") -> bytes:
    text = LOOP + own.replace("MARK", f"{MARK}.0")
    return object_file(text, relocation=relocation)


def folder_of(data: bytes, folder: Path) -> Path:
    return KernelFolder(data, kind="object", definition=DEFINITION, operands=OPERANDS).write(folder)
