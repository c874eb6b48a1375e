"""Files that are kept: where they lie, how they are written whole, and how a change of their sources is seen."""
