"""The process of a replaced node: sends what was recorded of it, byte for byte, at the same pace.

    python -m dora.recording.replay_node FILE --play camera/image=image [--speed 2] ...

Starts as any node does. It reads ahead while the dataflow starts and while it waits; a payload is
copied once, from the file (or what was unpacked of it) into this node's shared memory.

Elsewhere: who writes the command line (`recording.replay`), who directs it (`recording.conductor`).
"""

from __future__ import annotations

import argparse
import queue
import select
import sys
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from dora.errors import DoraError
from dora.node import joining
from dora.node.core import Core
from dora.node.session import Session
from dora.node.timers import Moment
from dora.recording import cues
from dora.recording.pace import Pace, Tally, summary
from dora.recording.reader import Recording
from dora.transport import endpoint
from dora.wire import metadata as wire_metadata
from dora.wire.framing import Deframer, frame
from dora.wire.payload import body_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence

    from dora.recording.message import RecordedMessage

AHEAD_BYTES = 64 << 20
"""How much is read ahead."""
_AHEAD_MESSAGES = 10_000
_AWAKE_NS = 80_000
"""So long before a message is due the node wakes up, and looks at the clock from then on: a process
that sleeps is late by about as much."""


class Orders(msgspec.Struct, frozen=True):
    """What a replay node is to do; its command line."""

    file: str
    plays: dict[str, str]
    """Recorded topic to output."""
    pace: Pace
    until_ns: int | None = None
    """Recorded time at which the replay ends; None: with the recording."""
    step: bool = False
    conductor: str | None = None

    @property
    def words(self) -> list[str]:
        """The arguments behind `python -m dora.recording.replay_node`."""
        words = [self.file, "--speed", repr(self.pace.speed), "--from", str(self.pace.zero_ns)]
        if self.until_ns is not None:
            words += ["--until", str(self.until_ns)]
        if self.pace.period_ns:
            words += ["--period", str(self.pace.period_ns)]
        if self.step:
            words += ["--step"]
        if self.conductor is not None:
            words += ["--conductor", self.conductor]
        for topic, output in self.plays.items():
            words += ["--play", f"{topic}={output}"]
        return words


def orders_of(arguments: Sequence[str]) -> Orders:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m dora.recording.replay_node", description=__doc__
    )
    parser.add_argument("file")
    parser.add_argument("--play", action="append", required=True, metavar="TOPIC=OUTPUT")
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--from", dest="zero_ns", type=int, default=0)
    parser.add_argument("--until", type=int)
    parser.add_argument("--period", type=int, default=0)
    parser.add_argument("--step", action="store_true")
    parser.add_argument("--conductor")
    given = parser.parse_args(arguments)
    plays = dict(pair.rpartition("=")[::2] for pair in given.play)
    pace = Pace(given.speed, given.zero_ns, given.period)
    return Orders(given.file, plays, pace, given.until, given.step, given.conductor)


