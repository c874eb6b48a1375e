"""How the operands, sizes and parameters of a kernel are found in a dispatch."""
