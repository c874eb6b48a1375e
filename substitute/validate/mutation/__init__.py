"""Small faults in a kernel's own code, to measure which of them the chosen cases detect."""
