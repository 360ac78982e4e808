"""Looking at running dataflows again and again; what came of it between two looks.

Elsewhere: the connection (`dora.client`), what the figures mean (`monitor.figures`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dora import client
from dora.errors import DoraError, ProtocolError
from dora.monitor.figures import figures
from dora.transport import endpoint
from dora.wire.visits import AskState, State

if TYPE_CHECKING:
    from typing import Self

    from dora.client import Client
    from dora.monitor.figures import Figures


class Looks:
    """Connections to dataflows, and what they told last. `close()` gives them up; twice is fine.

    Args:
        dataflow: Its name, or the beginning of its id. None: all of this checkout, those too that
            are started later.
        node: With a node of this id, and that dataflow only, if there is but one.

    Raises:
        DoraError: none fits, or several do.
    """

    def __init__(self, dataflow: str | None = None, node: str | None = None) -> None:
        self._clients: dict[str, Client] = {}
        self._last: dict[str, State] = {}
        self._others: set[str] = set()
        """Ids of those that are not to be looked at, or do not let this version look."""
        self._all = dataflow is None and node is None
        if not self._all:
            one = client.connect(dataflow, node)
            self._clients[one.dataflow.id] = one

    def look(self) -> list[Figures]:
        """How everything stands, and what happened since the last look; none of what has ended.

        Raises:
            DoraError: a dataflow that runs does not tell.
        """
        if self._all:
            self._join()
        found = []
        for name, one in sorted(self._clients.items()):  # oldest first
            state = self._state(one)
            if state is None:
                self._clients.pop(name).close()
                self._last.pop(name, None)
                continue
            found.append(figures(self._last.get(name), state))
            self._last[name] = state
        return found

    def close(self) -> None:
        """Leave."""
        for one in self._clients.values():
            one.close()
        self._clients.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _join(self) -> None:
        """Connect to dataflows of this checkout that are new."""
        for address in endpoint.running():
            name = endpoint.name_of(address)
            if name in self._clients or name in self._others:
                continue
            try:
                one = client.Client(address)
            except OSError:
                continue  # it has just ended
            except DoraError:  # of another version, or it does not answer
                self._others.add(name)
                continue
            if one.dataflow.checkout == endpoint.checkout():
                self._clients[name] = one
            else:
                one.close()
                self._others.add(name)

    def _state(self, one: Client) -> State | None:
        """None if the dataflow has ended."""
        try:
            answer = one.ask(AskState())
        except DoraError as exc:
            if one.dataflow.id not in {flow.id for flow in client.running()}:
                return None
            raise DoraError(f"dataflow `{one.dataflow.name}`: {exc}") from exc
        if not isinstance(answer, State):
            raise ProtocolError(f"the daemon answered {type(answer).__name__} to a question")
        return answer


def measure(over_s: float, dataflow: str | None = None, node: str | None = None) -> list[Figures]:
    """Look twice, this long apart; see `Looks`.

    Raises:
        DoraError: none fits, or several do, or one does not tell.
    """
    with Looks(dataflow, node) as looks:
        if looks.look():
            time.sleep(over_s)
        return looks.look()
