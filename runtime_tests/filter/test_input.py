"""Invalid executables: an error message that reaches the user, and nothing on standard output."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime_tests.filter.conftest import CPU, HOOK, NAME, Surroundings, compiler

pytestmark = pytest.mark.compile
Executables = Callable[[tuple[str, ...]], dict[str, bytes]]

BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _text: b"", "there is no input"),
    "white space": (lambda _text: b" \n\n", "there is no input"),
    "cut off": (lambda text: text[: len(text) // 2], "this is not valid MLIR"),
    "prose": (lambda _text: b"hello, world\n", "this is not valid MLIR"),
    "binary": (lambda _text: bytes(range(256)) * 64, "the input is not text"),
    "not UTF-8": (lambda text: text[:99] + b"\xff\xfe" + text[99:], "the input is not text"),
    "bytecode": (lambda _text: b"ML\xefR" + b"\r" * 40, "the input is not text"),
    "no executable": (lambda _text: b"func.func private @f()\n", "the input is not one executable"),
    "an empty module": (lambda _text: b"module {}\n", "the input is not one executable"),
    "two": (lambda text: text + text.replace(b"@product", b"@other", 1), "the input is not one executable"),
    "another dialect": (lambda _text: b'"my.executable"() : () -> ()\n', "this is not valid MLIR"),
    "100 MB of text": (
        lambda _text: b"hal.executable @x {\n" + b"// a comment, and another\n" * 4_000_000,
        "this is not valid MLIR",
    ),
    "100 MB of rubbish": (lambda _text: b"hal hal hal hal hal " * 5_000_000, "this is not valid MLIR"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_input_is_an_error(shared: Surroundings, executables: Executables, name: str) -> None:
    make, words = BROKEN[name]
    done = shared.run("--no-cache", data=make(executables(CPU)["matmul"]))
    assert done.returncode == 1
    assert done.stdout == b""
    message = done.stderr.decode()
    assert message.startswith(f"{NAME}: error: standard input: {words}\n")
    assert "\n  expected:  one hal.executable" in message
    assert "\n  next:      " in message


@pytest.mark.parametrize("where", ["--no-cache", "--no-worker"])
def test_constants_that_iree_keeps_to_itself(shared: Surroundings, executables: Executables, where: str) -> None:
    text = executables(CPU)["matmul"].replace(
        b"arith.constant 0.000000e+00 : f32", b"arith.constant dense_resource<__elided__> : tensor<4xf32>", 1
    )
    done = shared.run(where, data=text)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode() == (
        f"{NAME}: error: standard input: the executable holds constants whose data IREE does not give to a filter\n"
        "  expected:  constants in the text itself\n"
        "  found:     dense_resource<__elided__>\n"
        "  next:      add --iree-flow-inline-constants-max-byte-length=0 to the flags of iree-compile, or use "
        "`iree-substitute compile`\n"
    )


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--kernel", "x"), "unrecognized arguments: --kernel x"),
        (("--timeout", "soon"), "argument --timeout: invalid float value: 'soon'"),
        (("--jobs", "0"), "the number is too small"),
        (("--kernels", "nowhere"), "there is no such folder"),
        (("--plan", "nowhere.json"), "the plan cannot be read"),
    ],
)
def test_wrong_arguments_are_an_error(
    shared: Surroundings, executables: Executables, words: tuple[str, ...], found: str
) -> None:
    for where in ("--no-cache", "--no-worker"):
        done = shared.run(where, *words, data=executables(CPU)["rows"])
        assert done.returncode in (1, 2)
        assert done.stdout == b""
        assert found in done.stderr.decode()


def test_help_and_version(shared: Surroundings) -> None:
    from substitute import __version__

    done = shared.run("--help")
    assert done.returncode == 0
    assert b"--report-dir" in done.stdout
    assert shared.run("--version").stdout.decode() == f"{NAME} {__version__}\n"


def test_a_message_reaches_the_compilers_stderr(shared: Surroundings) -> None:
    """IREE itself shows no more than where the tool's stderr was put."""
    shared.tool("cut", "head -c 300")
    done = shared.compile("cut")
    assert "this is not valid MLIR" not in done.stderr
    done = shared.compile(f"{NAME} --no-cache --kernels {shared.folder / 'nowhere'}")
    assert done.returncode != 0
    assert "there is no such folder" in done.stderr
    preserved = Path(done.stderr.partition("tool stderr preserved at ")[2].splitlines()[0])
    assert "there is no such folder" in preserved.read_text()
    preserved.unlink()


