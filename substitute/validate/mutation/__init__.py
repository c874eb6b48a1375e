"""Small faults planted in a kernel's own code, to measure which of them the chosen cases see."""
