"""Generates the loops of the whole program."""

from substitute.payload.llvm.loops import can_generate, generate

__all__ = ["can_generate", "generate"]