class Ahead:
    """Reads messages ahead, in a thread of its own.

    Args:
        recording: The file.
        orders: What of it.
    """

    def __init__(self, recording: Recording, orders: Orders) -> None:
        self._recording = recording
        self._orders = orders
        self._held_bytes = 0
        self._changed = threading.Condition()
        self._read: queue.SimpleQueue[tuple[int, RecordedMessage] | BaseException | None]
        self._read = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="reading ahead", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[tuple[int, RecordedMessage]]:
        """Rounds, from 0, and messages."""
        while (item := self._read.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            with self._changed:
                self._held_bytes -= _size(item[1])
                self._changed.notify()
            yield item

    def close(self) -> None:
        """Read no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            turn = 0
            while not self._closed:
                for message in self._messages():
                    if not self._put(turn, message):
                        return
                if not self._orders.pace.period_ns:
                    break
                turn += 1
        except BaseException as exc:
            self._read.put(exc)
        else:
            self._read.put(None)

    def _put(self, turn: int, message: RecordedMessage) -> bool:
        """Keep a message when there is room; False when nobody wants it any more."""
        with self._changed:
            while self._held_bytes >= AHEAD_BYTES and not self._closed:
                self._changed.wait()
            self._held_bytes += _size(message)
        self._read.put((turn, message))
        return not self._closed

    def _messages(self) -> Iterator[RecordedMessage]:
        orders = self._orders
        return self._recording.messages(
            list(orders.plays), start_ns=orders.pace.zero_ns, end_ns=orders.until_ns
        )


def _size(message: RecordedMessage) -> int:
    """What a message that is read ahead costs, about."""
    return message.view.nbytes + AHEAD_BYTES // _AHEAD_MESSAGES


class Player(Core):
    """A node that sends encoded messages, each at its moment.

    Args:
        session: The dataflow, which has started.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._epoch_ns = session.epoch_ns
        self._moment = Moment()
        self._poll = select.poll()
        self._poll.register(self._moment.fd, select.POLLIN)
        self._poll.register(session.stream.fileno(), select.POLLIN)
        self._facts: dict[bytes, tuple[bool, bool]] = {b"": (False, False)}

    def close(self) -> None:
        """Leave the dataflow; twice is fine."""
        super().close()
        self._moment.close()

    def at(self, due_ns: int) -> int:
        """The moment so long after the dataflow's start, on the monotonic clock."""
        return self._epoch_ns + due_ns

    def wait_until(self, at_ns: int) -> bool:
        """Wait for a moment; False when the dataflow stops before."""
        if time.monotonic_ns() < at_ns - _AWAKE_NS:
            self._moment.set(at_ns - _AWAKE_NS)
            while all(fd != self._moment.fd for fd, _ in self._poll.poll()):
                if self.stopped():
                    return False
        while time.monotonic_ns() < at_ns:
            pass
        return not self.stopped()

    def stopped(self) -> bool:
        """Whether the dataflow stops; never waits."""
        while self.try_recv() is not None:
            continue
        return self._stream.ended

    def wait_beside(self, link: socket.socket) -> bool:
        """Wait until there is something to read; False when the dataflow stops before."""
        poll = select.poll()
        poll.register(link, select.POLLIN)
        poll.register(self._stream.fileno(), select.POLLIN)
        while all(fd != link.fileno() for fd, _ in poll.poll()):
            if self.stopped():
                return False
        return True

    def send(self, output: str, message: RecordedMessage) -> None:
        """Send a recorded message as it was."""
        facts = self._facts.get(message.metadata)
        if facts is None:
            metadata = message.metadata_dict()
            facts = wire_metadata.is_correlated(metadata), wire_metadata.is_flush(metadata)
            if len(self._facts) < 4096:
                self._facts[message.metadata] = facts
        correlated, flush = facts
        payload = message.view
        self._sender.send(
            output,
            (message.header, payload.nbytes, body_of(payload)),
            message.metadata,
            correlated=correlated,
            flush=flush,
        )


class Direction:
    """The line to the command that directs the replay, if one does."""

    def __init__(self, address: str | None, node: str) -> None:
        self.link = None if address is None else endpoint.connect(address)
        self._deframer = Deframer()
        self._cues = 0
        self._say(cues.Here(node))

    def wait_for_cue(self, player: Player) -> bool:
        """Wait until the next message is to be sent; False when none is any more."""
        if self.link is None:
            return True
        while not self._cues:
            if not player.wait_beside(self.link):
                return False
            data = self.link.recv(1 << 16)
            if not data:
                return False
            self._cues += len(self._deframer.feed(data))
        self._cues -= 1
        return True

    def played(self) -> None:
        """Tell that it is sent."""
        self._say(cues.Played())

    def close(self, tally: Tally) -> None:
        """Tell what was done, the directing command or, without one, the log."""
        if self.link is None:
            print(summary([tally.report()]))
            return
        self._say(cues.Done(tally.report()))
        self.link.close()

    def _say(self, word: cues.Word) -> None:
        if self.link is not None:
            self.link.sendall(frame(cues.encode(word)))


def play(orders: Orders, player: Player, ahead: Ahead, direction: Direction, tally: Tally) -> None:
    """Send all that is to be sent."""
    pace = orders.pace
    for turn, message in ahead:
        due_ns = None
        if orders.step:
            if not direction.wait_for_cue(player):
                return
        elif pace.speed:
            due_ns = player.at(pace.due_ns(message.sent_ns, turn))
            if not player.wait_until(due_ns):
                return
        elif player.stopped():
            return
        tally.count(message.view.nbytes, time.monotonic_ns(), due_ns)
        player.send(orders.plays[message.topic], message)
        if orders.step:
            direction.played()


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay one node; the exit status."""
    orders = orders_of(sys.argv[1:] if arguments is None else arguments)
    try:
        _replay(orders)
    except DoraError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


def _replay(orders: Orders) -> None:
    tally = Tally()
    with Recording(orders.file) as recording:
        ahead = Ahead(recording, orders)
        session = joining.join(None)
        if not isinstance(session, Session):
            raise DoraError("a replay node plays in a dataflow: it is started by `dora replay`")
        player = Player(session)
        direction = Direction(orders.conductor, player.id)
        try:
            play(orders, player, ahead, direction, tally)
        finally:
            ahead.close()
            direction.close(tally)
        player.close()


if __name__ == "__main__":
    sys.exit(main())
