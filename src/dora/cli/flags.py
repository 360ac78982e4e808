"""What commands have in common: how they are listed and asked for help, and the flags they share.

Imported by every module of commands. Elsewhere: what flags mean (`cli.options`, `cli.build`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dora.cli.options import (
    LOG_FORMATS,
    parse_choice,
    parse_env,
    parse_log_filter,
)
from dora.ids import LOG_LEVELS, suggest

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

FLOW = click.Path(path_type=Path)
"""The type of an argument that names a dataflow file."""

EXIT_FLAG = "--exit-when-nodes-finish"

FORMATS = click.Choice(["table", "json"])
"""How a command that lists things may print them."""


class Command(click.Command):
    """Shows its whole first sentence in the list of commands; tells which flag was meant."""

    def get_short_help_str(self, limit: int = 0) -> str:
        """The first sentence, however long."""
        del limit
        return super().get_short_help_str(1000)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the flags; of one that is not there, name the nearest that is not hidden."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as exc:
            shown = [param for param in self.get_params(ctx) if not getattr(param, "hidden", False)]
            near = suggest(exc.option_name, [name for param in shown for name in param.opts])
            possible = [near] if near else None
            raise click.NoSuchOption(exc.option_name, possibilities=possible, ctx=ctx) from exc


class Group(click.Group):
    """A command of commands; `help COMMAND` is `COMMAND --help`, as in dora-rs."""

    command_class = Command

    def get_short_help_str(self, limit: int = 0) -> str:
        """The first sentence, however long."""
        del limit
        return super().get_short_help_str(1000)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take `help` for the flag of the command behind it."""
        return super().parse_args(ctx, [*args[1:], "--help"] if args[:1] == ["help"] else args)


class ExitFlagCommand(Command):
    """Gives `--exit-when-nodes-finish` its optional value, which only `=` may attach."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the flag without a value for true."""
        given = [f"{EXIT_FLAG}=true" if arg == EXIT_FLAG else arg for arg in args]
        return super().parse_args(ctx, given)


def parsed(
    parse: Callable[[Any], _T],
) -> Callable[[click.Context, click.Parameter, Any], _T | None]:
    """A callback that reads a flag's value and makes its ValueError a usage error."""

    def callback(_ctx: click.Context, _param: click.Parameter, value: Any) -> _T | None:
        if value is None:
            return None
        try:
            return parse(value)
        except ValueError as exc:
            raise click.BadParameter(str(exc)) from exc

    return callback


def format_flag(told: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a command that lists things the flag that says how, as `form`: `table` or `json`.

    Args:
        told: Its help.
    """
    return click.option(
        "-f",
        "--format",
        "form",
        type=FORMATS,
        default="table",
        show_default=True,
        help=told,
    )


def dataflow_flag(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the flag that names the dataflow it is about, as `dataflow`."""
    told = "Which dataflow: its name, or the beginning of its id. Needed only if several run."
    flag = click.option(
        "-d", "--dataflow", metavar="NAME_OR_ID", shell_complete=complete_dataflows, help=told
    )
    return flag(command)


def complete_dataflows(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """What Tab offers for a running dataflow: give it to a parameter as `shell_complete`."""
    from dora.cli.completing import dataflow_names

    return dataflow_names(incomplete)


def complete_nodes(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """What Tab offers for a node of a running dataflow, that of `--dataflow` if it was given."""
    from dora.cli.completing import node_ids

    return node_ids(incomplete, ctx.params.get("dataflow"))


def only_dataflow_flag(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command about all dataflows the flag that picks one of them, as `dataflow`."""
    told = "This dataflow only: its name, or the beginning of its id."
    return click.option("-d", "--dataflow", metavar="NAME_OR_ID", help=told)(command)


def coordinator_flags(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command dora-rs's flags about its coordinator, of which there is none here.

    They are accepted, so that scripts made for dora-rs go on working, and have no effect.
    """
    for name in ("--coordinator-addr", "--coordinator-port"):
        command = click.option(name, hidden=True, expose_value=False)(command)
    return command


def fetch_flags(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the flags that say what its build may fetch; `cli.build` reads them."""
    flag = click.option
    for option in (
        flag("--offline", is_flag=True, help="Fetch nothing; what is there already will do."),
        flag("--hub-override", multiple=True, metavar="PKG=PATH", hidden=True),
        flag("--lockfile", type=FLOW, help="The lock file; <name>.dora-lock.yaml by default."),
        flag(
            "--write-lockfile",
            is_flag=True,
            help="Write the commits of git nodes into the lock file.",
        ),
        flag(
            "--locked", is_flag=True, help="Build the commits that the lock file says, no others."
        ),
    ):
        command = option(command)
    return command


def strict_flag(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the flag that makes warnings about types mistakes."""
    told = "Take warnings about types for mistakes, as `strict_types: true` does."
    return click.option("--strict-types", is_flag=True, help=told)(command)


env_flag = click.option(
    "--env",
    "extra_env",
    metavar="NAME=VALUE",
    multiple=True,
    callback=parsed(parse_env),
    help="Set a variable in the top-level `env:`; a node's own `env:` wins. Repeatable.",
)
exit_flag = click.option(
    EXIT_FLAG,
    type=click.BOOL,
    default=None,
    metavar="[=BOOL]",
    help="Timers do not keep a node running when all that feeds it is done.",
)
shell_flag = click.option(
    "--allow-shell-nodes",
    "allow_shell",
    is_flag=True,
    envvar="DORA_ALLOW_SHELL_NODES",
    show_envvar=True,
    help="Allow nodes with `path: shell`.",
)
"""What may be said of a dataflow, or a node, that is started."""


def log_flags(level: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a command the flags about the lines it shows: `log_level`, `log_format`, `log_filter`.

    Args:
        level: What it calls the first of them.
    """
    flags = (
        click.option(
            "--log-filter",
            metavar="NODE=LEVEL,...",
            envvar="DORA_LOG_FILTER",
            show_envvar=True,
            callback=parsed(parse_log_filter),
            help=f"Levels of single nodes, in place of {level}.",
        ),
        click.option(
            "--log-format",
            metavar=f"[{'|'.join(LOG_FORMATS)}]",
            callback=parsed(lambda text: parse_choice(text, LOG_FORMATS, "log format")),
            default="pretty",
            envvar="DORA_LOG_FORMAT",
            show_default=True,
            show_envvar=True,
            help="How lines look.",
        ),
        click.option(
            level,
            "log_level",
            metavar=f"[{'|'.join(LOG_LEVELS)}]",
            callback=parsed(lambda text: parse_choice(text, LOG_LEVELS, "log level")),
            default="stdout",
            envvar="DORA_LOG_LEVEL",
            show_default=True,
            show_envvar=True,
            help="Show lines at least as severe; stdout shows all.",
        ),
    )

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        for flag in flags:
            command = flag(command)
        return command

    return decorate
