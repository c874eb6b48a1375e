"""Writes the first version of a kernel: a definition lifted from a dispatch, and simple code for it."""
