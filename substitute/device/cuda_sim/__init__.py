"""The simulated CUDA device: PTX executed in NumPy, with checks that hardware does not make."""
