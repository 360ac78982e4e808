"""Talk to running dataflows and the background daemon. The public way to look in from outside.

    for dataflow in running():
        print(dataflow.name, dataflow.nodes)

Blocking, one request at a time. Dataflows that were started in another checkout of another project
are left out (`transport.endpoint.checkout`), unless one is named by its id; what is left out is
logged once.

Elsewhere: the daemon's side (`daemon.visitors`, `background.daemon`), addresses
(`transport.endpoint`), frames (`wire.framing`).
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from dora.errors import DoraError, ProtocolError
from dora.ids import suggest
from dora.transport import endpoint
from dora.version import VERSION
from dora.wire import background, messages, visits
from dora.wire.framing import Deframer, frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    import msgspec

_ANSWER_WITHIN_S = 10.0
_START_WITHIN_S = 120.0
_READ_BYTES = 1 << 16
_LEAST_ID_CHARS = 8
"""Fewer name no dataflow of another checkout: they could hit one by accident."""

_A = TypeVar("_A")
_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_told: set[frozenset[str]] = set()


class GoneError(DoraError):
    """The other side has ended."""


class _Connection(Generic[_A]):
    """A connected socket: questions out, answers in. `close()` gives it up; twice is fine.

    Args:
        address: Where the other side listens.
        whose: What has ended when the connection ends.
        decode: Reads an answer.
    """

    def __init__(self, address: str, whose: str, decode: Callable[[bytes], _A]) -> None:
        self._whose = whose
        self._decode = decode
        self._socket = endpoint.connect(address)
        self._deframer = Deframer()
        self._arrived: deque[bytes] = deque()

    def ask(self, question: msgspec.Struct, within_s: float | None = _ANSWER_WITHIN_S) -> _A:
        """Ask one question, and wait for its answer.

        Args:
            question: One of those that the other side knows.
            within_s: How long to wait; None: as long as it takes.

        Raises:
            DoraError: the question is refused, is not answered in time, or nobody is there.
        """
        try:
            self._socket.settimeout(within_s)
            self._socket.sendall(frame(messages.encode(question)))
            return self._next()
        except TimeoutError as exc:
            self.close()  # the answer to this must not be taken for that to the next question
            raise DoraError(f"the daemon did not answer within {within_s:g} s") from exc
        except (ConnectionResetError, BrokenPipeError) as exc:
            raise GoneError(f"the {self._whose} ended") from exc

    def wait_ended(self) -> None:
        """Wait until the other side has ended; what it still says is not heard."""
        self._socket.settimeout(None)
        try:
            while self._socket.recv(_READ_BYTES):
                pass
        except ConnectionResetError:
            pass

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _expect(
        self,
        wanted: type[_T],
        question: msgspec.Struct,
        within_s: float | None = _ANSWER_WITHIN_S,
    ) -> _T:
        answer = self.ask(question, within_s)
        if not isinstance(answer, wanted):
            self.close()
            raise ProtocolError(f"the daemon answered {type(answer).__name__} to a question")
        return answer

    def _next(self) -> _A:
        while not self._arrived:
            data = self._socket.recv(_READ_BYTES)
            if not data:
                raise GoneError(f"the {self._whose} ended")
            self._arrived.extend(self._deframer.feed(data))
        answer = self._decode(self._arrived.popleft())
        if isinstance(answer, messages.Refused):
            raise DoraError(answer.reason)
        return answer


class Client(_Connection[visits.Answer]):
    """A connection to the daemon of one running dataflow. `close()` gives it up; twice is fine.

    Args:
        address: Where it listens, as `transport.endpoint.running` gives it.

    Raises:
        OSError: nobody listens there.
        DoraError: the daemon does not answer, or does not let this client in.
    """

    def __init__(self, address: str) -> None:
        super().__init__(address, "dataflow", visits.decode_answer)
        try:
            greeting = visits.Greet(messages.PROTOCOL, VERSION)
            self.dataflow = self._expect(visits.Dataflow, greeting)
            """What runs there: id, name, node ids."""
        except BaseException:
            self.close()
            raise

    def stack(self, node: str) -> str:
        """The Python stack of all threads of a node, most recent call first; the node goes on.

        Raises:
            DoraError: there is no such node, it has not started, or it cannot answer.
        """
        return self._expect(visits.Stack, visits.AskStack(node)).text

    def state(self) -> visits.State:
        """How everything stands: nodes, outputs, edges.

        Raises:
            DoraError: the dataflow has ended.
        """
        return self._expect(visits.State, visits.AskState())

    def stop(self, why: str, grace_s: float | None = None, force: bool = False) -> None:
        """Ask the dataflow to end; `wait_ended` waits for that.

        Args:
            why: What its nodes and its user are told.
            grace_s: From STOP to SIGTERM; to SIGKILL half as long again.
            force: Kill the nodes at once.

        Raises:
            DoraError: the dataflow has ended.
        """
        self._expect(visits.Done, visits.AskStop(why, grace_s, force))

    def watch(self, *, from_start: bool = False) -> Iterator[visits.Shown | visits.Ended]:
        """All that is shown of the dataflow from now on, and in the end how it ended.

        Nothing else can be asked on this connection any more.

        Args:
            from_start: Also what was shown before, if the dataflow began a few seconds ago.

        Raises:
            DoraError: the daemon died, and the dataflow with it.
        """
        self._expect(visits.Done, visits.Watch(from_start))
        return self._watched()

    def _watched(self) -> Iterator[visits.Shown | visits.Ended]:
        self._socket.settimeout(None)
        answer: visits.Answer | None = None
        while not isinstance(answer, visits.Ended):
            try:
                answer = self._next()
            except ConnectionResetError as exc:
                raise GoneError("the dataflow ended") from exc
            if isinstance(answer, visits.Shown | visits.Ended):
                yield answer


class DaemonClient(_Connection[background.Answer]):
    """A connection to a background daemon. `close()` gives it up; twice is fine.

    Args:
        address: Where it listens, see `transport.endpoint.daemon_address`.

    Raises:
        OSError: nobody listens there.
        DoraError: the daemon does not answer, or does not let this client in.
    """

    def __init__(self, address: str) -> None:
        super().__init__(address, "background daemon", background.decode_answer)
        try:
            greeting = background.GreetDaemon(messages.PROTOCOL, VERSION)
            self.daemon = self._expect(background.Daemon, greeting)
            """Who it is: pid, version, where it keeps its state."""
        except BaseException:
            self.close()
            raise

    def start(
        self,
        plan: bytes,
        name: str | None = None,
        hot_reload: bool = False,
        after: str | None = None,
    ) -> background.Started:
        """Have it run a dataflow; returns when the processes were started.

        Args:
            plan: Packed, see `descriptor.packing`.
            name: Of the dataflow; the name of its file if None.
            hot_reload: Whether nodes are started again when their files change.
            after: The id of a dataflow that this one is the restart of.

        Raises:
            DoraError: it cannot be started; a running dataflow has that name.
        """
        question = background.StartDataflow(plan, name, hot_reload, after)
        return self._expect(background.Started, question, _START_WITHIN_S)

    def runs(self) -> list[background.Run]:
        """The dataflows that it runs and has run, oldest first."""
        return self._expect(background.Runs, background.AskRuns()).runs

    def plan_of(self, dataflow: str) -> background.PackedPlan:
        """The plan with which a dataflow was started.

        Raises:
            DoraError: the daemon knows no dataflow of this id.
        """
        return self._expect(background.PackedPlan, background.AskPlan(dataflow))

    def forget(self) -> list[background.Run]:
        """Have it forget the dataflows that are over; returns those."""
        return self._expect(background.Runs, background.Forget()).runs

    def shutdown(self, force: bool = False) -> None:
        """Have it end; returns when it has.

        Args:
            force: Stop the dataflows that run, first.

        Raises:
            DoraError: dataflows run, and `force` is not set.
        """
        try:
            self.ask(background.Shutdown(force), None)
        except GoneError:
            return
        raise ProtocolError("the daemon answered to its end")

    def hand_over(self, argv: list[str], env: dict[str, str]) -> None:
        """Have it become another program, without stopping a node; this connection is over then.

        Args:
            argv: The command, whose first word is a path.
            env: Its environment.

        Raises:
            DoraError: it cannot, and goes on as it was.
        """
        try:
            self.ask(background.HandOver(argv, env), _START_WITHIN_S)
        except GoneError:
            return
        raise ProtocolError("the daemon answered to its replacement")


def daemon() -> DaemonClient:
    """Connect to the background daemon of this checkout; the caller closes the client.

    Raises:
        DoraError: there is none, or it does not let this client in.
    """
    project = endpoint.checkout()
    try:
        return DaemonClient(endpoint.daemon_address(project))
    except OSError as exc:
        where = f" for `{project}`" if project else ""
        others = ", ".join(sorted(_daemons_elsewhere()))
        there = f" (there is one for {others})" if others else ""
        raise DoraError(
            f"no background daemon is running{where}; start one with `dora up`{there}"
        ) from exc


def _daemons_elsewhere() -> Iterator[str]:
    """The projects that other background daemons are for."""
    for address in endpoint.daemons():
        with contextlib.suppress(OSError, DoraError), DaemonClient(address) as client:
            yield f"`{client.daemon.checkout}`" if client.daemon.checkout else "no checkout"


def running() -> list[visits.Dataflow]:
    """This user's dataflows that run now and let this version look, oldest first."""
    here, away, _refusals = _look_around()
    _tell_left_out(away)
    return here


