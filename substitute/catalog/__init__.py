"""The catalog of kernels: `kernel.toml` → `Kernel`, and the language of its constraints."""
