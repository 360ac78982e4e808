"""A dataflow of real nodes, served in a thread of the test, looked at and changed meanwhile.

Nodes say words (`say("got", 3)`), which the test waits for.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import textwrap
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from dora.client import Client
from dora.daemon.flow import Graces
from dora.daemon.launch import launch
from dora.daemon.server import Server, Settings
from dora.descriptor.addition import plan_addition
from dora.descriptor.packing import pack_plan
from dora.descriptor.planner import load_plan
from dora.transport import endpoint
from dora.wire import visits

from .waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from dora.daemon.logs import LogLine
    from dora.daemon.report import Outcome

QUICK = Graces(stop_s=0.5, term_s=0.5, hurry_s=0.5, node_stop_s=0.5)

_PRELUDE = """
import json, os, signal, sys, time
def say(*facts):
    sys.stdout.write("say " + json.dumps(facts) + "\\n")
    sys.stdout.flush()
"""

SOURCE = """
from dora import Node
node = Node()
say("source", node.restart_count())
for event in node:
    if event["type"] == "STOP":
        break
    if event["type"] == "INPUT":
        node.send_output("out", b"tick")
"""
"""Sends as often as its timer ticks."""

SINK = """
from dora import Node
node = Node()
say("sink", node.restart_count())
for event in node:
    if event["type"] == "INPUT":
        say("got", event["id"], event["metadata"].get("n"))
    else:
        say(event["type"], event.get("id"))
"""
"""Tells all that it is handed."""


def counter(size: int = 8, every_s: float = 0.001, first: str = "") -> str:
    """A source that numbers its messages, on from what it had sent before it was started again."""
    return f"""
from pathlib import Path
import numpy as np
from dora import Node
{first}
node = Node()
say("counter", node.restart_count())
file = Path("sent")
n = int(file.read_text()) if file.exists() else 0
while (event := node.try_recv()) is None or event["type"] != "STOP":
    node.send_output("out", np.full({size}, n % 251, np.uint8), {{"n": n}})
    n += 1
    new = Path(f"sent.{{os.getpid()}}")
    new.write_text(str(n))
    os.replace(new, file)  # it may be killed at any moment
    time.sleep({every_s})
"""


def write(folder: Path, name: str, code: str) -> str:
    """A node's file; its name."""
    (folder / f"{name}.py").write_text(_PRELUDE + textwrap.dedent(code))
    return f"{name}.py"


