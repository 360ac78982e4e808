"""`dora trace export`: spans sent on to a collector as they come.

Elsewhere: how they are sent (`monitor.otlp`), where they come from (`monitor.trace_feed`).
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import click

from dora import client
from dora.cli.traces import KEPT_ON_S
from dora.client import GoneError
from dora.errors import DoraError
from dora.monitor.trace_feed import TraceFeed

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.wire.spans import Span

_EVERY_S = 1.0
_AWAIT_AT_MOST = 4096
"""Spans that are kept for a collector that does not take them now."""


def send_spans(
    dataflow: str | None, url: str, duration_s: float | None, rate_hz: float | None
) -> int:
    """Send spans until the time is over, the dataflow has ended, or Ctrl-C."""
    from dora.monitor.otlp import SpanExport

    export = SpanExport(url)
    try:
        with client.connect(dataflow) as one:
            feed = TraceFeed(one)
            feed.switch("on", rate_hz, KEPT_ON_S)
            click.echo(f"spans of `{one.dataflow.name}` go to {url}", err=True)
            sent = _send_on(feed, export.send, one.dataflow.name, rate_hz, duration_s)
    finally:
        export.close()
    click.echo(f"{sent} spans sent", err=True)
    return 0


def _send_on(
    feed: TraceFeed,
    send: Callable[[list[Span], str], None],
    name: str,
    rate_hz: float | None,
    duration_s: float | None,
) -> int:
    """Send what comes; how many spans were sent.

    Raises:
        DoraError: the collector takes none in the end.
    """
    end_s = math.inf if duration_s is None else time.monotonic() + duration_s
    waiting: list[Span] = []
    sent, problem = 0, None
    try:
        while True:
            waiting += feed.news()
            try:
                send(waiting, name)
            except DoraError as exc:
                if problem is None:
                    click.echo(f"{exc}; trying on", err=True)
                problem = exc
                del waiting[:-_AWAIT_AT_MOST]
            else:
                sent, problem = sent + len(waiting), None
                waiting.clear()
            if (left_s := end_s - time.monotonic()) <= 0:
                break
            time.sleep(min(_EVERY_S, left_s))
            feed.switch("on", rate_hz, KEPT_ON_S)
    except (KeyboardInterrupt, GoneError):
        pass
    if problem is not None:
        raise problem
    return sent
