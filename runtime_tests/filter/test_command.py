"""The command itself: it finds its interpreter however it was installed, and starts without the package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runtime_tests.filter.conftest import NAME, Surroundings

pytestmark = pytest.mark.compile
SOURCE = Path(__file__).resolve().parents[2] / "substitute" / "filter" / "command.py"

HEADS = {
    "plain": f"#!{sys.executable}\n# -*- coding: utf-8 -*-\n",
    "quoted, for a path with spaces": "#!/bin/sh\n'''exec' \"{link}\" \"$0\" \"$@\"\n' '''\n",
    "for a long path": f"#!/bin/sh\n'''exec' {sys.executable} \"$0\" \"$@\"\n' '''\n",
    "through env": f"#!/usr/bin/env {sys.executable}\nimport sys\n",
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("linked", [False, True])
def test_finds_the_interpreter(surroundings: Surroundings, head: str, linked: bool) -> None:
    folder = surroundings.folder / "a folder"
    folder.mkdir()
    link = folder / "python"
    link.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    link.chmod(0o755)
    (folder / "iree-substitute").write_text(HEADS[head].format(link=link))
    (folder / NAME).write_bytes(SOURCE.read_bytes())
    (folder / NAME).chmod(0o755)
    command = folder / NAME
    if linked:
        command = surroundings.folder / "elsewhere"
        command.symlink_to(folder / NAME)
    done = subprocess.run([command, "--version"], capture_output=True, env=surroundings.environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().startswith(NAME)


def test_says_what_is_missing(surroundings: Surroundings) -> None:
    command = surroundings.folder / "bin" / NAME
    command.write_bytes(SOURCE.read_bytes())
    command.chmod(0o755)
    done = subprocess.run([command], capture_output=True, env=surroundings.environment, check=False)
    assert done.returncode == 127
    assert b"the command iree-substitute is not in" in done.stderr


def test_the_client_loads_neither_the_package_nor_site() -> None:
    """Each of these takes longer than an executable may."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import client; client.identity([]); client.private_folder;"
        "print(*sorted(set(sys.modules) & {'substitute', 'site', 're', 'json', 'hashlib', 'socket', 'typing', 'os'}))"
    )
    bare = [sys.executable, "-I", "-S", "-c", code, str(SOURCE.parent)]
    assert subprocess.run(bare, capture_output=True, text=True, check=True).stdout == "\n"
    full = [sys.executable, "-I", "-c", code, str(SOURCE.parent)]
    assert "site" in subprocess.run(full, capture_output=True, text=True, check=True).stdout
