"""`iree-substitute tune`: every candidate of every dispatch is measured, and the fastest ones become a plan."""
