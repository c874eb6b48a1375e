"""GLSL kernels: compiling them, the head of a user's shader, and the built-in generators."""

from ...codegen.unsupported import Unsupported
from .compile import compile_glsl
from .features import Features, features_of
from .generate import WRITERS, can_generate, generate
from .prelude import canonical_source, prelude

__all__ = [
    "WRITERS",
    "Features",
    "Unsupported",
    "can_generate",
    "canonical_source",
    "compile_glsl",
    "features_of",
    "generate",
    "prelude",
]
