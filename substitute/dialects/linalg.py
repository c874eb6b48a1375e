"""Classes of linalg's operations only: IREE's module of this name also builds a language to write them in.

That takes a tenth of a second, and reading IR needs none of it. `import iree.compiler.dialects.linalg` still gives it.
"""

from iree.compiler.dialects import _linalg_ops_gen

OPERATIONS = _linalg_ops_gen
"""Loading this module registers the classes."""
