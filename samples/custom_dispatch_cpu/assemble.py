"""Makes functions.o of functions.ll for this machine, as `cc -O2 -fPIC -c` would of C, in each FOLDER.

python assemble.py FOLDER…
"""

import sys
from pathlib import Path

import llvmlite.binding as llvm


def main(folders: list[Path]) -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = llvm.parse_assembly((Path(__file__).parent / "functions.ll").read_text())
    machine = llvm.Target.from_default_triple().create_target_machine(opt=3, reloc="pic", codemodel="default")
    code = machine.emit_object(module)
    for folder in folders:
        (folder / "functions.o").write_bytes(code)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
