"""The command `dora`: its commands, flags, help and exit statuses.

A command's body stands in a module of its own and is imported when it
runs, so that `dora --help` and the way to the first node of `dora run` load nothing they do not
need.

Exit status: 0 all went well; 1 a `DoraError`, told in one message; 2 wrong usage; 70 a bug of
ours; 130 Ctrl-C. Elsewhere: what flags mean (`cli.options`), commands that are not there
(`cli.absent`), running (`cli.run`), building (`cli.build`).
"""

from __future__ import annotations

import errno
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dora.cli.flags import (
    FLOW,
    ExitFlagCommand,
    Group,
    env_flag,
    exit_flag,
    fetch_flags,
    log_flags,
    parsed,
    shell_flag,
    strict_flag,
)
from dora.cli.intact import check_intact
from dora.cli.options import absent_nodes, parse_duration
from dora.errors import DescriptorError, DoraError
from dora.running.options import RunOptions, shows_colour
from dora.version import VERSION

if TYPE_CHECKING:
    from dora.descriptor.plan import Plan

STATUS_BUG = 70
STATUS_INTERRUPTED = 130
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What writing to a file on a full disk ends in."""

_LATER = {
    "build": "build_commands:build",
    "check": "health_commands:status",
    "clean": "dataflow_commands:clean",
    "completion": "completion_command:completion",
    "destroy": "daemon_commands:down",
    "doctor": "health_commands:doctor",
    "down": "daemon_commands:down",
    "inspect": "top_command:inspect",
    "list": "dataflow_commands:list_",
    "logs": "logs_command:logs",
    "mcap": "mcap_commands:mcap",
    "metrics": "metrics_command:metrics",
    "new": "new_command:new",
    "node": "node_commands:node",
    "param": "param_commands:param",
    "prepare": "build_commands:prepare",
    "ps": "dataflow_commands:list_",
    "record": "record_command:record",
    "replay": "replay_command:replay",
    "restart": "dataflow_commands:restart",
    "start": "start_command:start",
    "status": "health_commands:status",
    "stop": "dataflow_commands:stop",
    "system": "health_commands:system",
    "top": "top_command:top",
    "topic": "topic_commands:topic",
    "trace": "trace_commands:trace",
    "up": "daemon_commands:up",
    "validate": "validate_command:validate",
    "web": "web_command:web",
}
"""Commands: the module that is imported when one is asked for, and its name there."""

_ALIASES = {"check", "destroy", "inspect", "ps", "system"}
"""Other names of commands, and of groups of one command, that the list of commands leaves out."""

_SECTIONS = {
    "Begin": "new doctor completion",
    "Dataflow files": "validate graph expand schema build prepare",
    "Run": "run up start list logs stop restart status clean down",
    "Look inside": "top web topic trace metrics node param",
    "Record and replay": "record replay mcap",
}
"""How the list of commands is ordered."""

_WORD_WIDTH = max(len(word) for words in _SECTIONS.values() for word in words.split())


class _Commands(Group):
    """Has a word for every command that does not exist."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_LATER} - _ALIASES)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, words in _SECTIONS.items():
            commands = {word: self.get_command(ctx, word) for word in words.split()}
            with formatter.section(title):
                formatter.write_dl(
                    [
                        (word.ljust(_WORD_WIDTH), one.get_short_help_str())
                        for word, one in commands.items()
                        if one
                    ]
                )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _LATER:
            return super().get_command(ctx, cmd_name)
        from importlib import import_module

        module, _, name = _LATER[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"dora.cli.{module}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0][:1] != "-" and self.get_command(ctx, args[0]) is None:
            from dora.cli.absent import absent_command

            ctx.fail(absent_command(args[0], self.list_commands(ctx)))
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    click.echo(f"dora {VERSION}")
    ctx.exit()


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: dora run dataflow.yml",
)
@click.option(
    "-V",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Dataflows for robots and AI pipelines: nodes are Python files, wired in a YAML file."""


@cli.command(cls=ExitFlagCommand, epilog="Example: dora run dataflow.yml --stop-after 10s")
@click.argument("flow", type=FLOW)
@click.option(
    "--stop-after",
    metavar="DURATION",
    callback=parsed(parse_duration),
    help="Stop after this time: 10, 500ms, 10s, 5m, 1h30m.",
)
@env_flag
@log_flags("--log-level")
@exit_flag
@click.option("--uv", is_flag=True, help="Build and run Python nodes by uv.")
@fetch_flags
@strict_flag
@shell_flag
@click.option(
    "--debug-node",
    "debug_nodes",
    metavar="NODE",
    multiple=True,
    help="Leave this node to you to start, in a debugger; print the command, wait. Repeatable.",
)
@click.option(
    "--hot-reload",
    is_flag=True,
    help="Start a Python node again when its file is saved; its messages wait meanwhile.",
)
@click.option("--web", is_flag=True, help="Show it in the browser too; prints the address.")
@click.option("--debug", is_flag=True, hidden=True, help="Accepted; has no effect.")
def run(
    flow: Path,
    stop_after: float | None,
    extra_env: dict[str, str] | None,
    log_level: str,
    log_format: str,
    log_filter: dict[str, str] | None,
    exit_when_nodes_finish: bool | None,
    uv: bool,
    allow_shell: bool,
    strict_types: bool,
    debug_nodes: tuple[str, ...],
    hot_reload: bool,
    web: bool,
    debug: bool,
    **fetch: Any,
) -> int:
    """Build and run FLOW, and show what its nodes print. Ends when all have finished."""
    del debug
    check_intact()
    from dora.descriptor.planner import load_plan

    load = partial(
        load_plan,
        flow,
        environ=os.environ,
        extra_env=extra_env,
        exit_when_nodes_finish=exit_when_nodes_finish,
        uv=uv,
        allow_shell=allow_shell,
        strict_types=strict_types,
    )
    plan = load(before_build=True)
    _check_filter(log_filter or {}, plan)
    _warn(plan)
    if plan.needs_build:
        from dora.cli.build import build_plan, options_of

        built = build_plan(plan, options_of(fetch, uv=uv, trusting=True))
        plan = load(before_build=False, clones=built.clones)
    if debug_nodes:
        from dora.cli.debug import leave_to_user

        plan = leave_to_user(plan, debug_nodes)
    from dora.cli.run import run_flow

    options = RunOptions(stop_after, log_level, log_format, log_filter or {}, hot_reload, web)
    return run_flow(plan, options)


@cli.command(epilog="Example: dora graph dataflow.yml --open")
@click.argument("flow", type=FLOW)
@click.option("--mermaid", is_flag=True, help="Print Mermaid text instead.")
@click.option("--open", "open_it", is_flag=True, help="Open the picture in the browser.")
def graph(flow: Path, mermaid: bool, open_it: bool) -> int:
    """Draw FLOW as a web page. It is <name>-graph.html, in the current folder."""
    from dora.descriptor.graph import graph_of, to_mermaid

    drawn = graph_of(_load(flow))
    if mermaid:
        click.echo(to_mermaid(drawn), nl=False)
        return 0
    from dora.descriptor.drawing import to_html

    page = Path(f"{drawn.name}-graph.html")
    try:
        page.write_text(to_html(drawn), encoding="utf-8")
    except OSError as exc:
        raise DoraError(f"`{page}` cannot be written: {exc.strerror}") from exc
    click.echo(f"wrote {page}")
    if open_it:
        click.launch(str(page))
    return 0


@cli.command(epilog="Example: dora expand dataflow.yml > flat.yml")
@click.argument("flow", type=FLOW)
@click.option("--module", is_flag=True, help="Check FLOW, a module file, by itself; print nothing.")
def expand(flow: Path, module: bool) -> int:
    """Print FLOW with the nodes of its modules in place of them."""
    from dora.cli.expand import expand_flow, module_checked

    click.echo(module_checked(flow) if module else expand_flow(flow), nl=False)
    return 0


@cli.command(epilog="Example: dora schema > dora-schema.json")
@click.option("--module", is_flag=True, help="That of module files instead.")
def schema(module: bool) -> int:
    """Print the JSON Schema of dataflow files, for editors."""
    import json

    from dora.descriptor.model import json_schema

    click.echo(json.dumps(json_schema(module=module), indent=2))
    return 0


def main(args: list[str] | None = None) -> int:
    """Run one command line and return its exit status."""
    try:
        colour = None if shows_colour(1) else False
        status = cli.main(args=args, prog_name="dora", standalone_mode=False, color=colour)
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt) as exc:
        if exc.__cause__ is None:  # at a prompt; elsewhere click has ended the line of the `^C`
            click.echo(err=True)
        return STATUS_INTERRUPTED
    except DoraError as exc:
        click.echo(_told(exc), err=True)
        return 1
    except BrokenPipeError:
        _drop_output()  # whoever read it has gone
        return 1
    except Exception as exc:
        if isinstance(exc, OSError) and exc.errno in _NO_ROOM:
            _drop_output()
            click.echo(f"[ERROR] the output cannot be written: {exc.strerror}", err=True)
            return 1
        import traceback

        traceback.print_exc()
        click.echo("this is a bug in dora, please report it", err=True)
        return STATUS_BUG
    return status if isinstance(status, int) else 0


def _drop_output() -> None:
    """Have what Python would still flush at its exit go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _told(error: DoraError) -> str:
    """An error as the command line shows it."""
    if isinstance(error, DescriptorError) and len(error.problems) > 1:
        return f"[ERROR] {len(error.problems)} mistakes\n\n{error}"
    return f"[ERROR] {error}"


def _load(flow: Path) -> Plan:
    """The plan of a dataflow that is looked at, not run."""
    from dora.descriptor.planner import load_plan

    return load_plan(flow, environ=os.environ, allow_shell=True, before_build=True)


def _check_filter(log_filter: dict[str, str], plan: Plan) -> None:
    """Refuse a flag that names a node which is not there; a variable may be meant for others."""
    absent = absent_nodes(log_filter, [node.id for node in plan.nodes])
    if not absent:
        return
    ctx = click.get_current_context()
    if ctx.get_parameter_source("log_filter") is click.core.ParameterSource.ENVIRONMENT:
        for told in absent:
            click.echo(f"WARNING DORA_LOG_FILTER names {told}", err=True)
        return
    raise DoraError("\n".join(f"`--log-filter` names {told}" for told in absent))


def _warn(plan: Plan) -> None:
    for warning in plan.all_warnings:
        click.echo(f"WARNING {warning}", err=True)
