"""What `dora logs` shows: what there is, then, where it follows, what comes.

Elsewhere: its flags (`cli.logs_command`), reading (`monitor.log_reading`, `monitor.log_following`),
looks (`daemon.display`).
"""

from __future__ import annotations

import select
import sys
from itertools import islice
from typing import TYPE_CHECKING

import click

from dora.daemon.display import Display
from dora.errors import DoraError
from dora.ids import RESERVED_NODE_ID, suggest
from dora.monitor.log_files import LogFiles
from dora.monitor.log_following import Follower
from dora.monitor.log_places import is_running
from dora.monitor.log_reading import records, tail
from dora.running.options import shows_colour

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dora.monitor.log_files import Part
    from dora.monitor.log_places import Place
    from dora.monitor.log_records import Record, Wanted

_BATCH = 1000
_ASK_EVERY_MS = 100


class Logs:
    """Shows the logs of one dataflow.

    Args:
        place: Where they are.
        node: The only node that is wanted; None: all.
        wanted: Which of its lines.
        log_format: How they look.
    """

    def __init__(self, place: Place, node: str | None, wanted: Wanted, log_format: str) -> None:
        self._place = place
        self._node = node
        self._wanted = wanted
        self._status = 0
        self._files = LogFiles(place.folder, self._complain)
        self._fd = _descriptor()
        self._display = Display(
            log_format, "stdout", {}, colour=shows_colour(self._fd), dataflow_id=place.dataflow_id
        )

    def show(self, last: int | None, *, follow: bool) -> int:
        """Show what there is, then what comes until the dataflow ends; the exit status.

        Args:
            last: At most so many lines of what there is.
            follow: Go on with what comes.

        Raises:
            DoraError: there are no log files, or no such node.
        """
        running = is_running(self._place.dataflow_id)  # asked first: what follows is all, if not
        parts = self._parts(running)
        # From here on it owns the descriptors of the parts.
        with Follower(self._files, parts, self._node, self._complain) as follower:
            if last is None:
                self._put(records(self._files, parts, self._wanted))
            else:
                self._put(tail(self._files, parts, self._wanted, last))
            if follow and running:
                self._follow(follower)
        return self._status

    def _follow(self, follower: Follower) -> None:
        while True:
            running = is_running(self._place.dataflow_id)
            new = follower.read()
            self._put(filter(self._wanted.has, new))
            if not new and not running:
                break
            if not new:
                self._wait()
        self._put(filter(self._wanted.has, follower.finish()))

    def _parts(self, running: bool) -> dict[str, list[Part]]:
        try:
            nodes = self._files.nodes()
        except FileNotFoundError:
            if not running:
                raise DoraError(
                    f"dataflow `{self._place.dataflow_id}` has no log files: there is no folder "
                    f"`{self._place.folder}`"
                ) from None
            nodes = []  # nothing was printed yet
        except OSError as exc:
            raise DoraError(
                f"the log folder `{self._place.folder}` cannot be read: {exc.strerror}"
            ) from exc
        if self._node is not None:
            _check(self._node, [*dict.fromkeys([*self._place.nodes, *nodes])])
            nodes = [node for node in nodes if node == self._node]
        return {node: self._files.parts(node, whole=not running) for node in nodes}

    def _put(self, found: Iterable[Record]) -> None:
        waiting = iter(found)
        while batch := list(islice(waiting, _BATCH)):
            text = "".join(self._display.recorded(one.line, one.time) for one in batch)
            click.echo(text.encode("utf-8", "replace"), nl=False)

    def _wait(self) -> None:
        """Wait a moment, but not once whoever reads our output is gone."""
        poll = select.poll()
        if self._fd >= 0:
            poll.register(self._fd, 0)
        if poll.poll(_ASK_EVERY_MS):
            raise BrokenPipeError

    def _complain(self, text: str) -> None:
        self._status = 1
        click.echo(f"WARNING {text}", err=True)


def _check(node: str, known: list[str]) -> None:
    if node in known or node == RESERVED_NODE_ID:
        return
    near = suggest(node, known)
    nodes = f"nodes: {', '.join(known) or 'none'}"
    hint = f"did you mean `{near}`? ({nodes})" if near else nodes
    raise DoraError(f"there are no logs of a node `{node}`; {hint}")


def _descriptor() -> int:
    """Of standard output; -1 if something without one stands in its place."""
    try:
        return sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        return -1
