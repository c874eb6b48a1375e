"""Makes two more kernels of `kernels/row_squares`: the same code as LLVM bitcode and as an object file.

python assemble.py FOLDER    writes FOLDER/bitcode and FOLDER/object, and inputs with what NumPy gives for them
"""

import shutil
import sys
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np

KERNEL = Path(__file__).parent / "kernels" / "row_squares"


def main(folder: Path) -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = llvm.parse_assembly((KERNEL / "kernel.ll").read_text())
    write_kernel(folder / "bitcode", "llvm-bitcode", "kernel.bc", module.as_bitcode())
    # what `cc -O2 -fPIC -c` would make of C: for this machine, optimised, with no fixed addresses
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), opt=3, reloc="pic", codemodel="default"
    )
    write_kernel(folder / "object", "object", "kernel.o", machine.emit_object(module))
    random = np.random.default_rng(0)
    for columns in (72, 75):  # without the first 8 columns 64, which the kernel takes, and 67, which it does not
        x = random.standard_normal((6, columns), dtype=np.float32)
        np.save(folder / f"x{columns}.npy", x)
        np.save(folder / f"y{columns}.npy", np.square(x[:, 8:], dtype=np.float64).sum(1).astype(np.float32))


def write_kernel(folder: Path, kind: str, file: str, data: bytes) -> None:
    folder.mkdir(parents=True)
    shutil.copy(KERNEL / "definition.mlir", folder)
    manifest = (KERNEL / "kernel.toml").read_text()
    (folder / "kernel.toml").write_text(manifest.replace("llvm-ir", kind).replace("kernel.ll", file))
    (folder / file).write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
