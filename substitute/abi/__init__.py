"""Binding of a kernel's operands, sizes and parameters to a dispatch."""
