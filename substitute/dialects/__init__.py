"""Dialects whose Python modules IREE's bindings find here first: see `bindings.py`."""
