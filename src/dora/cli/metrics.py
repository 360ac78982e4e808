"""What `dora metrics` does. Elsewhere: its flags (`cli.metrics_command`), figures (`monitor`)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import click

from dora.errors import DoraError
from dora.monitor.looks import Looks
from dora.monitor.measures import measures

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.monitor.figures import Figures


def print_once(dataflow: str | None) -> None:
    """Print the metrics as text."""
    from dora.monitor.exposition import text_of

    with Looks(dataflow) as looks:
        click.echo(text_of(looks.look), nl=False)


def export_once(dataflow: str | None, url: str) -> None:
    """Send the metrics to a collector once."""
    from dora.monitor.otlp import MetricsExport

    export = MetricsExport(url)
    try:
        with Looks(dataflow) as looks:
            export.send(measures(looks.look()))
    finally:
        export.close()


def serve(dataflow: str | None, host: str, port: int, url: str | None, every_s: float) -> None:
    """Serve the metrics over HTTP, and send them to a collector if there is one, until Ctrl-C."""
    from dora.monitor.exposition import Endpoint

    with Looks(dataflow) as looks:
        endpoint = Endpoint(host, port, looks.look)
        try:
            click.echo(f"metrics at {endpoint.url}", err=True)
            if url is None:
                threading.Event().wait()
            else:
                # Looks of its own: rates are measured between two of them.
                with Looks(dataflow) as own:
                    _send_again_and_again(own.look, url, every_s)
        except KeyboardInterrupt:
            return
        finally:
            endpoint.close()


def _send_again_and_again(look: Callable[[], list[Figures]], url: str, every_s: float) -> None:
    """Send until Ctrl-C; a collector that is away is told of once, and when it is back."""
    from dora.monitor.otlp import MetricsExport

    export = MetricsExport(url)
    click.echo(f"metrics go to {url} every {every_s:g} s", err=True)
    away = False
    waiting = threading.Event()
    try:
        while True:
            try:
                export.send(measures(look()))
            except DoraError as exc:
                if not away:
                    click.echo(f"{exc}; trying on", err=True)
                away = True
            else:
                if away:
                    click.echo("the collector takes metrics again", err=True)
                away = False
            waiting.wait(every_s)
    finally:
        export.close()
