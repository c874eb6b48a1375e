"""`compile`'s own check: each pair of kernel and dispatch is judged once, against IREE's own code, before it ships."""
