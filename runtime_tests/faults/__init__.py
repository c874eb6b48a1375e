"""Planted faults: the checker is itself checked, with right kernels and with wrong ones."""
