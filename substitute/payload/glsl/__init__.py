"""GLSL kernels: the prelude of a user's shader, and compilation to SPIR-V."""

from ...codegen.glsl.features import Features, features_of
from ...codegen.unsupported import Unsupported
from .compile import compile_glsl
from .prelude import canonical_source, prelude

__all__ = ["Features", "Unsupported", "canonical_source", "compile_glsl", "features_of", "prelude"]
