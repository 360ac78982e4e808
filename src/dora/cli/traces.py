"""What `dora trace` prints.

Elsewhere: its flags (`cli.trace_commands`), traces (`monitor.traces`), JSON (`monitor.trace_json`).
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import click

from dora import client
from dora.cli.tables import table
from dora.errors import DoraError
from dora.monitor import trace_json
from dora.monitor.trace_feed import TraceFeed
from dora.monitor.traces import (
    by_input,
    by_way,
    compute_of,
    settled,
    start_of,
    trees,
    wait_of,
)

if TYPE_CHECKING:
    from dora.client import Client
    from dora.monitor.traces import Branch, Tree
    from dora.wire.spans import Span

KEPT_ON_S = 60.0
"""How long tracing goes on when somebody looks."""

_FIRST_LOOK_S = 2.5
"""How long is looked where tracing was off."""
_INPUT_HEADERS = ["INPUT", "SPANS", "QUEUE", "p99", "TRANSPORT", "p99", "COMPUTE", "p99"]
"""Short, so that 80 columns show them all; the first of two is the median."""

_WAY_HEADERS = ["FROM", "TO", "TRACES", "TOTAL p50", "TOTAL p99"]
_LEAST_BAR, _WIDEST_BAR = 10, 48
_QUEUE, _TRANSPORT, _COMPUTE = "·", "─", "█"
_PLAIN = str.maketrans("·─█├└│→", ".-#|`|>")
"""For terminals that do not show others."""


def print_list(dataflow: str | None, limit: int, rate_hz: float | None, form: str) -> int:
    """Print one line for each trace."""
    with client.connect(dataflow) as one:
        found = trees(_spans(one, rate_hz))[-limit:]
    if form == "json":
        _print_json([trace_json.listed(tree) for tree in found])
        return 0
    rows = [
        [tree.trace, tree.name, str(tree.count), _clock(tree.start_ns), time_text(_total(tree))]
        for tree in found
    ]
    headers = ["TRACE ID", "ROOT SPAN", "SPANS", "STARTED", "DURATION"]
    click.echo(table(headers, rows, {"SPANS", "DURATION"}))
    return 0


def print_view(dataflow: str | None, trace_id: str | None, rate_hz: float | None, form: str) -> int:
    """Print one trace.

    Raises:
        DoraError: none has this id, or several have.
    """
    with client.connect(dataflow) as one:
        tree = _chosen(trees(_spans(one, rate_hz)), trace_id)
    if form == "json":
        _print_json(trace_json.told(tree))
    else:
        click.echo(_shown(view_text(tree)))
    return 0


def print_summary(dataflow: str | None, duration_s: float, rate_hz: float | None, form: str) -> int:
    """Look for a while, then print what took how long."""
    with client.connect(dataflow) as one:
        feed = TraceFeed(one)
        feed.switch("on", rate_hz, max(KEPT_ON_S, duration_s))
        feed.skip()
        begin_ns = time.time_ns()
        spans = _gathered(feed, duration_s)
    found = [tree for tree in trees(spans) if not tree.is_rest_of_before(begin_ns)]
    whole = settled(found) or found
    if form == "json":
        _print_json(trace_json.summed(spans, whole, feed.lost))
        return 0
    if not spans:
        raise DoraError(
            f"no message was traced in {duration_s:g} s; `dora top` shows whether any flow"
        )
    click.echo(_shown(summary_text(spans, whole)))
    if feed.lost:
        click.echo(f"{feed.lost} spans were lost since the start: a node had too many", err=True)
    return 0


def switch(dataflow: str | None, action: Literal["on", "off"], rate_hz: float | None) -> int:
    """Switch tracing on or off."""
    with client.connect(dataflow) as one:
        state = TraceFeed(one).switch(action, rate_hz)
        name = one.dataflow.name
    told = f"up to {state.rate_hz:g} traces a second" if state.on else "no traces"
    click.echo(f"Dataflow `{name}`: tracing is {action}, {told}.")
    return 0


def view_text(tree: Tree) -> str:
    """A trace as a tree with times, and a line that says where they went."""
    whole_ns = max(1, tree.end_ns - tree.start_ns)
    rows = [
        [
            f"{twig}{branch.name}",
            *(time_text(part) if branch.span.sent_ns else "-" for part in wait_of(branch.span)),
            time_text(compute_of(branch.span)),
            time_text(start_of(branch.span) - tree.start_ns),
        ]
        for twig, branch in tree.lines()
    ]
    headers = ["SPAN", "QUEUE", "TRANSPORT", "COMPUTE", "AT", ""]
    room = _room_beside(headers, rows)
    for row, (_, branch) in zip(rows, tree.lines(), strict=True):
        row.append(_bar(branch, tree.start_ns, whole_ns, room))
    head = f"trace {tree.trace}  {_clock(tree.start_ns)}  {time_text(whole_ns)}"
    drawn = table(headers, rows, {"QUEUE", "TRANSPORT", "COMPUTE", "AT"})
    return f"{head}\n\n{drawn}\n\n{_way_text(tree)}"


def summary_text(spans: list[Span], whole: list[Tree]) -> str:
    """What took how long at each input, and from beginning to end."""
    inputs = table(
        _INPUT_HEADERS,
        [
            [
                f"{one.node}/{one.input}" if one.input else f"{one.node} (sends)",
                str(one.spans),
                *(time_text(time) for times in one[4:] for time in times),
            ]
            for one in by_input(spans)
        ],
        _INPUT_HEADERS[1:],
    )
    ways = table(
        _WAY_HEADERS,
        [
            [way.begin, way.end, str(way.traces), *map(time_text, way.total)]
            for way in by_way(whole)
        ],
        _WAY_HEADERS[2:],
    )
    return f"{inputs}\n\n{ways}"


def time_text(time_ns: float) -> str:
    """Three digits and a unit."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if time_ns >= size:
            number = time_ns / size
            return f"{number:.{0 if number >= 100 else 1 if number >= 10 else 2}f} {unit}"
    return f"{time_ns:.0f} ns"


