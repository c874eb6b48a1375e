"""`compile` checks itself: each pair of kernel and dispatch is judged once, beside IREE's own code, before it ships."""
