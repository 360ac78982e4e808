"""All processes of a dataflow and their output, each known by its node and its incarnation.

Owns them: `close()` kills what is left. Elsewhere: starting one (`daemon.launch`), when
(`daemon.supervisor`), what becomes of lines (`daemon.output`).
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from dora.daemon.output import NodeOutput
from dora.daemon.process import NodeProcess
from dora.daemon.saved import SavedProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.daemon.callbacks import Loop
    from dora.daemon.logfeed import LogFeed
    from dora.daemon.observer import Observer
    from dora.daemon.output import LogFolder
    from dora.descriptor.plan import NodePlan


class Crew:
    """The processes of one dataflow.

    Args:
        loop: Where to wait for them.
        folder: For their log files.
        observer: Is shown their lines.
        feed: Gives the feed for log edges, if there is one.
        has_ended: Called when a process has ended, before it is reaped and its lines are read.
        on_exit: Called after that: node, incarnation, process, seconds that it ran.
    """

    def __init__(
        self,
        loop: Loop,
        folder: LogFolder,
        observer: Observer,
        feed: Callable[[], LogFeed | None],
        has_ended: Callable[[str, int], None],
        on_exit: Callable[[str, int, NodeProcess, float], None],
    ) -> None:
        self._loop = loop
        self._folder = folder
        self._observer = observer
        self._feed = feed
        self._has_ended = has_ended
        self._on_exit = on_exit
        self._processes: dict[tuple[str, int], NodeProcess] = {}
        self._outputs: dict[tuple[str, int], NodeOutput] = {}
        self._plans: dict[tuple[str, int], NodePlan] = {}
        self.spawned = 0
        """How many nodes were ever taken on."""

    def take_on(self, node: NodePlan, incarnation: int, process: NodeProcess) -> None:
        """Take a process over that was just started."""
        key = node.id, incarnation
        self._processes[key] = process
        self._plans[key] = node
        self._outputs[key] = NodeOutput(
            self._loop, node, process, self._folder, self._observer, self._feed
        )
        self.spawned += incarnation == 0
        self._loop.add_reader(process.pidfd, self._exited, key)

    def resume(self, saved: SavedProcess) -> None:
        """Take over a process that runs already."""
        process = NodeProcess.resumed(saved)
        self.take_on(saved.node, saved.incarnation, process)
        self._outputs[saved.node.id, saved.incarnation].resume(saved)

    def saved(self) -> list[SavedProcess]:
        """All of this as values; the descriptors stay this one's."""
        return [
            SavedProcess(
                node=self._plans[key],
                incarnation=key[1],
                pid=process.pid,
                pidfd=process.pidfd,
                stdout=process.stdout,
                stderr=process.stderr,
                lifeline=process.lifeline,
                started_s=process.started_s,
                rests=self._outputs[key].rests(),
                tail=list(self._outputs[key].stderr.lines()),
            )
            for key, process in self._processes.items()
        ]

    def has(self, node: str, incarnation: int) -> bool:
        """Whether such a process runs."""
        return (node, incarnation) in self._processes

    def process(self, node: str, incarnation: int) -> NodeProcess | None:
        """A process that runs; None if it does not."""
        return self._processes.get((node, incarnation))

    def signal(self, node: str, incarnation: int, number: signal.Signals) -> None:
        """Signal the whole group of a process, if it runs."""
        process = self._processes.get((node, incarnation))
        if process is not None:
            process.signal_group(number)

    def say(self, node: str, incarnation: int, text: str) -> None:
        """Put lines into a node's own log, as errors."""
        output = self._outputs.get((node, incarnation))
        if output is not None:
            output.say(text)

    def stderr(self, node: str, incarnation: int) -> tuple[str, ...]:
        """The last lines that a process wrote there."""
        output = self._outputs.get((node, incarnation))
        return () if output is None else output.stderr.lines()

    def close(self) -> None:
        """Kill and reap what is left, and read its last lines."""
        for key, process in self._processes.items():
            self._loop.remove_reader(process.pidfd)
            process.signal_group(signal.SIGKILL)
            process.reap()
            self._outputs[key].drain()
        self._processes.clear()
        self._outputs.clear()

    def _exited(self, key: tuple[str, int]) -> None:
        process = self._processes[key]
        self._loop.remove_reader(process.pidfd)
        self._has_ended(*key)
        process.reap()
        after_s = time.monotonic() - process.started_s
        self._outputs[key].drain()
        del self._processes[key]
        try:
            self._on_exit(*key, process, after_s)
        finally:
            del self._outputs[key], self._plans[key]