def _way_text(tree: Tree) -> str:
    way = tree.way()
    total_ns = max(1, sum(part.total_ns for part in way))
    nodes: dict[str, int] = {}
    for part in way:
        nodes[part.node] = nodes.get(part.node, 0) + part.total_ns
    shares = [
        f"{node} {time_text(time_ns)} ({100 * time_ns / total_ns:.0f} %)"
        for node, time_ns in sorted(nodes.items(), key=lambda one: -one[1])
    ]
    phases = zip(
        ("queue", "transport", "compute"),
        zip(*(part[2:] for part in way), strict=True),
        strict=True,
    )
    told = ", ".join(f"{name} {time_text(sum(times))}" for name, times in phases)
    ends = f"from {way[0].name} to {way[-1].name}"
    return f"{time_text(total_ns)} {ends}: {told}\n{', '.join(shares)}"


def _room_beside(headers: list[str], rows: list[list[str]]) -> int:
    """How many characters wide the line of time may be."""
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 100
    widths = [max(map(len, column)) + 2 for column in zip(headers, *rows, strict=False)]
    return min(_WIDEST_BAR, max(_LEAST_BAR, columns - sum(widths) - 2))


def _bar(branch: Branch, start_ns: int, whole_ns: int, room: int) -> str:
    """The phases of a span on a line that is the whole trace."""
    span = branch.span
    queue_ns, transport_ns = wait_of(span)
    at_ns = start_of(span) - start_ns
    edges = [at_ns, at_ns + queue_ns, at_ns + queue_ns + transport_ns]
    edges.append(edges[-1] + compute_of(span))
    cells = [" "] * room
    for mark, begin, end in zip((_QUEUE, _TRANSPORT, _COMPUTE), edges, edges[1:], strict=False):
        first = min(room - 1, room * begin // whole_ns)
        last = min(room, max(room * end // whole_ns, first + (mark == _COMPUTE)))
        cells[first:last] = mark * (last - first)
    return f"|{''.join(cells)}|"


def _spans(one: Client, rate_hz: float | None) -> list[Span]:
    """All that is kept; where tracing was off, what comes within a moment from now on too."""
    feed = TraceFeed(one)
    state = feed.switch("on", rate_hz, KEPT_ON_S)
    if state.was_on:
        return feed.news()
    click.echo(
        f"tracing was off; it is on for the next {KEPT_ON_S:g} s (`dora trace on` for longer)",
        err=True,
    )
    return _gathered(feed, _FIRST_LOOK_S)


def _gathered(feed: TraceFeed, duration_s: float) -> list[Span]:
    """What comes within so long."""
    spans: list[Span] = []
    end_s = time.monotonic() + duration_s
    while (left_s := end_s - time.monotonic()) > 0:
        time.sleep(min(1.0, left_s))
        spans += feed.news()
    return spans


def _chosen(found: list[Tree], trace_id: str | None) -> Tree:
    if not found:
        raise DoraError("no message was traced yet; `dora top` shows whether any flow")
    if trace_id is None:  # one that came to the end, if any did
        return max(settled(found) or found, key=lambda tree: (tree.count, tree.start_ns))
    fits = [tree for tree in found if tree.trace.startswith(trace_id.lower())]
    if len(fits) == 1:
        return fits[0]
    if fits:
        ids = "\n".join(f"  {tree.trace}" for tree in fits[:10])
        raise DoraError(f"{len(fits)} traces begin with `{trace_id}`; write more of it:\n{ids}")
    raise DoraError(
        f"no trace begins with `{trace_id}`; `dora trace list` shows those that are kept"
    )


def _total(tree: Tree) -> int:
    return tree.end_ns - tree.start_ns


def _clock(time_ns: int) -> str:
    """The time of day here."""
    return datetime.fromtimestamp(time_ns / 1e9).strftime("%H:%M:%S.%f")[:-3]


def _shown(text: str) -> str:
    """The text, in characters that standard output has."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return text.translate(_PLAIN)
    return text


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
