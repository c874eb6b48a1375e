"""Makes tile.o of tile.ll for this machine, as `cc -O2 -fPIC -c` would of C: python assemble.py FOLDER."""

import sys
from pathlib import Path

import llvmlite.binding as llvm


def main(folder: Path) -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = llvm.parse_assembly((folder / "tile.ll").read_text())
    machine = llvm.Target.from_default_triple().create_target_machine(opt=3, reloc="pic", codemodel="default")
    (folder / "tile.o").write_bytes(machine.emit_object(module))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
