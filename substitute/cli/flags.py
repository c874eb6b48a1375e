"""Separation of our options from IREE's flags, which pass through unchanged."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from ..errors import UsageError

MODEL_SUFFIXES = (".mlir", ".mlirbc", ".onnx")

_COMPILERS = ("--iree", "--mlir", "--llvm", "--debug", "--print", "--verify", "--torch", "--stablehlo", "--tosa")
"""Usual prefixes of flags of IREE, MLIR and LLVM, which are never treated as a misspelt option of this command."""


_EPILOG = (
    "All other options go to IREE's compiler as they are (`iree-compile --help` lists",
    "them), such as --iree-hal-target-device=vulkan. With no target flag, the target is",
    "this machine's CPU. What follows -- goes to the compiler in any case.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitArguments:
    """A command line, separated into options and flags."""

    ours: tuple[str, ...]
    """Our options with their values, then other words."""
    flags: tuple[str, ...]
    """IREE's flags; `--flag value` becomes `--flag=value`."""


class CompilerCommand(click.Command):
    """A command whose unknown options are flags of IREE's compiler; its function receives them as `flags`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Remove IREE's flags before click parses them: click would read `-iree-…` as `-i -r -e -e …`."""
        options = {
            name: not option.is_flag and not option.count
            for option in self.get_params(ctx)
            if isinstance(option, click.Option)
            for name in (*option.opts, *option.secondary_opts)
        }
        split = split_arguments(expand_response_files(args, options), options)
        rest = super().parse_args(ctx, list(split.ours))
        ctx.params["flags"] = split.flags
        return rest

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Add a sentence about the flags that pass through."""
        super().format_epilog(ctx, formatter)
        formatter.write_paragraph()
        for line in _EPILOG:  # not write_text, which breaks flags at their hyphens
            formatter.write(f"{line}\n")


def expand_response_files(args: Sequence[str], options: Mapping[str, bool]) -> list[str]:
    """Replace each `@FILE` by the words of `FILE`, as iree-compile does.

    The value of one of our options is not expanded (`--input @x.npy`), nor is the name of a missing file.
    """
    expanded: list[str] = []
    value = False
    for at, word in enumerate(args):
        if word == "--":
            return [*expanded, *args[at:]]
        if word.startswith("@") and not value and Path(word[1:]).is_file():
            expanded += expand_response_files(shlex.split(Path(word[1:]).read_text(), comments=False), options)
        else:
            expanded.append(word)
        value = options.get(word, False)
    return expanded


def split_arguments(args: Sequence[str], options: Mapping[str, bool]) -> SplitArguments:
    """Separate a command line. `options` maps each of our options to whether it takes a value.

    A word after an unknown option without `=` is that option's value, unless no other word can be the model: then the
    option takes no value. Raises `UsageError` for a probable misspelling of one of our options.
    """
    ours: list[str] = []
    words: list[str] = []
    flags: list[str | tuple[str, str]] = []
    at = 0
    while at < len(args):
        word, following = args[at], args[at + 1 : at + 2]
        name, equals, _ = word.partition("=")
        at += 1
        if word == "--":
            flags += args[at:]
            break
        if not word.startswith("-") or word == "-":
            words.append(word)
        elif name in options:
            ours.append(word)
            if options[name] and not equals:
                ours += following
                at += 1
        else:
            _check_spelling(name, options)
            if equals or not following or following[0].startswith("-"):
                flags.append(word)
            else:
                flags.append((word, following[0]))
                at += 1
    if not words:
        words = _take_model(flags)
    joined = tuple("=".join(flag) if isinstance(flag, tuple) else flag for flag in flags)
    return SplitArguments(ours=(*ours, *words), flags=joined)


def _take_model(flags: list[str | tuple[str, str]]) -> list[str]:
    """Return the model, if it follows a flag that takes no value; it is removed from that flag."""
    candidates = [at for at, flag in enumerate(flags) if isinstance(flag, tuple) and flag[1].endswith(MODEL_SUFFIXES)]
    if len(candidates) != 1:
        return []
    flag = flags[candidates[0]]
    assert isinstance(flag, tuple)
    flags[candidates[0]] = flag[0]
    return [flag[1]]


def _check_spelling(name: str, options: Mapping[str, bool]) -> None:
    if name.startswith(_COMPILERS):
        return
    close = difflib.get_close_matches(name, list(options), n=1, cutoff=0.75)
    if close:
        raise UsageError(
            f"unknown option {name}",
            expected="an option of this command, or a flag of IREE's compiler",
            next_step=f"did you mean {close[0]}? A flag of the compiler of that name can follow after --",
        )
