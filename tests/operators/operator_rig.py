"""Operators in this process: a runtime in a thread; the test is its daemon and its neighbours."""

from __future__ import annotations

import queue
import textwrap
import threading
import time
from typing import TYPE_CHECKING, Any

from dora.node.operators import Runtime
from dora.wire import messages
from dora.wire.runtime import OperatorConfig, OperatorRestart, RuntimeConfig
from node.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from dora.node.event_types import Event

DEADLINE_S = 20.0
said: queue.SimpleQueue[Any] = queue.SimpleQueue()
"""What the operators told the test: their files import `say`."""
PRELUDE = """
from dora import DoraStatus
from operators.operator_rig import said
say = lambda *facts: said.put(facts[0] if len(facts) == 1 else facts)
"""


class Operators:
    """A node of operators, filled and then started."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._patch = patch
        self._configs: list[OperatorConfig] = []
        self._rig: Rig | None = None
        self.result: queue.SimpleQueue[bool] = queue.SimpleQueue()
        """Whether all went well, once the runtime has ended."""
        while not said.empty():
            said.get()

    def add(
        self, operator_id: str, source: str, inputs: str = "", outputs: str = "", file: str = ""
    ) -> Path:
        """Add an operator whose file holds `source`; ports are separated by blanks."""
        path = self.folder / (file or f"{operator_id}_file.py")
        path.parent.mkdir(exist_ok=True)
        self.write(path, source)
        config = OperatorConfig(operator_id, str(path), inputs.split(), outputs.split())
        self._configs.append(config)
        return path

    def write(self, path: Path, source: str) -> None:
        """Write an operator's file."""
        path.write_text(PRELUDE + textwrap.dedent(source))

    def start(self, restart: OperatorRestart | None = None, **options: Any) -> Rig:
        """Start the runtime; the rig is the rest of the dataflow."""
        inputs = {f"{c.id}/{name}": 10 for c in self._configs for name in c.inputs}
        outputs = tuple(f"{c.id}/{name}" for c in self._configs for name in c.outputs)
        config = RuntimeConfig("n", self._configs, restart or OperatorRestart())

        def make() -> Running:
            node = messages.NodeConfig("rig", "n", 0, "@rig")
            return Running(Runtime(config, node), self.result)

        self._rig = Rig(self._patch, inputs, outputs, make=make, **options)
        return self._rig

    @property
    def runtime(self) -> Runtime:
        """The runtime."""
        rig = self._rig
        assert rig is not None
        eventually(lambda: hasattr(rig.node.runtime, "core"))
        running: Runtime = rig.node.runtime
        return running

    def reload(self, operator_id: str) -> None:
        """What a daemon that saw the file change will have the node do."""
        self.runtime.streams.post({"kind": "dora", "type": "RELOAD", "id": operator_id})

    def ended_well(self) -> bool:
        """Wait until the runtime has ended."""
        return self.result.get(timeout=DEADLINE_S)

    def close(self) -> None:
        """End the runtime if it still runs."""
        if self._rig is not None:
            if self._rig.node.thread.is_alive() and self._rig.daemon.fileno() >= 0:
                self._rig.stop()
            self._rig.close()


class Running:
    """A runtime at work in a thread; to a rig it is the node."""

    def __init__(self, runtime: Runtime, result: queue.SimpleQueue[bool]) -> None:
        self.runtime = runtime
        self.thread = threading.Thread(target=lambda: result.put(runtime.run()))
        self.thread.start()

    def close(self) -> None:
        """Wait for the runtime's end."""
        self.thread.join(DEADLINE_S)
        assert not self.thread.is_alive()


def heard() -> Any:
    """The next that an operator told."""
    return said.get(timeout=DEADLINE_S)


def taken(rig: Rig, output: str) -> Event:
    """The next message on an output."""
    return eventually(lambda: rig.take(output))


def eventually(look: Callable[[], Any]) -> Any:
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + DEADLINE_S
    while (found := look()) in (None, [], False):
        assert time.monotonic() < deadline
        threading.Event().wait(0.002)
    return found
