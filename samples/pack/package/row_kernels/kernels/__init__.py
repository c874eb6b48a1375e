"""A pack of kernels: data alone, which is not imported."""
