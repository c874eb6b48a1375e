"""The error of an operation that the evaluator does not support."""

from __future__ import annotations

from ..errors import SubstituteError


class Unsupported(SubstituteError):
    """The golden of this function cannot be computed; `operation` names the obstacle."""

    def __init__(self, operation: str, where: str = "") -> None:
        super().__init__(
            f"no golden: {operation} is not known to the evaluator",
            where=where,
            next_step="compile without the option that brings it in, or report it",
        )
        self.operation = operation

    def __reduce__(self) -> tuple[type[Unsupported], tuple[str, str]]:
        """Keep the arguments when the error is pickled, which passes it between processes."""
        return Unsupported, (self.operation, self.where)
