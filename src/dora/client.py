"""Talk to running dataflows: find them, ask about them. The public way to look in from outside.

    for dataflow in running():
        print(dataflow.name, dataflow.nodes)

Blocking, one request at a time. Elsewhere: the daemon's side (`daemon.visitors`), addresses
(`transport.endpoint`), frames (`wire.framing`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dora.errors import DoraError, ProtocolError
from dora.transport import endpoint
from dora.version import VERSION
from dora.wire import messages, visits
from dora.wire.framing import Deframer, frame

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_ANSWER_WITHIN_S = 10.0
_READ_BYTES = 1 << 16


class Client:
    """A connection to the daemon of one running dataflow. `close()` gives it up; twice is fine.

    Args:
        address: Where it listens, as `transport.endpoint.running` gives it.

    Raises:
        OSError: nobody listens there.
        DoraError: the daemon does not answer, or does not let this client in.
    """

    def __init__(self, address: str) -> None:
        self._socket = endpoint.connect(address)
        self._socket.settimeout(_ANSWER_WITHIN_S)
        self._deframer = Deframer()
        try:
            answer = self._ask(visits.Greet(messages.PROTOCOL, VERSION))
            if not isinstance(answer, visits.Dataflow):
                raise ProtocolError(f"the daemon answered {type(answer).__name__} to a greeting")
        except BaseException:
            self.close()
            raise
        self.dataflow = answer
        """What runs there: id, name, node ids."""

    def stack(self, node: str) -> str:
        """The Python stack of all threads of a node, most recent call first; the node goes on.

        Raises:
            DoraError: there is no such node, it has not started, or it cannot answer.
        """
        answer = self._ask(visits.AskStack(node))
        if not isinstance(answer, visits.Stack):
            raise ProtocolError(f"the daemon answered {type(answer).__name__} to a question")
        return answer.text

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, message: visits.ClientMessage) -> visits.Answer:
        try:
            self._socket.sendall(frame(messages.encode(message)))
            while True:
                data = self._socket.recv(_READ_BYTES)
                if not data:
                    raise DoraError("the dataflow ended")
                for body in self._deframer.feed(data):
                    answer = visits.decode_answer(body)
                    if isinstance(answer, messages.Refused):
                        raise DoraError(answer.reason)
                    return answer
        except TimeoutError as exc:
            self.close()  # the answer to this must not be taken for that to the next question
            raise DoraError(f"the daemon did not answer within {_ANSWER_WITHIN_S:g} s") from exc
        except (ConnectionResetError, BrokenPipeError) as exc:
            raise DoraError("the dataflow ended") from exc


def running() -> list[visits.Dataflow]:
    """This user's dataflows that run now and let this version look, oldest first."""
    return _look_around()[0]


def _look_around() -> tuple[list[visits.Dataflow], list[str]]:
    """The dataflows that answer, oldest first, and why others do not."""
    found, refusals = [], []
    for address in endpoint.running():
        try:
            with Client(address) as client:
                found.append(client.dataflow)
        except DoraError as exc:
            refusals.append(f"  {address.rpartition('/')[2]}  {exc}")
        except OSError:
            continue  # it has just ended
    return sorted(found, key=lambda dataflow: dataflow.id), refusals


def connect(dataflow: str | None = None, node: str | None = None) -> Client:
    """Connect to a running dataflow; the caller closes the client.

    Args:
        dataflow: Its name, or the beginning of its id; None if there is no choice.
        node: It has a node of this id; narrows the choice.

    Raises:
        DoraError: none fits, or several do; the message lists what runs.
    """
    here, refusals = _look_around()
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
        raise DoraError(f"several dataflows fit; name one by its id:\n{listed}")
    wanted = "" if dataflow is None else f" is `{dataflow}`"
    wanted += " and" if dataflow is not None and node is not None else ""
    wanted += "" if node is None else f" has a node `{node}`"
    raise DoraError(f"no running dataflow{wanted}; running:\n{listed}")