def is_near(dataflow: visits.Dataflow) -> bool:
    """Whether a dataflow is not one of another checkout than that of this process."""
    project = endpoint.checkout()
    return not project or dataflow.checkout in ("", project)


def _look_around() -> tuple[list[visits.Dataflow], list[visits.Dataflow], list[str]]:
    """The dataflows that answer, those of other checkouts, and why others do not answer."""
    found, refusals = [], []
    for address in endpoint.running():
        try:
            with Client(address) as client:
                found.append(client.dataflow)
        except GoneError:
            continue  # it has just ended
        except DoraError as exc:
            refusals.append(f"  {endpoint.name_of(address)}  {exc}")
        except OSError:
            continue  # likewise
    found.sort(key=lambda dataflow: dataflow.id)
    here = [one for one in found if is_near(one)]
    return here, [one for one in found if one not in here], refusals


def _tell_left_out(away: list[visits.Dataflow]) -> None:
    ids = frozenset(dataflow.id for dataflow in away)
    if not ids or ids in _told:
        return
    _told.add(ids)
    where = ", ".join(sorted({f"`{dataflow.checkout}`" for dataflow in away}))
    what = "1 dataflow" if len(ids) == 1 else f"{len(ids)} dataflows"
    _log.warning("left out: %s of another checkout (%s); an id reaches one", what, where)


