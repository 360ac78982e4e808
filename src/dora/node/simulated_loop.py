"""asyncio in virtual time: a loop that has nothing to do waits for the simulation.

The loop that runs is taken over where it stands: its selector is put behind one that asks the
coordinator instead of sleeping. `asyncio.sleep` and timeouts then take virtual time, since the
loop reads `time.monotonic`. Jobs in other threads (`asyncio.to_thread`) count as computing until
they wait themselves. A loop that is not asyncio's own (uvloop) stays in real time.

Elsewhere: the clock (`node.simulated_clock`), the asking (`node.simulated_line`).
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from dora.node.simulated_line import Line
    from dora.wire.simulation import Answer

_NS = 10**9


def adopt(line: Line, streams: Collection[int], keep: Callable[[Answer], None]) -> None:
    """Take over the loop that runs in this thread, if there is one; twice is fine.

    Args:
        line: Whom to ask.
        streams: Descriptors of which a loop watches one when somebody waits for events.
        keep: Takes what the asks were answered with.
    """
    loop: Any = asyncio._get_running_loop()
    selector = getattr(loop, "_selector", None)
    if selector is None or isinstance(selector, _AskingSelector) or not hasattr(selector, "fileno"):
        return
    loop._selector = _AskingSelector(selector, line, streams, keep)
    loop.run_in_executor = _counting(loop.run_in_executor, line)


class _AskingSelector:
    """A loop's selector, which asks the coordinator where it would sleep."""

    def __init__(
        self,
        selector: Any,
        line: Line,
        streams: Collection[int],
        keep: Callable[[Answer], None],
    ) -> None:
        self._selector = selector
        self._line = line
        self._streams = streams
        self._keep = keep

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)

    def select(self, timeout: float | None = None) -> Any:
        """What is ready; waits for it in virtual time."""
        ready = self._selector.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self._line.gone:
            return self._selector.select(timeout)
        watched = self._selector.get_map()
        answer = self._line.ask(
            receive=any(fd in watched for fd in self._streams),
            timeout_ns=None if timeout is None else max(1, round(timeout * _NS)),
            beside=self._selector.fileno(),
        )
        if answer is not None:
            self._keep(answer)
        return self._selector.select(0)


def _counting(run_in_executor: Callable[..., Any], line: Line) -> Callable[..., Any]:
    """`loop.run_in_executor`, which counts the jobs that are not done."""

    @functools.wraps(run_in_executor)
    def run(*arguments: Any) -> Any:
        line.busy += 1
        future = run_in_executor(*arguments)
        future.add_done_callback(_done)
        return future

    def _done(_future: object) -> None:
        line.busy -= 1

    return run
