"""The stdin/stdout tool of IREE's `--iree-hal-preprocess-executables-with=`: a thin client, a warm worker, a cache."""