def connect(dataflow: str | None = None, node: str | None = None) -> Client:
    """Connect to a running dataflow; the caller closes the client.

    Args:
        dataflow: Its name, or the beginning of its id; None if there is no choice.
        node: It has a node of this id; narrows the choice.

    Raises:
        DoraError: none fits, or several do; the message lists what runs.
    """
    here, away, refusals = _look_around()
    if dataflow is not None and len(dataflow) >= _LEAST_ID_CHARS:
        named = [one for one in away if one.id.startswith(dataflow)]
        here, away = here + named, [one for one in away if one not in named]
    _tell_left_out(away)
    if not here and not refusals:
        raise DoraError("no dataflow is running; start one with `dora run dataflow.yml`")
    fits = [
        flow
        for flow in here
        if (dataflow is None or flow.name == dataflow or flow.id.startswith(dataflow))
        and (node is None or node in flow.nodes)
    ]
    if len(fits) == 1:
        try:
            return Client(endpoint.address_of(fits[0].id))
        except OSError as exc:
            raise DoraError(f"the dataflow `{fits[0].name}` has just ended") from exc
    shown = [f"  {flow.id}  {flow.name}: {', '.join(flow.nodes)}" for flow in here]
    listed = "\n".join(shown + refusals)
    if fits:
        raise DoraError(f"several dataflows fit; name one (`-d`), by its name or its id:\n{listed}")
    asked = (("is", dataflow), ("has a node", node))
    wanted = " and".join(f" {verb} `{name}`" for verb, name in asked if name is not None)
    known = (
        [flow.name for flow in here] if node is None else [n for flow in here for n in flow.nodes]
    )
    near = suggest(node or dataflow or "", known)
    meant = f"; did you mean `{near}`?" if near else ""
    raise DoraError(f"no running dataflow{wanted}{meant}; running:\n{listed}")
