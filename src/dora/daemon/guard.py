"""Watches nodes that have limits: whether they still live, and how much memory they take.

A node lives that waits in dora, or has called it since the last look: its board tells, so that it
need not say anything and cannot be taken for dead while it waits for messages; unless its process
is stopped (SIGSTOP). One that is stuck in its own code is asked for its Python stack, which goes
into its log, and is then killed; what follows is its restart policy's.

Elsewhere: killing (`daemon.departures`), stacks (`daemon.stacks`), memory (`daemon.usage`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dora.daemon.events import KillAsked
from dora.daemon.lifecycle import NodeState
from dora.daemon.process import is_stopped
from dora.errors import DoraError
from dora.wire.board import STATE_WAITING

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.daemon.boards import Boards
    from dora.daemon.callbacks import Loop
    from dora.daemon.crew import Crew
    from dora.daemon.events import Event
    from dora.daemon.roster import NodeRecord, Roster
    from dora.daemon.stacks import Stacks

_MEMORY_EVERY_S = 0.5
_QUICKEST_LOOK_S = 0.05
_LOOKS_PER_TIMEOUT = 4


class Liveness:
    """Since when one process has shown no life. Pure."""

    def __init__(self) -> None:
        self._seen: tuple[int, ...] | None = None
        self._since_s = 0.0

    def silent_s(
        self, now_s: float, turn: int, activity: tuple[int, ...], *, stopped: bool = False
    ) -> float:
        """For how long it has not called dora.

        Args:
            now_s: By a clock that only goes forward.
            turn: The board's word: odd while it waits in dora.
            activity: What else changes on its board when it calls dora.
            stopped: Its process does nothing, wherever it stands.
        """
        seen = (turn, *activity)
        if (turn % 2 and not stopped) or seen != self._seen:
            self._seen, self._since_s = seen, now_s
        return now_s - self._since_s


class Guard:
    """Looks at the nodes of one dataflow as often as their limits ask for."""

    def __init__(
        self,
        loop: Loop,
        roster: Roster,
        boards: Boards,
        crew: Crew,
        stacks: Stacks,
        interval_s: float,
        post: Callable[[Event], None],
    ) -> None:
        self._loop = loop
        self._roster = roster
        self._boards = boards
        self._crew = crew
        self._stacks = stacks
        self._interval_s = interval_s
        self._post = post
        self._lives: dict[tuple[str, int], Liveness] = {}
        self._asked: set[tuple[str, int]] = set()
        """Whose stack was asked for: they are, or will be, killed, however long that takes."""
        self._waiting: set[Callable[[], None]] = set()
        """Looks that a timer runs for."""
        self.look_again()

    def look_again(self) -> None:
        """Nodes came: see whether any has limits."""
        if self._pause_s() is not None:
            self._start(self._look_for_life, self._pause_s())
        if any(record.plan.memory_limit_bytes for record in self._roster):
            self._start(self._look_at_memory, _MEMORY_EVERY_S)

    def _start(self, look: Callable[[], None], after_s: float | None) -> None:
        if look not in self._waiting and after_s is not None:
            self._waiting.add(look)
            self._loop.call_later(after_s, look)

    def _pause_s(self) -> float | None:
        """Until the next look for life; None when no node is to be looked at."""
        limits = [r.plan.health_check_timeout_s for r in self._roster]
        quickest = min((limit for limit in limits if limit is not None), default=None)
        if quickest is None:
            return None
        return max(_QUICKEST_LOOK_S, min(self._interval_s, quickest / _LOOKS_PER_TIMEOUT))

    def _look_for_life(self) -> None:
        self._waiting.discard(self._look_for_life)
        now_s = self._loop.time()
        for record in self._roster:
            limit_s = record.plan.health_check_timeout_s
            board = self._boards.of(record.id)
            if limit_s is None or board is None or not record.linked:
                continue
            if record.state is not NodeState.RUNNING or board.reader.state == STATE_WAITING:
                continue  # it may still load what dora itself needs
            life = self._lives.setdefault((record.id, record.incarnation), Liveness())
            turn = board.reader.turn
            stopped = turn % 2 == 1 and is_stopped(record.pid or 0)
            silent_s = life.silent_s(now_s, turn, board.activity(), stopped=stopped)
            if silent_s > limit_s:
                self._end(record, limit_s)
        keys = {(record.id, record.incarnation) for record in self._roster}
        self._lives = {key: life for key, life in self._lives.items() if key in keys}
        self._asked &= keys
        self._start(self._look_for_life, self._pause_s())

    def _end(self, record: NodeRecord, limit_s: float) -> None:
        """Log what it is doing, then have it killed."""
        node, incarnation = key = record.id, record.incarnation
        if key in self._asked:
            return
        self._asked.add(key)
        why = f"was stuck in its own code for more than {limit_s:g} s (`health_check_timeout`)"

        def told(outcome: str | DoraError) -> None:
            head = f"node `{node}` {why}; "
            stack = f"no stack: {outcome}" if isinstance(outcome, DoraError) else outcome
            self._crew.say(node, incarnation, head + f"its threads:\n{stack}")
            self._post(KillAsked(node, incarnation, why))

        pipe = self._stacks.of(node)
        if pipe is None:
            told(DoraError("it has none to show"))
        else:
            pipe.ask(told)

    def _look_at_memory(self) -> None:
        from dora.daemon.usage import anonymous_bytes

        self._waiting.discard(self._look_at_memory)
        limited = []
        for record in self._roster:
            process = self._crew.process(record.id, record.incarnation)
            if record.plan.memory_limit_bytes is not None and process is not None:
                limited.append((record, process.pid, record.plan.memory_limit_bytes))
        used = anonymous_bytes(pid for _, pid, _ in limited)
        for record, pid, limit in limited:
            if used[pid] > limit:
                why = f"took {used[pid] >> 20:,} MiB of memory, more than its `memory_limit` of "
                why += f"{limit >> 20:,} MiB"
                self._post(KillAsked(record.id, record.incarnation, why))
        if any(record.plan.memory_limit_bytes for record in self._roster):
            self._start(self._look_at_memory, _MEMORY_EVERY_S)
