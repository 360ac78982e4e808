"""Doing what the coordinator decides: processes, sockets, and the real-time deadline.

Each node is a process of its own, spawned as in a dataflow, which calls back over a unix socket.
Whatever happens, no process is left when `run` returns or raises.

Elsewhere: what to do next (`simulation.coordinator`), what came of it (`simulation.outcome`).
"""

from __future__ import annotations

import os
import resource
import select
import signal
import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from dora.daemon.process import NodeProcess
from dora.errors import ProtocolError, SimulationError
from dora.simulation.coordinator import Begin, Kill, Tell
from dora.simulation.leftovers import MARK, Leftovers
from dora.transport import endpoint
from dora.wire import simulation as wire
from dora.wire.framing import Deframer, frame

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from dora.descriptor.plan import NodePlan, Plan
    from dora.simulation.coordinator import Coordinator, Instruction

Show: TypeAlias = "Callable[[str, str, bytes], None]"
"""Takes the node, `stdout` or `stderr`, and what it wrote there."""

_READ_BYTES = 1 << 18
_STOPPED = frozenset({-signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGINT})
"""Ends of a process that was asked to end; nothing wrong with them."""
_KILL_S = 5.0
"""How long a process may take to end by SIGTERM."""


class Actor:
    """One node's process, and what it wrote. `close()` gives up all of it; twice is fine."""

    def __init__(self, node: NodePlan, env: Mapping[str, str], show: Show) -> None:
        assert node.command is not None
        self.id = node.id
        self.failure: str | None = None
        self.told_to_end = False
        self.written = {"stdout": bytearray(), "stderr": bytearray()}
        self.link: socket.socket | None = None
        self.deframer = Deframer()
        self.process = NodeProcess(node.command.argv, node.command.cwd, env)
        self.running = True
        self._show = show

    @property
    def stderr(self) -> str:
        """What it wrote there so far."""
        return self.written["stderr"].decode(errors="replace")

    def read(self, stream: str) -> bool:
        """Take in what it wrote; False at the end."""
        try:
            data = os.read(getattr(self.process, stream), _READ_BYTES)
        except BlockingIOError:
            return True
        self.written[stream] += data
        self._show(self.id, stream, data)
        return bool(data)

    def drain(self) -> None:
        """Take in all that it wrote before it ended."""
        for stream in self.written:
            fd = getattr(self.process, stream)
            poll = select.poll()
            if fd >= 0:
                poll.register(fd, select.POLLIN)
                while poll.poll(0) and self.read(stream):
                    continue

    def close(self) -> None:
        """End the process, if it runs, and give up every descriptor."""
        if self.running:
            self.running = False
            self.process.signal_group(signal.SIGKILL)
            self.process.reap()
        for stream in self.written:
            self.process.close_output(stream)
        if self.link is not None:
            self.link.close()
            self.link = None


