"""Rules: kernels that give IREE another body to compile."""