class Live:
    """Runs a dataflow while entered; stops it at the end, and sees to it that nothing is left.

    Args:
        folder: Where its files stand.
        nodes: For each node id its code and its keys in the dataflow file.
    """

    def __init__(
        self,
        folder: Path,
        nodes: dict[str, tuple[str, dict[str, Any]]],
        *,
        graces: Graces = QUICK,
        hot_reload: bool = False,
        held: bool = False,
        **top: Any,
    ) -> None:
        self.folder = folder
        self.notices: list[str] = []
        self.lines: list[str] = []
        self.outcome: Outcome | None = None
        self._said: deque[tuple[str, list[Any]]] = deque()
        self._change = threading.Condition()
        self._settings = Settings(hot_reload=hot_reload, graces=graces, held=held)
        listed = [
            {"id": name, **({"path": write(folder, name, code)} if code else {}), **keys}
            for name, (code, keys) in nodes.items()
        ]
        file = folder / "flow.yml"
        file.write_text(json.dumps({"nodes": listed, **top}))  # JSON is YAML
        self.plan = load_plan(file, environ=os.environ)
        self._thread = threading.Thread(target=self._run)
        self._ready = threading.Event()
        self._error: BaseException | None = None

    # ---- the observer ----

    def lines_(self, batch: list[LogLine]) -> None:
        with self._change:
            for line in batch:
                if line.message.startswith("say "):
                    self._said.append((line.node, json.loads(line.message[4:])))
                else:
                    self.lines.append(f"{line.node}: {line.message}")
            self._change.notify_all()

    def notice(self, level: str, text: str) -> None:
        with self._change:
            self.notices.append(f"[{level}] {text}")
            self._change.notify_all()

    # ---- what the test does ----

    def allow_start(self) -> None:
        """Let the nodes start, where they were `held`."""
        self._loop.call_soon_threadsafe(self.server.allow_start)

    def client(self) -> Client:
        return Client(endpoint.address_of(self.server.described().id))

    def heard(self, word: str, node: str | None = None) -> list[Any]:
        """Wait until a node says `word`; what it said with it. Each saying is heard once."""
        found: list[Any] = []

        def look() -> bool:
            with self._change:
                for index, (who, (what, *facts)) in enumerate(self._said):
                    if what == word and node in (None, who):
                        del self._said[index]
                        found.append(facts)
                        return True
            return False

        self.until(look, f"{node or 'somebody'} says {word!r}")
        return found[0]

    def all_heard(self, word: str, node: str | None = None) -> list[list[Any]]:
        """What was said with `word` and not heard yet; it is heard now."""
        with self._change:
            mine = [s for s in self._said if s[1][0] == word and node in (None, s[0])]
            for one in mine:
                self._said.remove(one)
        return [facts for _, (_, *facts) in mine]

    def noticed(self, part: str) -> str:
        """Wait for a notice with this in it."""
        self.until(lambda: any(part in text for text in list(self.notices)), f"notice {part!r}")
        return next(text for text in self.notices if part in text)

    def until(self, true: Callable[[], bool], what: str = "") -> None:
        """Wait until something is so; asked whenever a line or notice comes."""
        deadline = time.monotonic() + DEADLINE_S
        while not true():
            left = deadline - time.monotonic()
            if left <= 0 or self._error is not None:
                tail = "\n".join([*self.notices, *self.lines][-60:])
                told = f"not so: {what}; said {list(self._said)[-30:]}\n{tail}"
                raise AssertionError(told) from self._error
            with self._change:
                self._change.wait(min(left, 0.02))

    def state(self, node: str) -> visits.NodeView:
        with self.client() as client:
            return next(view for view in client.state().nodes if view.id == node)

    def ask(self, question: Any) -> str:
        """Ask as a client; what is said about it."""
        with self.client() as client:
            answer = client.ask(question, DEADLINE_S)
        assert isinstance(answer, visits.Done)
        return answer.text

    def addition(self, *nodes: dict[str, Any], replacing: str | None = None) -> bytes:
        """The packed plan of nodes that come later."""
        file = self.folder / "more.yml"
        file.write_text(json.dumps({"nodes": list(nodes)}))
        with self.client() as client:
            known = {view.id: view.outputs for view in client.state().nodes}
        plan = plan_addition(file, environ=os.environ, known=known, replacing=replacing)
        return pack_plan(plan)

    def wait_ended(self) -> Outcome:
        self._thread.join(DEADLINE_S)
        assert self.outcome is not None, "\n".join([*self.notices, *self.lines][-60:])
        return self.outcome

    def __enter__(self) -> Self:
        gc.collect()
        self._fds = set(os.listdir("/proc/self/fd"))
        self._thread.start()
        assert self._ready.wait(DEADLINE_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self.server.ask_stop, "the test is over")
            self._thread.join(DEADLINE_S)
        if kind is None:
            if self._error is not None:
                raise self._error
            assert self.outcome is not None
            gc.collect()
            assert set(os.listdir("/proc/self/fd")) == self._fds, "descriptors left open"

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as exc:
            self._error = exc
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.server = Server(launch(self.plan), _Shown(self), settings=self._settings)
        self._loop.call_soon(self._ready.set)
        self.outcome = await self.server.run()


class _Shown:
    def __init__(self, live: Live) -> None:
        self.lines = live.lines_
        self.notice = live.notice
