"""Matrix multiplications and convolutions in f32: register-tiled, vectorised, with fused element-wise work."""

from .emit import can_generate, generate

__all__ = ["can_generate", "generate"]
