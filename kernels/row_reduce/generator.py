from substitute.model.plan import Generated, Request
from substitute.payload.llvm.loops import generate as generate_loops


def generate(request: Request) -> Generated:
    return generate_loops(request)
