"""A dataflow in virtual time: who goes on next, and when. Pure: no socket, no process, no clock.

Only one node runs at a time: the coordinator answers one ask, and moves on when all nodes wait
again. Time moves only when nobody can go on, to the next moment at which somebody can. Computing
takes no virtual time. So the same inputs give the same outputs, in the same order, at the same
times. Nodes that are *played* have no process: what they would send is given as arrivals.

Words of nodes go in by `hear`, what to do comes out of `step`; `simulation.driver` does it.
Elsewhere: who plays (`simulation.cast`), the order within a node (`simulation.part`), the queues
(`simulation.queues`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from dora.errors import SimulationError
from dora.node import events
from dora.simulation.cast import has_room, make_parts, make_routes
from dora.simulation.part import Part, Wait
from dora.simulation.queues import Parcel
from dora.wire import simulation as wire
from dora.wire.simulation import START_NS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from dora.descriptor.plan import Plan

STOP_GRACE_NS = 10 * 10**9
"""After STOP a node has so much virtual time to end by itself, as in a real dataflow."""

LONGEST_NS = 60 * 10**9
"""A simulation that was not told when to end must end within this time of the last arrival."""

MOST_TURNS_AT_ONCE = 100_000
"""So often may nodes go on without any time passing."""

_NS = 10**9


class Arrival(msgspec.Struct, frozen=True):
    """What a played node sends; without a parcel it closes the output."""

    sender: str
    output: str
    parcel: Parcel | None
    time_ns: int | None = None
    """None: when everything that came before it was dealt with."""


class Sent(msgspec.Struct, frozen=True):
    """A message that a node sent."""

    node: str
    output: str
    parcel: Parcel


class Begin(msgspec.Struct, frozen=True):
    """Instruction: let this node begin."""

    node: str


class Tell(msgspec.Struct, frozen=True):
    """Instruction: answer this node."""

    node: str
    word: wire.Answer


class Kill(msgspec.Struct, frozen=True):
    """Instruction: end this node's process, which did not end when it was told to."""

    node: str


Instruction = Begin | Tell | Kill


class _Arrivals:
    """Arrivals, of which only the first is held: a recording may be larger than memory."""

    def __init__(self, arrivals: Iterable[Arrival]) -> None:
        self._rest = iter(arrivals)
        self.first = next(self._rest, None)

    def __bool__(self) -> bool:
        return self.first is not None

    def take(self) -> None:
        self.first = next(self._rest, None)


def _forget(_sent: Sent) -> None:
    pass


