"""What `dora topic` does: finds the dataflow, reads its outputs, prints.

Elsewhere: the flags (`cli.topic_commands`), all figures and texts (`dora.monitor`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
import msgspec

from dora import client
from dora.cli.tables import at_terminal
from dora.errors import DoraError
from dora.monitor import intervals, message_text, publishing, topics
from dora.monitor.intervals import Intervals
from dora.monitor.taps import Taps

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dora.node.event_types import InputEvent

_ECHO_QUEUE = 100
_MEASURE_QUEUE = 200
_REDRAW_S = 0.5


def print_list(dataflow: str | None, form: str) -> int:
    """`dora topic list`."""
    with _connect(dataflow) as taps:
        found = topics.topics_of(taps.state())
    if form == "table":
        click.echo(topics.table(found))
    else:
        for topic in found:
            click.echo(msgspec.json.encode(topic).decode())
    return 0


def print_messages(
    dataflow: str | None, names: Sequence[str], form: str, count: int | None, duration: float | None
) -> int:
    """`dora topic echo`."""
    deadline = None if duration is None else time.monotonic() + duration
    with _connect(dataflow) as taps:
        _tap(taps, names, _ECHO_QUEUE)
        printed = 0
        while count is None or printed < count:
            event = taps.receive(_left(deadline))
            if event is None:
                return 0
            if event["type"] == "INPUT":
                click.echo(_line(event, form))
                printed += 1
            elif event["type"] == "INPUT_CLOSED":
                click.echo(f"Output {event['id']} closed", err=True)
            elif event["type"] == "ERROR":
                click.echo(event["error"], err=True)
    return 0


def measure(
    dataflow: str | None, names: Sequence[str], window: float, duration: float | None
) -> int:
    """`dora topic hz`."""
    if duration is None and not at_terminal():
        raise DoraError(
            "`dora topic hz` shows a live table, and this is no terminal; say how long to measure: "
            "`--duration SECONDS`"
        )
    with _connect(dataflow) as taps:
        chosen = _tap(taps, names, _MEASURE_QUEUE)
        rows = {"ALL": Intervals(window)} | {str(topic): Intervals(window) for topic in chosen}
        try:
            _gather(taps, rows, None if duration is None else time.monotonic() + duration)
        except KeyboardInterrupt:
            if duration is not None:
                raise
            click.echo()  # behind the `^C`
    click.echo(intervals.HEADER)
    for name, seen in rows.items():
        click.echo(intervals.tsv_line(name, seen))
    return 0


def print_info(dataflow: str | None, name: str, duration: float) -> int:
    """`dora topic info`."""
    with _connect(dataflow) as taps:
        (topic,) = _tap(taps, [name], _MEASURE_QUEUE)
        before = _sent(taps, topic)
        start = time.monotonic()
        seen, kind = Intervals(duration), ""
        while (event := taps.receive(_left(start + duration))) is not None:
            if event["type"] == "INPUT":
                kind = message_text.type_of(event)
                seen.add(event["metadata"]["timestamp"].timestamp(), time.monotonic())
        after, took = _sent(taps, topic), time.monotonic() - start
    spread = seen.spread()
    rate = "frequency unknown" if spread is None else f"{spread.hz:.1f} Hz"
    readers = [f"  * {reader}" for reader in topic.subscribers] or ["  <none>"]
    megabits = (after[1] - before[1]) * 8 / (took * 1e6)
    lines = [
        f"Topic: {topic}",
        "",
        f"Type: {kind or '<unknown> (no messages received)'}",
        "",
        "Publisher:",
        f"  * {topic.node} ({rate})",
        "",
        "Subscribers:",
        *readers,
        "",
        "Statistics:",
        f"  Total messages: {after[0] - before[0]}",
        f"  Bandwidth: {megabits:.2f} Mbps",
    ]
    click.echo("\n".join(lines))
    return 0


def publish(
    dataflow: str | None,
    name: str,
    data: str | None,
    file: Path | None,
    count: int,
    dtype: str | None,
    shape: Sequence[int] | None,
    metadata: str | None,
) -> int:
    """`dora topic pub`."""
    value = publishing.value_of(data, file, dtype, shape)
    with _connect(dataflow) as taps:
        (topic,) = topics.chosen(topics.topics_of(taps.state()), [name])
        message = publishing.message_of(topic.node, topic.name, value, metadata)
        for number in range(1, count + 1):
            taps.ask(message)
            if count > 1:
                click.echo(f"Published message {number}/{count}", err=True)
    if count == 1:
        click.echo(f"Published to {topic}", err=True)
    return 0


def _connect(dataflow: str | None) -> Taps:
    with client.connect(dataflow) as found:
        return Taps(found.dataflow.id)


def _tap(taps: Taps, names: Sequence[str], queue_size: int) -> list[topics.Topic]:
    """Read these outputs, or all."""
    chosen = topics.chosen(topics.topics_of(taps.state()), names)
    for topic in chosen:
        taps.add(topic.node, topic.name, queue_size)
    return chosen


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _line(event: InputEvent, form: str) -> str:
    if form == "json":
        return message_text.json_line(event)
    name, parts = message_text.table_line(event)
    shown = [f"{click.style(label, bold=True)}={text}" if label else text for label, text in parts]
    return f"{click.style(name, fg='green')}\t {' '.join(shown)}"


def _sent(taps: Taps, topic: topics.Topic) -> tuple[int, int]:
    """Messages and bytes that were sent on an output so far."""
    for view in taps.state().outputs:
        if (view.node, view.output) == (topic.node, topic.name):
            return view.messages, view.bytes
    return 0, 0


def _gather(taps: Taps, rows: dict[str, Intervals], deadline: float | None) -> None:
    """Note what comes, until the deadline or the end; without one, show it all the while."""
    live = deadline is None
    redraw_at, drawn = time.monotonic(), 0
    while not taps.over:
        until = redraw_at if deadline is None else deadline
        event = taps.receive(_left(until))
        now = time.monotonic()
        if event is not None and event["type"] == "INPUT":
            sent_s = event["metadata"]["timestamp"].timestamp()
            for name in ("ALL", event["id"]):
                rows[name].add(sent_s, now)
        if deadline is not None and now >= deadline:
            return
        if live and now >= redraw_at:
            for seen in rows.values():
                seen.forget_before(now)
            lines = intervals.live_table(list(rows.items()))
            up = f"\x1b[{drawn}F" if drawn else ""
            click.echo(up + "\n".join(f"{line}\x1b[K" for line in lines))
            redraw_at, drawn = now + _REDRAW_S, len(lines)
