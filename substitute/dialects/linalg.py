"""Only the classes of linalg's operations: IREE's module of this name also builds a language to define them.

That takes a tenth of a second, and reading IR does not need it. `import iree.compiler.dialects.linalg` still loads it.
"""

from iree.compiler.dialects import _linalg_ops_gen

OPERATIONS = _linalg_ops_gen
"""Loading this module registers the classes."""
