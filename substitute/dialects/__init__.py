"""Modules of dialects that override those of IREE's bindings: see `bindings.py`."""
