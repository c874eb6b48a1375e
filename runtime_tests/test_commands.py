"""The commands in this folder: each is on the page, and prints errors in arguments without a traceback."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from runtime_tests.arguments import read_kept
from substitute.errors import UsageError

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parent
ALONE = "spellings/frontends/"
"""Scripts that `runtime_tests.spellings` starts in an environment of other packages."""


def list_commands() -> set[str]:
    """Return the modules that can be run."""
    files = [p for p in ROOT.rglob("*.py") if re.search(r"^if __name__ == ", p.read_text(), re.MULTILINE)]
    names = (p.relative_to(ROOT).as_posix() for p in files)
    return {n.removesuffix(".py").removesuffix("/__main__").replace("/", ".") for n in names if not n.startswith(ALONE)}


def test_every_command_is_on_the_page() -> None:
    page = (ROOT / "README.md").read_text()
    named = re.findall(r"^\| `python -m runtime_tests\.([\w.]+)", page, re.MULTILINE)
    assert named == sorted(list_commands())


@pytest.mark.parametrize(
    ("command", "line", "words"),
    [
        ("crash_loop.__main__", "nothing.mlir", "the model cannot be read"),
        ("crash_loop.__main__", "--runs 0 x.mlir", "at least 1 is needed, not 0"),
        ("fuzz.__main__", "--replay build/fuzz/nothing", "there is no such program"),
        ("fuzz.__main__", "--whole 0", "at least 1 is needed, not 0"),
        ("iree_e2e.__main__", "--source . --resume", "--resume needs the results"),
        ("iree_e2e.__main__", "--source /nowhere", "there are no tests"),
        ("match.random_parameters", "--count some", "invalid count value: 'some'"),
        ("mutants", "--count 0", "at least 1 is needed, not 0"),
        ("mutants", "--json /nowhere/results.json", "/nowhere is no folder"),
        ("spellings.__main__", "--only softmx", "no such operation: softmx"),
        ("spellings.__main__", "--python /nowhere", "/nowhere is no program"),
        ("spellings.__main__", "--again --folder /nowhere", "there are no models in /nowhere/models"),
        ("ulp.__main__", "--every 0", "at least 1 is needed, not 0"),
        ("ulp.__main__", "--function sqrt", "invalid choice: 'sqrt'"),
    ],
)
def test_a_mistake_ends_in_words(command: str, line: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = import_module(f"runtime_tests.{command}").main(line.split())
    except SystemExit as end:  # argparse
        status = end.code
    assert status
    assert words in capsys.readouterr().err


def test_results_that_are_no_json_are_named(tmp_path: Path) -> None:
    kept = tmp_path / "results.json"
    kept.write_text('{"cpu": [')
    with pytest.raises(UsageError) as error:
        read_kept(kept)
    assert str(kept) in str(error.value)
    kept.write_text('{"cpu": []}')
    assert read_kept(kept) == {"cpu": []}
