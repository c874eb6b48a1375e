"""Cached files: their folders, atomic writes, and detection of changed sources."""
