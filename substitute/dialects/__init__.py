"""Modules of dialects that IREE's bindings find here first: see `bindings.py`."""
