"""What `dora record` does: runs or finds the dataflow, shows how far it is, tells what came of it.

Elsewhere: flags (`cli.record_command`), recording (`recording.recorder`).
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from dora import client
from dora.recording.recorder import Recorder
from dora.recording.sizes import human_bytes
from dora.running.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.errors import DoraError
    from dora.recording.options import RecordOptions

_EVERY_S = 0.5


class Companion:
    """The recorder of a dataflow that is run here, and the line about it."""

    def __init__(self, options: RecordOptions) -> None:
        self.recorder = Recorder(options, _tell_problem)
        self._began_s = time.monotonic()
        self._before = self._began_s, 0
        self._rate = 0.0

    def join(self, dataflow: str) -> None:
        """Begin.

        Raises:
            DoraError: the dataflow cannot be recorded.
        """
        self._before = time.monotonic(), 0
        self._began_s = self._before[0]
        self.recorder.join(dataflow)

    def line(self) -> str:
        """How far it is."""
        figures = self.recorder.figures()
        now = time.monotonic()
        since, size = self._before
        if now - since >= _EVERY_S:
            self._rate = (figures.bytes - size) / (now - since)
            self._before = now, figures.bytes
        parts = [
            f"recording {now - self._began_s:.0f} s",
            f"{figures.messages:,} messages",
            human_bytes(figures.bytes),
            f"{human_bytes(round(self._rate))}/s",
            f"buffer {human_bytes(figures.waiting)}",
            f"{figures.lost:,} lost",
        ]
        return " · ".join(parts)


def record_flow(options: RecordOptions, run: Callable[[], int]) -> int:
    """Run a dataflow and record it; the exit status of the command.

    Args:
        options: What to record, and how.
        run: Runs it, with the companion of the context; its exit status.

    Raises:
        DoraError: it cannot be run or recorded.
    """
    companion = Companion(options)
    click.get_current_context().obj = companion
    status = 1
    try:
        status = run()
    finally:
        ended = _finish(companion.recorder)
    return status or ended


def record_running(name: str | None, options: RecordOptions, stop_after_s: float | None) -> int:
    """Record a dataflow that runs until it ends or Ctrl-C is pressed; the exit status.

    Args:
        name: Which; None if there is no choice.
        options: What to record, and how.
        stop_after_s: End after so long.

    Raises:
        DoraError: there is none, or it cannot be recorded.
    """
    with client.connect(name) as found:
        dataflow = found.dataflow
    companion = Companion(options)
    recorder = companion.recorder
    progress = Progress(sys.stderr)
    deadline = None if stop_after_s is None else time.monotonic() + stop_after_s
    companion.join(dataflow.id)
    path = recorder.paths[0]
    click.echo(f"recording `{dataflow.name}` into {path}; Ctrl-C ends it", err=True)
    try:
        while not recorder.wait(_EVERY_S):
            if progress.width:
                progress.show(companion.line()[: progress.width - 1])
            if deadline is not None and time.monotonic() >= deadline:
                break
    except KeyboardInterrupt:
        pass
    finally:
        recorder.stop()
        progress.clear()
    return _finish(recorder)


def _tell_problem(problem: DoraError) -> None:
    click.echo(f"[ERROR] the recording ends early: {problem}", err=True)


def _finish(recorder: Recorder) -> int:
    """Wait until all is written, and tell what came of it; the exit status."""
    recorder.wait()
    if not recorder.paths:
        return 1
    figures = recorder.figures()
    names = [str(path) for path in recorder.paths]
    files = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    lines = [
        f"recorded {figures.messages:,} messages ({human_bytes(figures.bytes)}) into {files} "
        f"({human_bytes(figures.written)})"
    ]
    if recorder.lost:
        each = ", ".join(f"{topic} {count:,}" for topic, count in sorted(recorder.lost.items()))
        lines.append(f"WARNING {figures.lost:,} messages are not in it: {each}")
    click.echo("\n".join(lines), err=True)
    return 0 if recorder.problem is None else 1
