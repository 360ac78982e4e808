"""What `dora mcap info` prints. Elsewhere: reading the file (`recording.reader`)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from dora.cli.tables import table
from dora.recording.reader import Recording
from dora.recording.sizes import human_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from dora.recording.reader import RecordedTopic

_HEADERS = ("TOPIC", "KIND", "MESSAGES", "HZ", "SIZE", "LOST", "TYPE")
_NUMBERS = ("MESSAGES", "HZ", "SIZE", "LOST")


def print_info(path: Path, form: str) -> int:
    """Print what is in a recording; the exit status.

    Raises:
        DoraError: it cannot be read.
    """
    with Recording(path) as recording:
        if form == "json":
            click.echo(json.dumps(_document(recording), indent=2))
        else:
            click.echo(_text(recording))
    return 0


def _text(recording: Recording) -> str:
    facts = recording.facts
    by = f"dora {facts['version']}" if facts.get("version") else recording.library or "?"
    state = "cut off: its recorder was killed, or still writes" if recording.cut_off else "complete"
    first, last = recording.start_ns, recording.end_ns
    rows = [
        ("file", f"{recording.path} ({human_bytes(recording.size)}, {state})"),
        ("written by", by + (f", profile {recording.profile}" if recording.profile else "")),
    ]
    if len(recording.paths) > 1:
        rows.insert(1, ("files", ", ".join(path.name for path in recording.paths)))
    if facts.get("dataflow_id"):
        rows.append(("dataflow", f"{facts.get('name')} ({facts['dataflow_id']})"))
    if recording.descriptor_path is not None:
        rows.append(("from", str(recording.descriptor_path)))
    if first:
        rows.append(("recorded", f"{_time(first)}, {(last - first) / 1e9:.3f} s"))
    total = sum(topic.messages for topic in recording.topics)
    rows.append(("messages", f"{total:,}"))
    if facts:
        lost = sum(recording.losses.values())
        rows.append(
            ("lost", "not known: the file has no end" if recording.cut_off else f"{lost:,}")
        )
    if recording.attachments:
        named = (f"{name} ({human_bytes(len(d))})" for name, d in recording.attachments.items())
        rows.append(("attached", ", ".join(named)))
    head = "\n".join(f"{name:<10}  {value}" for name, value in rows)
    losses = recording.losses
    cells = [
        (
            topic.name,
            topic.kind,
            f"{topic.messages:,}",
            _hz_text(topic),
            "-" if topic.bytes is None else human_bytes(topic.bytes),
            f"{losses.get(topic.name, 0):,}" if facts else "-",
            topic.type,
        )
        for topic in recording.topics
    ]
    return f"{head}\n\n{table(_HEADERS, cells, _NUMBERS)}" if cells else head


def _document(recording: Recording) -> dict[str, Any]:
    facts = recording.facts
    losses = recording.losses
    return {
        "path": str(recording.path),
        "files": [str(path) for path in recording.paths],
        "size_bytes": recording.size,
        "complete": not recording.cut_off,
        "library": recording.library,
        "profile": recording.profile,
        "dora_version": facts.get("version"),
        "dataflow": {"id": facts.get("dataflow_id"), "name": facts.get("name")} if facts else None,
        "descriptor_path": None
        if recording.descriptor_path is None
        else str(recording.descriptor_path),
        "start_ns": recording.start_ns,
        "end_ns": recording.end_ns,
        "messages": sum(topic.messages for topic in recording.topics),
        "lost": losses,
        "attachments": {name: len(data) for name, data in recording.attachments.items()},
        "topics": [
            {
                "name": topic.name,
                "kind": topic.kind,
                "type": topic.type,
                "schema": topic.schema,
                "messages": topic.messages,
                "hz": _hz(topic),
                "bytes": topic.bytes,
                "lost": losses.get(topic.name, 0),
                "first_ns": topic.first_ns,
                "last_ns": topic.last_ns,
                "playable": topic.playable,
            }
            for topic in recording.topics
        ],
    }


def _hz(topic: RecordedTopic) -> float | None:
    took_ns = topic.last_ns - topic.first_ns
    return (topic.messages - 1) / (took_ns / 1e9) if topic.messages > 1 and took_ns > 0 else None


def _hz_text(topic: RecordedTopic) -> str:
    hz = _hz(topic)
    return "-" if hz is None else f"{hz:,.1f}"


def _time(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat(" ", "milliseconds")