class Driver:
    """Runs one simulation.

    Args:
        plan: The dataflow.
        coordinator: Decides.
        env: Variables laid over those of the plan.
        any_output: Whether nodes may send on outputs that the plan does not have.
        hang_s: How long nodes may compute, in real time, before they count as hanging.
        dataflow_id: What nodes are told as the id; None: a new one.
        show: Takes what nodes write, as it comes; empty at the end.
    """

    def __init__(
        self,
        plan: Plan,
        coordinator: Coordinator,
        env: Mapping[str, str],
        *,
        any_output: bool,
        hang_s: float,
        dataflow_id: str | None = None,
        show: Show = lambda _node, _stream, _data: None,
    ) -> None:
        self.actors: dict[str, Actor] = {}
        self.leftovers = Leftovers()
        self._plan = plan
        self._coordinator = coordinator
        self._env = dict(env)
        self._any_output = any_output
        self._hang_s = hang_s
        self._id = str(uuid.uuid4())
        self._dataflow_id = dataflow_id or self._id
        self._show = show
        self._poll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._nameless: dict[int, socket.socket] = {}
        self._deadline = 0.0

    def run(self) -> None:
        """Run to the end.

        Raises:
            SimulationError: a node hangs, or the simulation would never end.
        """
        address = f"@dora-simulation-{os.getuid()}/{self._id}"
        listener = endpoint.listen(address)
        try:
            self._watch(listener.fileno(), lambda: self._accept(listener))
            self._spawn(address)
            self._deadline = time.monotonic() + self._hang_s
            while not self._coordinator.finished:
                if self._coordinator.settled:
                    self._do(self._coordinator.step())
                    self._deadline = time.monotonic() + self._hang_s
                else:
                    self._wait()
            while any(actor.running for actor in self.actors.values()):
                self._wait()
        finally:
            self._close()
            listener.close()

    # ---- doing ----

    def _spawn(self, address: str) -> None:
        base = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "0"}
        base |= {"PYTHONFAULTHANDLER": "1"}
        start_ns = self._coordinator.start_ns
        for node in self._plan.nodes:
            if node.id not in self._coordinator.parts:
                continue
            invitation = wire.encode_invitation(wire.Invitation(address, node.id, start_ns))
            env = {**base, **node.env, **self._env, wire.VARIABLE: invitation}
            env[MARK] = f"{self._id}/{node.id}"
            assert node.command is not None
            try:
                actor = self.actors[node.id] = Actor(node, env, self._show)
            except OSError as exc:
                raise SimulationError(
                    f"node `{node.id}` cannot be started: `{node.command.argv[0]}`: {exc.strerror}"
                ) from exc
            self._watch(actor.process.pidfd, partial(self._reap, actor))
            for stream in actor.written:
                self._watch_output(actor, stream)

    def _do(self, instruction: Instruction) -> None:
        match instruction:
            case Begin(node=node):
                self._tell(node, self._begin(node))
            case Tell(node=node, word=word):
                self._tell(node, word)
            case Kill(node=node):
                actor = self.actors[node]
                actor.told_to_end = True
                actor.process.signal_group(signal.SIGTERM)
                self._hang_s = min(self._hang_s, _KILL_S)

    def _begin(self, node: str) -> wire.Begin:
        plan = self._plan.node(node)
        lossless = [route for route in self._plan.routes if route.backpressure]
        return wire.Begin(
            dataflow=self._dataflow_id,
            outputs=None if self._any_output else list(plan.outputs),
            paced=[route.output for route in lossless if route.sender == node],
            config=plan.config,
            descriptor=self._plan.descriptor,
            types=self._plan.types.nodes.get(node, {}),
        )

    def _tell(self, node: str, word: wire.CoordinatorWord) -> None:
        link = self.actors[node].link
        if link is None:
            return
        try:
            link.sendall(frame(wire.encode(word)))
        except OSError:  # it is gone, which its pidfd tells as well
            return

    # ---- hearing ----

    def _wait(self) -> None:
        """Take in what comes next."""
        left_s = self._deadline - time.monotonic()
        found = self._poll.poll(max(0.0, left_s))
        for fd, _ in found:
            reader = self._readers.get(fd)
            if reader is not None:
                reader()
        if not found and time.monotonic() >= self._deadline:
            self._give_up()

    def _accept(self, listener: socket.socket) -> None:
        link, _ = listener.accept()
        if endpoint.peer_uid(link) != os.getuid():
            link.close()
            return
        deframer = Deframer()
        self._nameless[link.fileno()] = link
        self._watch(link.fileno(), lambda: self._meet(link, deframer))

    def _meet(self, link: socket.socket, deframer: Deframer) -> None:
        """Hear who is calling."""
        bodies = deframer.feed(data := link.recv(_READ_BYTES))
        if data and not bodies:
            return
        fd = link.fileno()
        self._unwatch(fd)
        del self._nameless[fd]
        try:
            word = wire.decode_from_node(bodies[0]) if bodies else None
        except ProtocolError:  # somebody else, who looks for something else
            word = None
        actor = self.actors.get(word.node) if isinstance(word, wire.Join) else None
        if actor is None or actor.link is not None or word is None:
            link.close()  # e.g. a second `Node()` in one process
            return
        link.settimeout(self._hang_s)
        actor.link = link
        self._coordinator.hear(actor.id, word)
        self._watch(fd, lambda: self._listen(actor))

    def _listen(self, actor: Actor) -> None:
        """Hear one node."""
        assert actor.link is not None
        try:
            data = actor.link.recv(_READ_BYTES)
        except (ConnectionResetError, BlockingIOError):  # gone, though a child has the socket
            data = b""
        for body in actor.deframer.feed(data):
            for instruction in self._coordinator.hear(actor.id, wire.decode_from_node(body)):
                self._do(instruction)
        if not data:
            self._unwatch(actor.link.fileno())
            actor.link.close()
            actor.link = None

    def _reap(self, actor: Actor) -> None:
        """A node's process has ended: hear its last words, then let it go."""
        while actor.link is not None:
            actor.link.setblocking(False)
            self._listen(actor)
        self._unwatch(actor.process.pidfd)
        self.leftovers.look_for(f"{self._id}/{actor.id}", {actor.process.pid})
        status = actor.process.reap()
        actor.running = False
        actor.drain()
        if status != 0 and not (actor.told_to_end and status in _STOPPED):
            actor.failure = _ended(status)
        elif not self._coordinator.parts[actor.id].begun and not actor.told_to_end:
            actor.failure = "ended without ever making a `Node()`"
        self._coordinator.left(actor.id, actor.failure)

    def _give_up(self) -> None:
        """Nobody came back in time: stop the first that is at work, and tell where it stands."""
        parts = self._coordinator.parts
        for actor in self.actors.values():
            if not actor.running or (parts[actor.id].settled and not parts[actor.id].gone):
                continue
            if actor.told_to_end:
                actor.process.signal_group(signal.SIGKILL)
                self._deadline = time.monotonic() + _KILL_S
                return
            resource.prlimit(actor.process.pid, resource.RLIMIT_CORE, (0, 0))
            os.kill(actor.process.pid, signal.SIGABRT)
            poll = select.poll()
            poll.register(actor.process.pidfd, select.POLLIN)
            poll.poll(_KILL_S * 1000)
            actor.drain()
            now_s = self._coordinator.now_ns / 1e9
            stack = actor.stderr.strip()
            raise SimulationError(
                f"node `{actor.id}` hangs: it computes for more than {self._hang_s:g} s of real "
                f"time (at {now_s:g} s of virtual time). Where it stands, and what it wrote:\n"
                f"{stack}\nIf it only needs longer: `hang_s=`"
            )
        raise AssertionError("nobody is at work, and nothing happens")

    # ---- descriptors ----

    def _watch_output(self, actor: Actor, stream: str) -> None:
        fd = getattr(actor.process, stream)

        def read() -> None:
            if not actor.read(stream):
                self._unwatch(fd)

        self._watch(fd, read)

    def _watch(self, fd: int, reader: Callable[[], None]) -> None:
        self._readers[fd] = reader
        self._poll.register(fd, select.EPOLLIN)

    def _unwatch(self, fd: int) -> None:
        if self._readers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def _close(self) -> None:
        for actor in self.actors.values():
            if actor.running:
                mark = f"{self._id}/{actor.id}"
                actor.close()
                self.leftovers.sweep(mark)
            actor.close()
        for link in self._nameless.values():
            link.close()
        self._nameless.clear()
        self._poll.close()


def _ended(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    name: Any = signal.Signals(-status).name
    return f"was ended by signal {name}"
