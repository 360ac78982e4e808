"""`dora trace ...`: where the time of messages goes, from the first node to the last.

Elsewhere: what the commands do (`cli.traces`), what a trace is (`docs/tracing.md`).
"""

from __future__ import annotations

import click

from dora.cli.flags import FORMATS, Command, Group, coordinator_flags, dataflow_flag

_RATE = click.FloatRange(min=0, min_open=True, max=100)
_SECONDS = click.FloatRange(min=0, min_open=True)


class _Traces(Group):
    command_class = Command


_rate = click.option(
    "--rate", type=_RATE, metavar="HZ", help="Traces begun in a second, in all; 10 by default."
)
_format = click.option(
    "-f", "--format", "form", type=FORMATS, default="table", help="How to print it."
)
_duration = click.option(
    "--duration",
    type=_SECONDS,
    default=5,
    show_default=True,
    metavar="SECONDS",
    help="How long to look.",
)


@click.group(cls=_Traces, invoke_without_command=True)
@click.pass_context
def trace(ctx: click.Context) -> int:
    """Show where the time of messages goes, in each node.

    Works on any running dataflow. Tracing goes on for a minute when it is asked for; a few messages
    in a second are followed from where they begin to the last node. Without a command: `summary`.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(summary)
    return 0


@trace.command("list", epilog="Example: dora trace list --limit 5")
@dataflow_flag
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    metavar="N",
    help="The last N.",
)
@_rate
@_format
@coordinator_flags
def list_(dataflow: str | None, limit: int, rate: float | None, form: str) -> int:
    """List recent traces."""
    from dora.cli.traces import print_list

    return print_list(dataflow, limit, rate, form)


@trace.command(epilog="Example: dora trace view 4bf92f")
@click.argument("trace_id", required=False)
@dataflow_flag
@_rate
@_format
@coordinator_flags
def view(trace_id: str | None, dataflow: str | None, rate: float | None, form: str) -> int:
    """Show one trace as a tree, by the beginning of its id; without, the latest whole one."""
    from dora.cli.traces import print_view

    return print_view(dataflow, trace_id, rate, form)


@trace.command(epilog="Example: dora trace summary --duration 10")
@dataflow_flag
@_duration
@_rate
@_format
@coordinator_flags
def summary(
    dataflow: str | None = None,
    duration: float = 5,
    rate: float | None = None,
    form: str = "table",
) -> int:
    """Show what takes how long at each input, and from beginning to end: median and 99 %."""
    from dora.cli.traces import print_summary

    return print_summary(dataflow, duration, rate, form)


@trace.command(epilog="Example: dora trace export --otlp http://localhost:4318")
@dataflow_flag
@click.option(
    "--otlp",
    metavar="URL",
    envvar="DORA_OTLP_ENDPOINT",
    show_envvar=True,
    required=True,
    help="The collector.",
)
@click.option(
    "--duration", type=_SECONDS, metavar="SECONDS", help="End after so long, not by Ctrl-C."
)
@_rate
@coordinator_flags
def export(dataflow: str | None, otlp: str, duration: float | None, rate: float | None) -> int:
    """Send spans to a collector of OpenTelemetry as they come, until Ctrl-C."""
    from dora.cli.trace_export import send_spans

    return send_spans(dataflow, otlp, duration, rate)


@trace.command(epilog="Example: dora trace on --rate 50")
@dataflow_flag
@_rate
@coordinator_flags
def on(dataflow: str | None, rate: float | None) -> int:
    """Trace from now on, until `dora trace off`."""
    from dora.cli.traces import switch

    return switch(dataflow, "on", rate)


@trace.command(epilog="Example: dora trace off")
@dataflow_flag
@coordinator_flags
def off(dataflow: str | None) -> int:
    """Trace no more; what was traced can still be looked at."""
    from dora.cli.traces import switch

    return switch(dataflow, "off", None)
