"""Errors of the math functions in units of the last place."""
