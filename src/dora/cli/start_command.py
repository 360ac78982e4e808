"""`dora start`: its flags and help. Elsewhere: what it does (`cli.start`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dora.cli.flags import (
    FLOW,
    ExitFlagCommand,
    coordinator_flags,
    env_flag,
    exit_flag,
    shell_flag,
    strict_flag,
)

if TYPE_CHECKING:
    from pathlib import Path


@click.command(cls=ExitFlagCommand, epilog="Example: dora start dataflow.yml --name demo --detach")
@click.argument("flow", type=FLOW)
@click.option("-n", "--name", help="Call the dataflow so; the name of its file by default.")
@click.option("--attach", is_flag=True, help="Show it here as `dora run` does; Ctrl-C stops it.")
@click.option(
    "--detach", is_flag=True, help="Leave it in the background. Default: attach, at a terminal."
)
@click.option("--hot-reload", is_flag=True, help="Start nodes again when their files change.")
@click.option("--uv", is_flag=True, help="Run Python nodes by uv.")
@click.option("--debug", is_flag=True, hidden=True, help="Accepted; has no effect.")
@env_flag
@exit_flag
@shell_flag
@strict_flag
@coordinator_flags
def start(
    flow: Path,
    name: str | None,
    attach: bool,
    detach: bool,
    hot_reload: bool,
    uv: bool,
    debug: bool,
    extra_env: dict[str, str] | None,
    exit_when_nodes_finish: bool | None,
    allow_shell: bool,
    strict_types: bool,
) -> int:
    """Run FLOW in the background daemon, which `dora up` starts.

    Nodes have the environment of the daemon, not yours; --env adds to it.
    """
    del debug
    if attach and detach:
        raise click.UsageError("`--attach` and `--detach` exclude each other")
    from dora.cli.start import shown_as, start_flow

    try:
        options = shown_as()
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc
    return start_flow(
        flow,
        options=options,
        name=name,
        attach=True if attach else False if detach else None,
        hot_reload=hot_reload,
        uv=uv,
        extra_env=extra_env,
        exit_when_nodes_finish=exit_when_nodes_finish,
        allow_shell=allow_shell,
        strict_types=strict_types,
    )
