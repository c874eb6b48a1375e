"""Former name of `substitute.codegen.llvm.function`: kernels that were written before it moved import it from here."""

import sys

from ...codegen.llvm import function

sys.modules[__name__] = function
