"""Former name of `substitute.codegen.llvm.lower`: kernels that were written before it moved import it from here."""

import sys

from ...codegen.llvm import lower

sys.modules[__name__] = lower
