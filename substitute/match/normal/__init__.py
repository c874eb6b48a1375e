"""Normal form of the scalar bodies of definitions and dispatches, in which they are compared."""