def test_a_message_reaches_the_terminal(shared: Surroundings) -> None:
    ours, theirs = pty.openpty()
    argv = shared.compile_argv(f"{NAME} --no-cache --kernels nowhere")
    compiling = subprocess.Popen(argv, env=shared.environment, stderr=theirs, cwd=shared.folder)
    compiling.wait(timeout=60)
    os.close(theirs)
    assert b"there is no such folder" in os.read(ours, 1 << 16)
    os.close(ours)


@pytest.mark.parametrize("append", [True, False])
def test_a_message_is_added_to_a_log_that_grows_and_to_no_other(shared: Surroundings, append: bool) -> None:
    """In a file that is not opened for appending, IREE's next line would overwrite ours or be overwritten."""
    log = shared.folder / f"log-{append}"
    argv = shared.compile_argv(f"{NAME} --no-cache --kernels nowhere")
    with log.open("a" if append else "w") as file:
        subprocess.run(argv, env=shared.environment, stderr=file, cwd=shared.folder, timeout=60, check=False)
    text = log.read_text()
    assert ("there is no such folder" in text) == append
    assert "tool stderr preserved at" in text
    assert "\0" not in text


def test_a_result_that_cannot_be_written_is_an_error(shared: Surroundings, executables: Executables) -> None:
    text = executables(CPU)["matmul"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [NAME], input=text, stdout=full, stderr=subprocess.PIPE, env=shared.environment, check=False, timeout=60
        )
    assert done.returncode == 1
    assert b"the result could not be written: No space left on device" in done.stderr


def test_several_tools_and_pipelines_work_in_order(shared: Surroundings) -> None:
    """Each sees what the one before it made."""
    shared.tool("before", f"cp /dev/stdin {shared.folder}/before.$$; cat {shared.folder}/before.$$")
    shared.tool("after", f"cp /dev/stdin {shared.folder}/after.$$; cat {shared.folder}/after.$$")
    pipeline = "builtin.module(canonicalize)"
    done = shared.compile(pipeline, "before", f"{NAME} --report-dir one", pipeline, f"{NAME} --report-dir two", "after")
    assert done.returncode == 0, done.stderr
    before = sorted(path.read_text() for path in shared.folder.glob("before.*"))
    after = sorted(path.read_text() for path in shared.folder.glob("after.*"))
    assert len(before) == len(after) == 3
    assert all("llvm.bareptr" in text for text in after)
    assert not any("llvm.bareptr" in text for text in before)
    assert all('"changed": true' in path.read_text() for path in (shared.folder / "one").iterdir())
    second = [path.read_text() for path in (shared.folder / "two").iterdir()]
    assert len(second) == 3
    assert all('"changed": false' in text for text in second)


def test_works_under_iree_opt(shared: Surroundings) -> None:
    assert shared.compile().returncode == 0
    source, target = shared.folder / "out.mlir", shared.folder / "opt.mlir"
    tool = f'iree-hal-preprocess-executables-with-tool{{command="{NAME} --no-builtin"}}'
    for command, changed in ((tool.replace(" --no-builtin", ""), True), (tool, False)):
        # with threads iree-opt now and then dies of loading a dialect while it parses what the filter wrote
        argv = [
            compiler("iree-opt"),
            str(source),
            "--mlir-disable-threading",
            f"--pass-pipeline=builtin.module(hal.executable({command}))",
        ]
        done = subprocess.run(argv, env=shared.environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        target.write_text(done.stdout)
        assert ("llvm.bareptr" in done.stdout) == changed
    assert HOOK
