"""The pages of docs/: their commands are run, the list of messages is complete, and the site's hooks do their work."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from runtime_tests.messages import KINDS, Message, list_messages, write_page
from runtime_tests.models import make_mlp
from substitute import errors

DOCS = Path(__file__).parents[1] / "docs"
ELSEWHERE = {
    "iree-substitute profile model.onnx --input @input.npy --perfetto trace.json": "profile/test_profile.py",
    "iree-substitute new mine --from model.onnx --dispatch 3": "cli/test_new.py",
    "iree-substitute dev mine --model model.onnx --dispatch 3": "cli/",
    "iree-substitute validate mine --attest mine": "attest/",
    "iree-substitute compile model.mlir -o model.vmfb --kernels mine --require-validated": "attest/",
    "iree-substitute validate model.mlir --attest proofs": "attest/",
    "iree-substitute compile model.mlir -o model.vmfb --require-validated --attestations proofs": "attest/",
    "iree-substitute verify proofs": "attest/",
    "iree-substitute new --from model.onnx --dispatch conv_4x512 --kind glsl my_conv": "cli/test_new.py",
    "iree-substitute new --definition function.mlir my_kernel": "cli/test_new.py",
}
"""Commands that tests of these files or folders run, with other names of files."""


def commands(page: Path) -> list[str]:
    """Return every line after a `$`, without its comment."""
    blocks = re.findall(r"^```console\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [re.sub(r"\s+# .*$", "", line).removeprefix("$ ") for line in lines]


@pytest.mark.unit
def test_every_command_is_run() -> None:
    others = [command for page in sorted(DOCS.glob("*.md")) if page.stem != "tutorial" for command in commands(page)]
    unknown = set(others) - set(ELSEWHERE)
    assert not unknown, "run it in a test, and name the test in ELSEWHERE"
    assert set(ELSEWHERE) == set(others), "it is no longer in docs/"
    assert all((Path(__file__).parent / place).exists() for place in ELSEWHERE.values())
    assert len(commands(DOCS / "tutorial.md")) > 4


@pytest.mark.slow
@pytest.mark.compile
@pytest.mark.device
def test_the_tutorial(tmp_path: Path) -> None:
    make_mlp(tmp_path).path.rename(tmp_path / "model.onnx")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    for command in commands(DOCS / "tutorial.md"):
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert {"profile.html", "validate.html", "compile.html"} <= {file.name for file in tmp_path.iterdir()}


@pytest.mark.unit
def test_messages_are_found() -> None:
    text = 'raise UsageError(f"no {x} here", expected="a" if y else "b", found=z, next_step="do " + what)\nOther("no")'
    assert list(list_messages(text)) == [Message("UsageError", "no … here", "a / b", "do …")]
    assert list(list_messages("raise UsageError(what)")) == []
    page = write_page()
    assert "| the lock cannot be read | a lock of version …" in page
    assert all(issubclass(getattr(errors, kind), errors.SubstituteError) for kind in KINDS)


@pytest.mark.unit
def test_the_page_of_messages_is_one_that_was_generated() -> None:
    """`make docs` writes it; a message that changed since is no error, but most of it is what the sources say."""
    written, now = set((DOCS / "messages.md").read_text().splitlines()), set(write_page().splitlines())
    assert len(written & now) > 0.7 * len(now)
    assert {line for line in now if line.startswith("#")} == {line for line in written if line.startswith("#")}


@pytest.mark.unit
def test_the_hooks_of_the_site(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("hooks", DOCS / "site" / "hooks.py")
    assert spec is not None and spec.loader is not None
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    text = "[a](../samples/x/README.md#b) [`samples/y`](../samples/y) [c](kernels.md#d) [e](https://iree.dev)"
    assert hooks.name_files(text) == ("a (`samples/x/README.md`) `samples/y` [c](kernels.md#d) [e](https://iree.dev)")
    listed = hooks.list_pages(DOCS)
    assert re.findall(r"\]\(([\w.]+)\)", listed) == [page.name for page in sorted(DOCS.glob("*.md"))]
    assert "- [Commands: exit statuses, JSON, completion](commands.md): `iree-substitute --help` lists" in listed
    navigation = set(re.findall(r": (\w+\.md)$", (DOCS / "site" / "mkdocs.yml").read_text(), re.MULTILINE))
    assert navigation == {page.name for page in DOCS.glob("*.md")}
