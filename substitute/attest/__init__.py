"""Verdicts as in-toto attestations: written by `validate --attest`, required by `compile --require-validated`."""
