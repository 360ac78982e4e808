"""`dora metrics`: figures of running dataflows for Prometheus and OpenTelemetry.

Elsewhere: what it does (`cli.metrics`).
"""

from __future__ import annotations

import click

from dora.cli.flags import Command, coordinator_flags, only_dataflow_flag


@click.command(cls=Command, epilog="Example: dora metrics --port 9464")
@only_dataflow_flag
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=9464,
    show_default=True,
    help="Serve http://HOST:PORT/metrics; 0: at a port that is free.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--once", is_flag=True, help="Print the metrics, or send them by --otlp, and exit.")
@click.option(
    "--otlp",
    metavar="URL",
    envvar="DORA_OTLP_ENDPOINT",
    show_envvar=True,
    help="Send them to this collector too: http://localhost:4318.",
)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="How often to send to --otlp.",
)
@coordinator_flags
def metrics(
    dataflow: str | None, port: int, host: str, once: bool, otlp: str | None, interval: float
) -> int:
    """Give the figures of `dora top` to Prometheus and OpenTelemetry. Until Ctrl-C.

    All dataflows of this checkout, those too that are started later. Nodes are not disturbed.
    """
    from dora.cli.metrics import export_once, print_once, serve

    if not once:
        serve(dataflow, host, port, otlp, interval)
    elif otlp is not None:
        export_once(dataflow, otlp)
    else:
        print_once(dataflow)
    return 0
