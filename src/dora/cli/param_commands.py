"""`dora param ...`: values that running nodes are told of, without a restart.

Elsewhere: what may be a parameter (`wire.params`), talking to the daemon (`dora.client`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dora.cli.flags import Command, Group, coordinator_flags, dataflow_flag, format_flag

if TYPE_CHECKING:
    from dora.wire.visits import AskParam


_SHOWN = 60
"""Longest text that is shown in an error, in characters."""

_LITERALS = {"true": "true", "false": "false", "none": "null", "null": "null"}


class _SetCommand(Command):
    """Takes `-5` for a value, not for a flag."""

    ignore_unknown_options = True


@click.group(cls=Group)
def param() -> None:
    """Read and change parameters of running nodes."""


@param.command("list", epilog="Example: dora param list camera --format json")
@click.argument("node")
@dataflow_flag
@format_flag("json: one object.")
@coordinator_flags
def list_(node: str, dataflow: str | None, form: str) -> int:
    """List the parameters of NODE."""
    from dora.wire.visits import AskParam

    values = _ask(dataflow, AskParam("list", node))
    if form == "json":
        click.echo(_pretty(values))
    elif not values:
        click.echo(f"No parameters set for node `{node}`")
    else:
        click.echo(f"Parameters for node `{node}`:")
        for key, value in values.items():
            click.echo(f"  {key} = {value.decode()}")
    return 0


@param.command(epilog="Example: dora param get camera fps")
@click.argument("node")
@click.argument("key")
@dataflow_flag
@coordinator_flags
def get(node: str, key: str, dataflow: str | None) -> int:
    """Print the value of the parameter KEY of NODE, as JSON."""
    from dora.wire.visits import AskParam

    for value in _ask(dataflow, AskParam("get", node, key)).values():
        click.echo(value.decode())
    return 0


@param.command("set", cls=_SetCommand, epilog="Example: dora param set camera mode '\"night\"'")
@click.argument("node")
@click.argument("key")
@click.argument("value")
@dataflow_flag
@coordinator_flags
def set_(node: str, key: str, value: str, dataflow: str | None) -> int:
    """Set the parameter KEY of NODE to VALUE, which is JSON: 60, true, '"text"', '[1, 2]'.

    The node gets it as an event PARAM_UPDATE, again after each of its restarts.
    """
    from dora.errors import DoraError
    from dora.wire.params import compact_json
    from dora.wire.visits import AskParam

    try:
        json = compact_json(value.encode(errors="surrogateescape"))
    except DoraError as exc:
        told = _quoted(node, key, value) or str(exc)
        raise click.BadParameter(told, param_hint="'VALUE'") from exc
    for name, kept in _ask(dataflow, AskParam("set", node, key, json)).items():
        click.echo(f"Set `{name}` = {kept.decode()} on node `{node}`")
    return 0


@param.command(epilog="Example: dora param delete camera mode")
@click.argument("node")
@click.argument("key")
@dataflow_flag
@coordinator_flags
def delete(node: str, key: str, dataflow: str | None) -> int:
    """Delete the parameter KEY of NODE, which gets an event PARAM_DELETED."""
    from dora.wire.visits import AskParam

    for name in _ask(dataflow, AskParam("delete", node, key)):
        click.echo(f"Deleted `{name}` from node `{node}`")
    return 0


def _ask(dataflow: str | None, question: AskParam) -> dict[str, bytes]:
    """The parameters that the answer holds."""
    from dora import client
    from dora.errors import ProtocolError
    from dora.wire.params import check_key
    from dora.wire.visits import Params

    if question.action != "list":
        check_key(question.key)
    with client.connect(dataflow, question.node) as connected:
        answer = connected.ask(question)
    if not isinstance(answer, Params):
        raise ProtocolError(f"the daemon answered {type(answer).__name__} to a question")
    return answer.values


def _pretty(values: dict[str, bytes]) -> str:
    """One JSON document that holds each value as it was set."""
    import msgspec

    document = msgspec.json.encode({key: msgspec.Raw(value) for key, value in values.items()})
    return msgspec.json.format(document, indent=2).decode()


def _quoted(node: str, key: str, value: str) -> str | None:
    """What to say to a short text that stands where JSON should; None if it was no text."""
    import json
    import shlex

    if len(value) > _SHOWN or value[:1] in {"{", "[", '"'}:
        return None
    command = shlex.join(["dora", "param", "set", node, key])
    text = shlex.quote(json.dumps(value, ensure_ascii=False))
    literal = _LITERALS.get(value.lower())
    hint = f"write `{literal}`, or as text" if literal else "text is written in quotes of its own"
    return f"`{value}` is no JSON; {hint}: `{command} {text}`"
