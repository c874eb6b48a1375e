#!/bin/sh
""":"
# The command `iree-substitute-executable`: a shell script that is also a Python file. Starting Python the usual way
# takes longer than all the rest of an executable's way, so this starts it bare (-S). pip drops the options of a
# `#!python` line, therefore the shell looks into the command next to this one for the interpreter.
set -f
self=$0
[ -e "${self%/*}/iree-substitute" ] || self=$(readlink -f "$0")
if ! { read -r first && read -r second; } < "${self%/*}/iree-substitute"; then
  echo "iree-substitute-executable: the command iree-substitute is not in ${self%/*}; install both again" >&2
  exit 127
fi
case $first in
  "#!/bin/sh") second=${second#???exec??}; eval 'set -- '"${second%% ?[$]0?*}"' -I -S "$self" "$@"' ;;
  *) set -- ${first#??} -I -S "$self" "$@" ;;
esac
exec "$@"
"""

import posix
import sys


def package_folders() -> list[str]:
    """Return the folders in which this package may be installed.

    They are beside the interpreter, beside this command, and linked from there.
    """
    found = []
    for program in (sys.executable, __file__):
        for name in ("site", "dist"):
            version = f"python{sys.version_info.major}.{sys.version_info.minor}"
            base = f"{program.rpartition('/')[0]}/../lib/{version}/{name}-packages"
            found.append(base)
            try:
                with open(base + "/_iree_substitute.pth") as file:  # an editable installation
                    found += file.read().split("\n")[:1]
            except OSError:
                pass
    return found


def main() -> int:
    """Run the client without importing its package; return the exit status."""
    for folder in package_folders():
        if folder:
            sys.path.insert(0, folder + "/substitute/filter")
            try:
                import client  # type: ignore[import-not-found]
            except ImportError:
                del sys.path[0]
                continue
            del sys.path[0]
            return int(client.main())
    # installed in another layout: a full start of Python finds it
    posix.execve(sys.executable, [sys.executable, "-P", "-m", "substitute.filter.client", *sys.argv[1:]], posix.environ)


if __name__ == "__main__":
    sys.exit(main())
