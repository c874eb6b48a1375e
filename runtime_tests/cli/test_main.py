"""Help, versions, and the report of errors."""

import io
import subprocess
import sys

import pytest

from runtime_tests.cli.conftest import Run
from substitute import inspection
from substitute.cli import main as module
from substitute.errors import CompilerError, PlanError, UsageError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("args", [(), ("--help",), ("-h",)])
def test_help_lists_every_command(run: Run, args: tuple[str, ...]) -> None:
    finished = run(*args)
    assert (finished.status, finished.err) == (0, "")
    for command, summary in module.COMMANDS.items():
        assert f"  {command} " in finished.out
        assert summary in finished.out


@pytest.mark.parametrize("command", list(module.COMMANDS))
def test_every_command_has_help(run: Run, command: str) -> None:
    finished = run(command, "--help")
    assert finished.status == 0
    assert finished.out.startswith(f"Usage: iree-substitute {command} [OPTIONS]")


@pytest.mark.parametrize("command", ["compile", "inspect", "explain", "validate"])
def test_help_says_where_other_options_go(run: Run, command: str) -> None:
    assert "such as --iree-hal-target-device=vulkan." in run(command, "--help").out


def test_version(run: Run) -> None:
    finished = run("--version")
    assert finished.status == 0
    lines = [line.split()[0] for line in finished.out.splitlines()]
    assert lines == ["iree-substitute", "iree-base-compiler", "iree-base-runtime"]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from substitute.cli.main import main; main(['--help']); main(['compile', '--help']); "
        "heavy = {'rich', 'pydantic', 'numpy', 'iree', 'llvmlite'} & {m.partition('.')[0] for m in sys.modules}; "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ("compilee",),
            "error: there is no command `compilee`\n"
            f"  expected:  one of {', '.join(module.COMMANDS)}\n"
            "  next:      did you mean `iree-substitute compile`?\n",
        ),
        (
            ("compile",),
            "error: missing argument 'MODEL'\n"
            "  next:      `iree-substitute compile --help` lists the arguments and options\n",
        ),
        (
            ("compile", "m.mlir"),
            "error: missing option '-o' / '--output'\n"
            "  next:      `iree-substitute compile --help` lists the arguments and options\n",
        ),
        (
            ("inspect", "a.mlir", "b.mlir"),
            "error: got unexpected extra argument (b.mlir)\n"
            "  next:      `iree-substitute inspect --help` lists the arguments and options\n",
        ),
        (
            ("run", "m.vmfb", "--frob"),
            "error: no such option '--frob'\n"
            "  next:      `iree-substitute run --help` lists the arguments and options\n",
        ),
    ],
)
def test_wrong_command_lines(run: Run, args: tuple[str, ...], message: str) -> None:
    finished = run(*args)
    assert (finished.status, finished.out) == (2, "")
    assert finished.err.replace("no such option: --frob", "no such option '--frob'") == message


def fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def inspect_model(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(inspection, "inspect_model", inspect_model)


@pytest.mark.parametrize(("kind", "status"), [(UsageError, 2), (PlanError, 1), (CompilerError, 1)])
def test_errors_that_a_person_can_mend(
    run: Run, monkeypatch: pytest.MonkeyPatch, kind: type[UsageError], status: int
) -> None:
    fail_with(kind("it went wrong", where="there", expected="this", found="that", next_step="go"), monkeypatch)
    finished = run("inspect", "m.mlir")
    assert (finished.status, finished.out) == (status, "")
    assert finished.err == ("error: there: it went wrong\n  expected:  this\n  found:     that\n  next:      go\n")


def test_bug(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(RuntimeError("oh no\nTraceback of a child"), monkeypatch)
    finished = run("inspect", "m.mlir")
    assert finished.status == 70
    assert finished.err == (
        "error: this is a bug in iree-substitute: RuntimeError: oh no\n"
        "  next:      run it again as `iree-substitute --debug …` and report what it prints\n"
    )


def test_debug_shows_the_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(RuntimeError("oh no"), monkeypatch)
    finished = run("--debug", "inspect", "m.mlir")
    assert finished.status == 70
    assert "Traceback (most recent call last)" in finished.err
    monkeypatch.setenv("IREE_SUBSTITUTE_DEBUG", "1")
    assert "Traceback (most recent call last)" in module_run(["inspect", "m.mlir"])
    monkeypatch.setenv("IREE_SUBSTITUTE_DEBUG", "0")
    assert "Traceback" not in module_run(["inspect", "m.mlir"])


def module_run(args: list[str]) -> str:
    """Standard error of a command."""
    saved, sys.stderr = sys.stderr, io.StringIO()
    try:
        module.main(args)
        return sys.stderr.getvalue()
    finally:
        sys.stderr = saved


def test_interrupt(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(KeyboardInterrupt(), monkeypatch)
    finished = run("inspect", "m.mlir")
    assert finished.status == 130
    assert finished.err.strip() == "interrupted"


def test_reader_that_leaves_early() -> None:
    command = [sys.executable, "-c", "import sys; from substitute.cli.main import main; sys.exit(main())", "kernels"]
    child = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    assert child.stderr.read() == b""
    assert child.wait() == 1
    child.stderr.close()
