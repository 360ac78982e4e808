"""`dora replay`: a recording plays the part of a dataflow's sources, in real or in virtual time.

Elsewhere: the plan (`recording.replay`), directing its nodes (`recording.conductor`), virtual time
(`recording.virtual`), flags (`cli.replay_command`).
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from dora.errors import DoraError
from dora.recording.reader import Recording
from dora.recording.replay import Replay, Wishes

if TYPE_CHECKING:
    from pathlib import Path

    from dora.descriptor.plan import Plan
    from dora.recording.virtual import Digest

_WIPE = "\r\x1b[K"
_HANG_S = 300.0
"""So long may a node compute at a time, in virtual time too."""


def replay_file(
    file: Path,
    wishes: Wishes,
    *,
    deterministic: bool,
    output: Path | None,
    force: bool,
    output_yaml: Path | None,
    uv: bool,
    allow_shell: bool,
) -> int:
    """Replay a recording; the exit status of the command.

    Raises:
        DoraError: it cannot be replayed so, or a node failed in virtual time.
    """
    with Recording(file) as recording:
        replay = Replay(recording, wishes)
        for warning in replay.warnings:
            click.echo(f"WARNING {warning}", err=True)
        if output_yaml is not None:
            return _write_yaml(replay, output_yaml)
        if deterministic:
            plan = _planned(replay, uv=uv, allow_shell=allow_shell)
            return _run_virtually(replay, plan, output, force=force)
        return _run(replay, wishes, uv=uv, allow_shell=allow_shell)


def _write_yaml(replay: Replay, file: Path) -> int:
    try:
        file.write_text(replay.text(), encoding="utf-8")
    except OSError as exc:
        raise DoraError(f"`{file}` cannot be written: {exc.strerror}") from exc
    click.echo(f"wrote {file}")
    folder = replay.path.resolve().parent
    if file.resolve().parent != folder:
        click.echo(f"WARNING paths in it are relative to `{folder}`: run it from there", err=True)
    return 0


def _planned(replay: Replay, *, uv: bool, allow_shell: bool, conductor: str | None = None) -> Plan:
    """The plan, built where it needs to be."""
    load = partial(replay.plan, os.environ, uv=uv, allow_shell=allow_shell, conductor=conductor)
    plan = load(before_build=True)
    for warning in plan.all_warnings:
        click.echo(f"WARNING {warning}", err=True)
    if not plan.needs_build:
        return load()
    from dora.building.dataflow import BuildOptions
    from dora.cli.build import build_plan

    built = build_plan(plan, BuildOptions(uv=uv, trusting=True))
    return load(clones=built.clones)


def _run(replay: Replay, wishes: Wishes, *, uv: bool, allow_shell: bool) -> int:
    """Replay in real time."""
    from dora.cli.run import run_flow
    from dora.recording.conductor import Conductor, Stepper
    from dora.recording.pace import summary
    from dora.running.options import RunOptions

    conductor = Conductor(replay.cast.parts)
    try:
        plan = _planned(replay, uv=uv, allow_shell=allow_shell, conductor=conductor.address)
        if wishes.step:
            if sys.stdin is None:
                raise DoraError("`--step` reads lines from standard input, which is closed")
            plays, lines = replay.cast.topics, sys.stdin.fileno()
            conductor.step(Stepper(replay.messages(), plays, replay.zero_ns, lines, _say))
        status = run_flow(plan, RunOptions())
    finally:
        conductor.close()
    if conductor.reports:
        _say(summary(conductor.reports.values(), by_hand=wishes.step))
    return status


def _run_virtually(replay: Replay, plan: Plan, output: Path | None, *, force: bool) -> int:
    """Replay in virtual time."""
    from dora.recording.virtual import replay_virtually

    run = partial(
        replay_virtually,
        plan,
        replay.cast.topics,
        replay.messages(),
        replay.zero_ns,
        hang_s=_HANG_S,
        show=_Lines().take,
    )
    if output is None:
        digests = run()
    else:
        from dora.recording.writer import RecordingWriter

        with RecordingWriter(output, replay.about, force=force) as writer:
            digests = run(keep=writer.add)
    click.echo(_table(digests))
    return 0


def _table(digests: dict[str, Digest]) -> str:
    from dora.cli.tables import table

    if not digests:
        return "no node but the replayed ones has outputs: nothing to compare"
    rows = [(output, str(one.messages), one.text) for output, one in digests.items()]
    return table(("OUTPUT", "MESSAGES", "FINGERPRINT"), rows, right=("MESSAGES",))


class _Lines:
    """Shows what nodes print, line by line."""

    def __init__(self) -> None:
        self._begun: dict[tuple[str, str], bytes] = {}

    def take(self, node: str, stream: str, data: bytes) -> None:
        """Show the lines that are complete; at the end of a stream what is left."""
        *lines, rest = (self._begun.get((node, stream), b"") + data).split(b"\n")
        if not data and rest:
            lines.append(rest)
            rest = b""
        self._begun[node, stream] = rest
        for line in lines:
            click.echo(f"{node}: {line.decode(errors='replace')}")


def _say(line: str) -> None:
    """Tell the user; the line that tells of the start may stand there still."""
    click.echo(f"{_WIPE if sys.stderr.isatty() else ''}{line}", err=True)
