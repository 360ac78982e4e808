"""The memory of a dataflow's senders as the daemon holds it, that of earlier processes too.

The memory of a sender that was started again is kept as long as messages in it wait.

Elsewhere: which messages wait (`daemon.wiring`), what nodes do with it (`transport.arena`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dora.daemon.saved import SavedMemory, SavedWiring
from dora.transport.arena import DEFAULT_ARENA_BYTES, create_memory, reopen_read_only
from dora.wire.messages import ArenaWire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Memory:
    """A sender's arena."""

    def __init__(self, saved: SavedMemory) -> None:
        self.name = saved.name
        self.wire = ArenaWire(saved.arena, DEFAULT_ARENA_BYTES, saved.name)
        self.read_write = saved.read_write
        self.read_only = saved.read_only
        self.last = saved.last
        """Once it is an earlier process's: by edge, how much was consumed once its last message is.

        Never by what the sender counted: one that was killed may have sent what it did not count.
        """

    @classmethod
    def fresh(cls, name: str, arena_id: int) -> Memory:
        """New memory."""
        read_write = create_memory(f"dora {name}", DEFAULT_ARENA_BYTES)
        return cls(SavedMemory(name, arena_id, read_write, reopen_read_only(read_write), {}))

    def saved(self) -> SavedMemory:
        """This as a value; the descriptors stay this one's."""
        fds = self.read_write, self.read_only
        return SavedMemory(self.name, self.wire.arena, *fds, self.last)

    def give_writable(self) -> int:
        """Hand the writable descriptor over."""
        fd, self.read_write = self.read_write, -1
        return fd

    def close(self) -> None:
        """Give up both descriptors; twice is fine."""
        for fd in (self.read_write, self.read_only):
            if fd >= 0:
                os.close(fd)
        self.read_write = self.read_only = -1


class Memories:
    """All of a dataflow, by sender. `close()` gives it up; twice is fine.

    Args:
        may_wait: Whether one of the first so many messages of an edge may still be in its queue.
    """

    def __init__(self, may_wait: Callable[[int, int], bool]) -> None:
        self._may_wait = may_wait
        self._ids = 0
        self._now: dict[str, Memory] = {}
        self._earlier: dict[str, list[Memory]] = {}
        """Of earlier processes in whose memory messages may still wait."""

    def resume(self, saved: SavedWiring) -> None:
        """Take over what an earlier program of this process held."""
        self._ids = saved.arena_ids
        self._now |= {memory.name: Memory(memory) for memory in saved.memory}
        for memory in saved.earlier:
            self._earlier.setdefault(memory.name, []).append(Memory(memory))

    def saved(self) -> tuple[int, list[SavedMemory], list[SavedMemory]]:
        """All of this as values: the last id that was given, what is used now, what was earlier."""
        earlier = [memory.saved() for several in self._earlier.values() for memory in several]
        return self._ids, [memory.saved() for memory in self._now.values()], earlier

    def of(self, sender: str) -> Memory:
        """A sender's memory, made if there is none yet."""
        if sender not in self._now:
            self._ids += 1
            self._now[sender] = Memory.fresh(sender, self._ids)
        return self._now[sender]

    def fresh(self, sender: str, last: Callable[[], dict[int, int]]) -> Memory:
        """The memory for a sender's new process, which no process has had.

        Args:
            sender: The sender.
            last: What `Memory.last` is to be of the memory it had so far.
        """
        memory = self.of(sender)
        if memory.read_write >= 0:
            return memory
        memory.last |= last()
        self._earlier.setdefault(sender, []).append(self._now.pop(sender))
        self._drop_earlier(sender)
        return self.of(sender)

    def readable(self, senders: Iterable[str]) -> list[Memory]:
        """The memory of these senders, earlier ones too in which messages may wait."""
        found: list[Memory] = []
        for sender in senders:
            self._drop_earlier(sender)
            found += [*self._earlier.get(sender, ()), self.of(sender)]
        return [memory for memory in found if memory.read_only >= 0]

    def forget(self, sender: str) -> None:
        """Give up memory that nobody will be given any more."""
        for memory in (self._now.pop(sender, None), *self._earlier.pop(sender, ())):
            if memory is not None:
                memory.close()

    def close(self) -> None:
        """Give up all."""
        for memory in [*self._now.values(), *(m for ms in self._earlier.values() for m in ms)]:
            memory.close()

    def _drop_earlier(self, sender: str) -> None:
        """Give up memory of earlier processes whose messages were all read or dropped."""
        kept = []
        for memory in self._earlier.get(sender, ()):
            if any(self._may_wait(number, last) for number, last in memory.last.items()):
                kept.append(memory)
            else:
                memory.close()
        self._earlier[sender] = kept
