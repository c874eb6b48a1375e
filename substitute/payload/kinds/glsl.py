"""GLSL: generated, or a body that the toolkit completes for each dispatch."""

from __future__ import annotations

from abc import abstractmethod

from ...model.dispatch import Dispatch
from ...model.kernel import Kernel
from ...model.payload_kind import CodeKind, PayloadFormat
from ...model.plan import Generated, Payload, Request
from .generator import GeneratorKind
from .spirv import verify_shader


class _GlslCode(CodeKind):
    parameters = "passed"
    backends = ("vulkan-spirv",)
    arguments = "views"
    strides = "read"
    has_executable_constants = True
    linked_suffixes = ()

    @abstractmethod
    def shader(self, request: Request) -> Generated:
        """Return the complete shader. Raises `PayloadError`."""

    def read_source(self, request: Request) -> tuple[str, str]:
        return ".comp", self.shader(request).text

    def build(self, request: Request, linked: frozenset[str]) -> Payload:
        from ..glsl import compile_glsl, features_of
        from ..spirv import adapt

        kernel, dispatch = request.substitution.kernel, request.substitution.dispatch
        generated = self.shader(request)
        vulkan = features_of(dispatch.target).vulkan
        binary = compile_glsl(generated.text, name=str(kernel.payload.path), vulkan=vulkan)
        verify_shader(binary, request, "main", len(dispatch.layout.bindings), generated.workgroup_size)
        return Payload(
            format=PayloadFormat.SPIRV,
            data=adapt(binary, entry="main", export_name=request.entry, bindings={}, spec_constants={}),
            entry=request.entry,
            workgroup_count=generated.workgroup_count,
            workgroup_size=generated.workgroup_size,
            summary=generated.summary or "generated GLSL",
        )


class GlslSource(_GlslCode):
    """A body with `void main()` that uses `load_x`, `store_y` and the axes' names."""

    name = "glsl"
    slots = ("prologue", "epilogue")

    def depends_on_program(self, kernel: Kernel) -> bool:
        return True

    def describe_call(self, kernel: Kernel) -> str:
        from ..calls import glsl_helpers

        return glsl_helpers(kernel)

    def refuse(self, kernel: Kernel, dispatch: Dispatch) -> str:
        if kernel.abi == "raw" or dispatch.program is None:
            return ""
        from ...codegen.glsl.epilogue import refuse_epilogue
        from ...codegen.glsl.generator import refuse_operands
        from ...codegen.glsl.operands import refuse_inputs
        from ..glsl import features_of

        program = dispatch.program
        reason = refuse_operands(program, features_of(dispatch.target))
        reason = reason or (refuse_epilogue(program) if "epilogue" in kernel.slots else "")
        return reason or (refuse_inputs(program, features_of(dispatch.target)) if "prologue" in kernel.slots else "")

    def shader(self, request: Request) -> Generated:
        from ..file import read_code
        from ..glsl import canonical_source
        from ..launch import launch_count

        kernel = request.substitution.kernel
        return Generated(
            text=canonical_source(request, read_code(kernel).decode(errors="replace")),
            workgroup_count=launch_count(request),
            workgroup_size=kernel.launch.workgroup_size,
            summary=f"{kernel.payload.path.name}, compiled for this dispatch",
        )


class GlslGenerator(GeneratorKind, _GlslCode):
    """A Python file whose `generate(request)` returns a whole shader."""

    name = "glsl-generator"

    def describe_call(self, kernel: Kernel) -> str:
        from ..calls import generator_request

        return generator_request(kernel, returns="Generated  (a whole shader)", function=False)

    def shader(self, request: Request) -> Generated:
        from ..generator import generate

        return generate(request)
