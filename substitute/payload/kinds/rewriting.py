"""Kinds that give IREE another body to compile."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from ...model.kernel import Kernel
from ...model.payload_kind import PayloadKind
from ...model.plan import Substitution
from ...model.target import BACKENDS

if TYPE_CHECKING:
    from ...read.module import Site


class BodyRewriter(PayloadKind):
    """A kind that changes a dispatch's body while a plan is made."""

    parameters = "passed"
    backends = BACKENDS
    launch = "iree"
    rewrites_body = True
    has_raw_abi = False

    def refuse_site(self, kernel: Kernel, site: Site) -> str:
        """Return why a body cannot be rewritten; empty: it can."""
        return ""

    @abstractmethod
    def rewrite(self, site: Site, substitution: Substitution) -> None:
        """Change the body in place. Raises `PayloadError`."""


class MlirBody(BodyRewriter):
    """A function on tensors that IREE compiles instead of the dispatch's body."""

    name = "mlir"
    strides = "none"

    def describe_call(self, kernel: Kernel) -> str:
        from ..calls import mlir_function

        return mlir_function(kernel)

    def rewrite(self, site: Site, substitution: Substitution) -> None:
        from ...rule.body import replace_computation

        replace_computation(site, substitution)


class PythonRule(BodyRewriter):
    """A Python file whose `rewrite(site)` changes what IREE compiles."""

    name = "rule"
    sees_dispatch = True
    arguments = "none"
    strides = "read"
    needs_program = False
    selects_by_code = True
    needs_entry = False

    def describe_call(self, kernel: Kernel) -> str:
        from ..calls import PYTHON_RULE

        return PYTHON_RULE

    def refuse_site(self, kernel: Kernel, site: Site) -> str:
        from ...rule.python_file import applies

        return applies(kernel, site)

    def rewrite(self, site: Site, substitution: Substitution) -> None:
        from ...rule.python_file import rewrite

        rewrite(substitution.kernel, site, substitution.match)
