"""A plain scalar loop: the toolkit has LLVM vectorise it for the target's CPU, the exponential included."""

from llvmlite import ir

from substitute.codegen.llvm.function import KernelFunction
from substitute.model.plan import Request

F32 = ir.FloatType()
SHARE = 8192


def generate(request: Request) -> str:
    kernel = KernelFunction(request)
    build = kernel.builder
    gate, up, y = kernel.pointers
    exp = ir.Function(kernel.module, ir.FunctionType(F32, [F32]), name="expf")  # the toolkit links it in

    start = build.mul(kernel.workgroup[0], kernel.index(SHARE))
    size = kernel.index(request.match.axis("N").size)  # a number here, or an argument where the model leaves it open
    stop = build.add(start, kernel.index(SHARE))
    stop = build.select(build.icmp_signed("<", stop, size), stop, size)
    with kernel.loop(start, stop) as loop:
        g = build.load(kernel.element(gate, loop.index, F32), typ=F32)
        u = build.load(kernel.element(up, loop.index, F32), typ=F32)
        below = build.fadd(F32(1.0), build.call(exp, [build.fneg(g)]))
        build.store(build.fmul(build.fdiv(g, below), u), kernel.element(y, loop.index, F32))
    return kernel.finish()
