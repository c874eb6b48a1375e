"""Profiles a model: each dispatch as the model launches it, with IREE's own code and with kernels."""
