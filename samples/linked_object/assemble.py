"""Makes the object of `kernels/hard_swish`: three kernels that link it as .o, .a and .bc.

python assemble.py FOLDER    writes FOLDER/o, FOLDER/a and FOLDER/bc
"""

import shutil
import sys
from pathlib import Path

import llvmlite.binding as llvm

KERNEL = Path(__file__).parent / "kernels" / "hard_swish"


def main(folder: Path) -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = llvm.parse_assembly((KERNEL / "hard_swish.ll").read_text())
    # what `cc -O2 -fPIC -c` would make of C
    machine = llvm.Target.from_default_triple().create_target_machine(opt=3, reloc="pic", codemodel="default")
    code = machine.emit_object(module)
    for suffix, data in (("o", code), ("a", archive("hard_swish.o", code)), ("bc", module.as_bitcode())):
        kernel = folder / suffix
        shutil.copytree(KERNEL, kernel)
        manifest = kernel / "kernel.toml"
        manifest.write_text(manifest.read_text().replace("hard_swish.o", f"hard_swish.{suffix}"))
        (kernel / f"hard_swish.{suffix}").write_bytes(data)


def archive(name: str, data: bytes) -> bytes:
    """Return an archive of one file, as `ar rcS` writes it (System V format, without a symbol table)."""
    header = f"{name + '/':<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n"
    return b"!<arch>\n" + header.encode() + data + b"\n" * (len(data) % 2)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
