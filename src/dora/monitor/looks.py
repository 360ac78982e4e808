"""Looking at running dataflows again and again; what came of it between two looks.

Elsewhere: the connection (`dora.client`), what the figures mean (`monitor.figures`).
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from dora import client
from dora.client import GoneError
from dora.errors import DoraError
from dora.monitor.figures import figures
from dora.transport import endpoint

if TYPE_CHECKING:
    from typing import Self

    from dora.client import Client
    from dora.monitor.figures import Figures
    from dora.wire.visits import State


_AGAIN_S = 10.0
"""Until one that did not let us look is asked again."""


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
        self._others: dict[str, float] = {}
        """Ids of those that are not looked at, and when to ask them again (monotonic, s)."""
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
            state = self._state(name, one)
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
            if name in self._clients or time.monotonic() < self._others.get(name, 0.0):
                continue
            try:
                one = client.Client(address)
            except (OSError, GoneError):
                continue  # it has just ended
            except DoraError:  # of another version, or too busy to answer
                self._others[name] = time.monotonic() + _AGAIN_S
                continue
            if client.is_near(one.dataflow):
                self._clients[name] = one
            else:
                one.close()
                self._others[name] = math.inf

    def _state(self, name: str, one: Client) -> State | None:
        """None if the dataflow has ended. A daemon that was replaced is asked anew."""
        try:
            try:
                return one.state()
            except (OSError, GoneError):
                one.close()
                one = self._clients[name] = client.Client(endpoint.address_of(name))
                return one.state()
        except (OSError, GoneError):
            return None
        except DoraError as exc:
            raise DoraError(f"dataflow `{one.dataflow.name}`: {exc}") from exc


def measure(over_s: float, dataflow: str | None = None, node: str | None = None) -> list[Figures]:
    """Look twice, this long apart; see `Looks`.

    Raises:
        DoraError: none fits, or several do, or one does not tell.
    """
    with Looks(dataflow, node) as looks:
        if looks.look():
            time.sleep(over_s)
        return looks.look()
