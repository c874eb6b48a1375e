"""`iree-substitute kernels`: `list`, `show` and `check`."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import UsageError
from .options import catalog_options, json_option
from .terminal import progress, show, show_json, terminal_width


class _ListByDefault(click.Group):
    """A group whose default command is `list`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        helps = [option for parameter in self.get_params(ctx) for option in parameter.opts]
        if not args or (args[0].startswith("-") and args[0] not in (*helps, *ctx.help_option_names)):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group("kernels", cls=_ListByDefault)
def command() -> None:
    """List, show or check the kernels that can be used. Without a command: list."""


@command.command("list")
@catalog_options
@click.option("--backend", metavar="NAME", help="Only kernels for this backend, such as llvm-cpu.")
@json_option
def list_command(kernels: tuple[Path, ...], builtin: bool, backend: str | None, as_json: bool) -> None:
    """List the kernels that can be used."""
    from ..catalog.catalog import load_manifests

    found = sorted((m.kernel for m in load_manifests(kernels, builtin=builtin)), key=lambda k: k.name)
    if backend is not None:
        found = [k for k in found if any(t.backend == backend for t in k.targets)]
    if as_json:
        from ..report.kernels import kernel_to_json

        show_json({"kernels": [kernel_to_json(kernel) for kernel in found]})
    else:
        from ..report.kernels import kernels_table

        show(kernels_table(found, width=terminal_width()))


@command.command("show")
@click.argument("name", metavar="KERNEL")
@catalog_options
@json_option
def show_command(name: str, kernels: tuple[Path, ...], builtin: bool, as_json: bool) -> None:
    """Show how the code of KERNEL (a name or a folder) is called, and what its manifest says.

    The call is what its author writes: a C prototype, the helpers of a GLSL body, the parameters of a PTX entry, the
    request of a generator.
    """
    from ..report.kernels import kernel_details, kernel_to_json
    from ..validate.kernel import find_kernels

    found = find_kernels([name], folders=kernels, builtin=builtin)
    if as_json:
        show_json({"kernels": [kernel_to_json(kernel, details=True) for kernel in found]})
        return
    for number, kernel in enumerate(found):
        if number:
            click.echo()
        show(kernel_details(kernel, width=terminal_width()))


@command.command("check")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path), metavar="[DIR]…")
@catalog_options
@json_option
def check_command(folders: tuple[Path, ...], kernels: tuple[Path, ...], builtin: bool, as_json: bool) -> int:
    """Read every manifest and definition, and load every generator, without a model.

    With DIR only the kernels in these folders are checked. Every error is shown; the exit status is 2 if there is one.
    """
    from ..catalog.catalog import check_kernels, list_manifests

    if folders and kernels:
        raise UsageError(
            "--kernels has no effect beside folders to check",
            expected="folders to check, or --kernels",
            found="both",
            next_step="name all folders as arguments",
        )
    with progress() as report:
        report("reading definitions", None)
        checks = check_kernels(list_manifests(folders or kernels, builtin=builtin and not folders))
    wrong = [check for check in checks if check.error]
    if as_json:
        show_json(
            {"kernels": [{"file": str(c.file), "names": list(c.names), "error": c.error or None} for c in checks]}
        )
    else:
        for check in wrong:
            click.echo(f"error: {check.error}", err=True)
        count = sum(len(check.names) for check in checks)
        plural = "s" * (count != 1)
        click.echo(f"{count} kernel{plural} right" + (f", {len(wrong)} folders wrong" if wrong else ""))
    return UsageError.exit_status if wrong else 0