class Coordinator:
    """A running simulation.

    Args:
        plan: Its nodes and routes; those of its nodes that are not in `nodes` are played.
        nodes: The nodes that run.
        arrivals: What the played nodes send; all with a time, in its order, or all without.
        until_ns: When to stop; None: when the arrivals were dealt with, if there are any, or when
            all nodes have ended.
        start_ns: The wall clock when virtual time is 0.
        keep: Takes what nodes send, in order.
    """

    def __init__(
        self,
        plan: Plan,
        nodes: Collection[str],
        arrivals: Iterable[Arrival] = (),
        until_ns: int | None = None,
        *,
        start_ns: int = START_NS,
        keep: Callable[[Sent], None] = _forget,
    ) -> None:
        self.now_ns = 0
        self.start_ns = start_ns
        self._keep = keep
        self.parts = make_parts(plan, nodes)
        self._routes = make_routes(plan, self.parts)
        self._played = [node.id for node in plan.nodes if node.id not in self.parts]
        self._arrivals = _Arrivals(arrivals)
        self._given = bool(self._arrivals)
        self._used_up_ns = 0
        """When the last arrival came."""
        self._until_ns = until_ns
        self._stopped_ns: int | None = None
        self._killed: set[str] = set()
        self._turn = 0
        self._turns_now = 0
        if not self._arrivals:
            self._close_played()

    # ---- what happens ----

    def hear(self, node: str, word: wire.NodeWord) -> list[Instruction]:
        """Take a node's word in; what must be done at once."""
        part = self.parts[node]
        match word:
            case wire.Join():
                part.joined = True
            case wire.Ask(number=number, receive=receive, timeout_ns=timeout_ns, busy=busy):
                part.busy = busy
                deadline_ns = None if timeout_ns is None else self.now_ns + timeout_ns
                part.waits[number] = Wait(receive, deadline_ns)
            case wire.Cancel(number=number):
                if part.waits.pop(number, None) is not None:
                    return [Tell(node, wire.Over(number, self.now_ns))]
            case wire.Send():
                self._hear_message(part, word)
            case wire.CloseOutputs(outputs=outputs):
                for output in outputs:
                    self._close(node, output)
            case wire.Goodbye():
                self._leave(part)
        return []

    def left(self, node: str, error: str | None) -> None:
        """A node's process has ended; `error` tells how it failed, if it did."""
        part = self.parts[node]
        if part.gone:
            return
        if error is not None:
            affected: dict[str, list[str]] = {}
            for (sender, _), queues in self._routes.items():
                for receiver, queue in queues if sender == node else ():
                    affected.setdefault(receiver, []).append(queue.id)
            for receiver, inputs in affected.items():
                failure = {
                    "source_node_id": node,
                    "error": error,
                    "affected_input_ids": inputs,
                }
                event = {"kind": "dora", "id": node, "type": "NODE_FAILED", "value": failure}
                self.parts[receiver].post(event)
        self._leave(part)

    # ---- what to do ----

    @property
    def settled(self) -> bool:
        """Whether no node is at work: only then `step` may be called."""
        return all(part.settled for part in self.parts.values())

    @property
    def finished(self) -> bool:
        """Whether every node has left."""
        return all(part.gone for part in self.parts.values())

    def step(self) -> Instruction:
        """What to do next; at most one node goes on by it. There must be a node left.

        Raises:
            SimulationError: it would never end.
        """
        for part in self.parts.values():
            if not part.begun and not part.gone:
                part.begun = True
                return Begin(part.id)
        while True:
            self._let_arrive()
            told = self._answer()
            if told is not None:
                return told
            killed = self._advance()
            if killed is not None:
                return killed

    def _answer(self) -> Tell | None:
        """Let the node go on that waited longest among those that can."""
        for part in sorted(self.parts.values(), key=_resumed):
            if part.gone:
                continue
            answer = self._make_room(part) or part.answer(self.now_ns)
            if answer is not None:
                self._turn = part.resumed = self._turn + 1
                self._turns_now += 1
                if self._turns_now > MOST_TURNS_AT_ONCE:
                    raise SimulationError(
                        f"nodes went on {MOST_TURNS_AT_ONCE} times at "
                        f"{self.now_ns / _NS:g} s of virtual time, `{part.id}` last: computing "
                        "takes no virtual time, so nodes that answer each other without end "
                        "never let it pass; let one of them wait for a timer"
                    )
                return Tell(part.id, answer)
        return None

    def _advance(self) -> Kill | None:
        """Move on to the next moment at which something happens; whom that is too late for."""
        quiet = all(part.listens for part in self.parts.values() if not part.gone)
        if self._stopped_ns is None and quiet and self._give_next_untimed():
            return None
        used_up = self._given and not self._arrivals and self._until_ns is None
        next_ns = min(self._moments(), default=None)
        if self._stopped_ns is None and ((used_up and quiet) or next_ns is None):
            self._stop("ALL_INPUTS_CLOSED")
            return None
        if self._stopped_ns is not None:
            grace_over_ns = self._stopped_ns + STOP_GRACE_NS
            if next_ns is None or next_ns >= grace_over_ns:
                return self._kill_next()
        assert next_ns is not None
        assert next_ns > self.now_ns, "time stands still"
        self.now_ns, self._turns_now = next_ns, 0
        if self._stopped_ns is None:
            if self._until_ns is not None and self.now_ns >= self._until_ns:
                self._stop("MANUAL")
            elif self._until_ns is None and not self._comes_later():
                self._check_end()
        return None

    def _comes_later(self) -> bool:
        """Whether an input is to come at a time of its own, now or later."""
        next_ns = self._arrivals.first.time_ns if self._arrivals.first is not None else None
        return next_ns is not None and next_ns >= self.now_ns

    def _check_end(self) -> None:
        """Refuse to go on for ever."""
        if self.now_ns - self._used_up_ns > LONGEST_NS:
            left = ", ".join(f"`{part.id}`" for part in self.parts.values() if not part.gone)
            raise SimulationError(
                f"after {LONGEST_NS / _NS:g} s of virtual time there is still something to do "
                f"for {left}; say when to stop: `until=`, in seconds"
            )

    def _moments(self) -> list[int]:
        """When something happens, as far as is known."""
        times = [part.next_ns(self.now_ns) for part in self.parts.values() if not part.gone]
        if self._stopped_ns is None:
            times.append(self._until_ns)
            if self._arrivals.first is not None:
                times.append(self._arrivals.first.time_ns)
        return [time for time in times if time is not None and time > self.now_ns]

    # ---- arrivals ----

    def _let_arrive(self) -> None:
        """Put in what is due; behind one for which there is no room, all others wait."""
        while (first := self._arrivals.first) is not None and self._stopped_ns is None:
            if first.time_ns is None or first.time_ns > self.now_ns or not self._put_in(first):
                return

    def _give_next_untimed(self) -> bool:
        """Put in the next one that waits for quiet."""
        first = self._arrivals.first
        return first is not None and first.time_ns is None and self._put_in(first)

    def _put_in(self, arrival: Arrival) -> bool:
        """Send the first of the arrivals, unless its receivers have no room."""
        routes = self._routes.get((arrival.sender, arrival.output), [])
        if arrival.parcel is None:
            self._close(arrival.sender, arrival.output)
        elif not has_room(routes):
            return False
        else:
            sent = self._stamp(arrival.parcel)
            for _, queue in routes:
                queue.push(sent)
        self._arrivals.take()
        self._used_up_ns = self.now_ns
        if not self._arrivals:
            self._close_played()
        return True

    def _close_played(self) -> None:
        """Played nodes that have no more to send have ended."""
        for sender, output in self._routes:
            if sender in self._played:
                self._close(sender, output)

    # ---- messages ----

    def _hear_message(self, part: Part, word: wire.Send) -> None:
        parcel = Parcel(word.header, word.payload, word.metadata, 0, word.correlated, word.flush)
        if word.number is not None:
            part.waits[word.number] = Wait(False, None, word.output, parcel)
            return
        self._send(part.id, word.output, parcel)

    def _make_room(self, part: Part) -> wire.Over | None:
        """Take the message of a sender that waited for room, if there is some now."""
        for number, wait in part.waits.items():
            if wait.output is None or wait.parcel is None:
                continue
            if has_room(self._routes[part.id, wait.output]) or self._stopped_ns is not None:
                del part.waits[number]
                self._send(part.id, wait.output, wait.parcel)
                return wire.Over(number, self.now_ns)
        return None

    def _send(self, node: str, output: str, unsent: Parcel) -> None:
        parcel = self._stamp(unsent)
        self._keep(Sent(node, output, parcel))
        for _, queue in self._routes.get((node, output), ()):
            if queue.backpressure and not queue.has_room:
                queue.dropped += 1  # the sender need not wait: the dataflow stops
            else:
                queue.push(parcel)

    def _stamp(self, parcel: Parcel) -> Parcel:
        return msgspec.structs.replace(parcel, sent_ns=self.start_ns + self.now_ns)

    # ---- ends ----

    def _stop(self, reason: Literal["MANUAL", "ALL_INPUTS_CLOSED"]) -> None:
        self._stopped_ns = self.now_ns
        for part in self.parts.values():
            part.post(events.stop(reason))

    def _kill_next(self) -> Kill:
        """Of those that did not end when told to, the next."""
        for part in self.parts.values():
            if not part.gone and part.id not in self._killed:
                self._killed.add(part.id)
                part.joined = part.begun = False  # until its process is gone
                return Kill(part.id)
        raise AssertionError("nobody is left to be ended")

    def _leave(self, part: Part) -> None:
        part.gone = True
        part.waits.clear()
        for (sender, output), queues in self._routes.items():
            queues[:] = [(receiver, queue) for receiver, queue in queues if receiver != part.id]
            if sender == part.id:
                self._close(sender, output)

    def _close(self, sender: str, output: str) -> None:
        """Nothing more comes from this output."""
        for _, queue in self._routes.get((sender, output), ()):
            queue.closing = True


def _resumed(part: Part) -> int:
    return part.resumed
