"""Entry point of `iree-substitute`: its commands and the handling of errors."""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import sys
from collections.abc import Sequence

import click

from ..errors import SubstituteError, UsageError

PROGRAM = "iree-substitute"
DEBUG_VARIABLE = "IREE_SUBSTITUTE_DEBUG"
INTERRUPTED = 130
BUG = 70
NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EMFILE, errno.ENFILE))
"""Errors of the system that are no bug: a full disk, a limit, a file system that cannot be written."""

COMMANDS: dict[str, str] = {
    "compile": "Compile a model, replacing IREE's code by kernels.",
    "inspect": "List the dispatches of a model and the kernel that takes each.",
    "profile": "Time each dispatch, with IREE's code and with kernels.",
    "explain": "Say rule by rule why a kernel fits a dispatch or not.",
    "run": "Run a compiled module on a device.",
    "validate": "Compare kernels, or a model with them, with a golden.",
    "dev": "Judge and time a kernel in one dispatch of a model at each save.",
    "verify": "Check attestations that validate wrote.",
    "bench": "Time a model with kernels beside IREE's own code.",
    "tune": "Measure every candidate kernel and write a plan.",
    "run-bundle": "Run and judge a bundle that validate wrote, without a compiler.",
    "audit": "Run every dispatch of stock IREE against a golden in float64.",
    "kernels": "List the kernels that can be used.",
    "new": "Write a new kernel that works, to start from.",
    "doctor": "Say what this machine has, what is missing, and how to get it.",
    "simulate": "Run a program of IREE's on simulated CUDA devices.",
}
"""Each command is the function `command` of the module of its name (`_` for `-`), imported when it is used."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            close = difflib.get_close_matches(cmd_name, COMMANDS, n=1, cutoff=0.5)
            raise UsageError(
                f"there is no command `{cmd_name}`",
                expected="one of " + ", ".join(COMMANDS),
                next_step=f"did you mean `{PROGRAM} {close[0]}`?" if close else f"see `{PROGRAM} --help`",
            )
        command = importlib.import_module(f"{__package__}.{cmd_name.replace('-', '_')}_command").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):  # without importing any
            formatter.write_dl(list(COMMANDS.items()))


def _print_version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if not value:
        return
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in (PROGRAM, "iree-base-compiler", "iree-base-runtime"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} (not installed)")
    click.echo("\n".join(found))
    ctx.exit()


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`iree-substitute COMMAND --help` explains a command.",
)
@click.option("--debug", is_flag=True, help=f"Show a traceback with errors (also {DEBUG_VARIABLE}=1).")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the versions of this program and of IREE.",
)
def cli(debug: bool) -> None:
    """Put hand-tuned kernels into programs compiled by IREE."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; errors are printed to standard error."""
    args = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    debug = args[:1] == ["--debug"] or os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")
    try:
        status = cli.main(args=args, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except SubstituteError as error:
        _trace(debug)
        click.echo(f"error: {error}", err=True)
        return error.exit_status
    except click.Abort:
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        click.echo(f"error: {_usage(error)}", err=True)
        return error.exit_code
    except BrokenPipeError:
        # the reader of the output has closed it; Python would report an error again when it closes stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        _trace(debug)
        if error.errno not in NO_ROOM:
            click.echo(_bug(error, debug), err=True)
            return BUG
        click.echo(f"error: {_no_room(error)}", err=True)
        return 1
    except Exception as error:
        _trace(debug)
        click.echo(_bug(error, debug), err=True)
        return BUG


def _no_room(error: OSError) -> SubstituteError:
    """Return what is said where the system gave no room for files that are not a person's."""
    return SubstituteError(
        "a file could not be written",
        where=str(error.filename or ""),
        expected="room for temporary files and the cache",
        found=error.strerror or str(error),
        next_step="free some room, or point TMPDIR and IREE_SUBSTITUTE_CACHE to another folder",
    )


def _trace(debug: bool) -> None:
    if debug:
        import traceback

        click.echo(traceback.format_exc(), err=True)


def _usage(error: click.ClickException) -> str:
    """Return the text of a click error."""
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else PROGRAM
    return f"{message[:1].lower()}{message[1:]}\n  next:      `{path} --help` lists the arguments and options"


def _bug(error: Exception, debug: bool) -> str:
    words = str(error) if debug else str(error).partition("\n")[0]
    lines = [f"error: this is a bug in {PROGRAM}: {type(error).__name__}: {words}"]
    if not debug:
        lines.append(f"  next:      run it again as `{PROGRAM} --debug …` and report what it prints")
    return "\n".join(lines)
