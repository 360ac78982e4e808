"""One open page: what it asked to be shown, and what it has done. Knows no HTTP.

The page sends JSON objects with `t`: `watch` a dataflow (null: none), `peek` at an output,
`unpeek`, `shown` (the last preview of it), `logs` (null: none), `do` something, which is answered
by `done` with the same `n`. Whatever else it sends is refused, and costs its connection.

Elsewhere: connections (`web.app`), what is shared with other pages (`web.hub`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from dora.errors import DoraError
from dora.ids import LOG_LEVELS
from dora.monitor.log_records import Wanted
from dora.version import VERSION
from dora.web.actions import Action, act, changes
from dora.web.lane import Lane
from dora.web.loglines import LogLines
from dora.web.outbox import Outbox
from dora.web.watching import encoded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from dora.web.hub import Hub
    from dora.web.outbox import Frame
    from dora.web.peeking import Peek
    from dora.web.recorder import Recorder

MOST_PEEKS = 16
_READ_LOGS_EVERY_S = 0.5
_MOST_ACTIONS = 8


class Watch(msgspec.Struct, tag_field="t", tag="watch"):
    """Show this dataflow, and no other."""

    flow: str | None


class PeekAt(msgspec.Struct, tag_field="t", tag="peek"):
    """Show what this output sends."""

    output: str


class Unpeek(msgspec.Struct, tag_field="t", tag="unpeek"):
    """Show it no more."""

    output: str


class ShownPeek(msgspec.Struct, tag_field="t", tag="shown"):
    """The last preview of it was shown."""

    output: str


class LogsOf(msgspec.Struct, tag_field="t", tag="logs"):
    """Show log lines, of one node or all; or none any more."""

    on: bool
    node: str | None = None
    level: str = "stdout"
    text: str = ""
    n: int = 0
    """Comes back with the lines, so that those of an earlier filter are told apart."""


class Do(msgspec.Struct, tag_field="t", tag="do"):
    """Have something done."""

    n: int
    action: str
    node: str = ""
    key: str = ""
    value: str = ""


_decode = msgspec.json.Decoder(Watch | PeekAt | Unpeek | ShownPeek | LogsOf | Do).decode


class BadMessageError(Exception):
    """The other side is none of our pages."""


class Browser:
    """One page. `run()` serves it; `hear` takes what it says.

    Args:
        hub: What is shared.
        send: Sends one frame.
    """

    def __init__(self, hub: Hub, send: Callable[[Frame], Awaitable[None]]) -> None:
        self._hub = hub
        self._outbox = Outbox(send)
        self._flow = ""
        self._peeks: dict[str, Peek] = {}
        self._recorder: Recorder | None = None
        self._logs: asyncio.Task[None] | None = None
        self._actions: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Send what there is to show, until cancelled, or the connection ends."""
        hub = self._hub
        told = {"version": VERSION, "read_only": hub.read_only, "preferred": hub.preferred}
        self._outbox.put(encoded("hello", told))
        hub.list.join(self._tell_list)
        try:
            await self._outbox.run()
        finally:
            hub.list.leave(self._tell_list)
            self._leave()

    def hear(self, text: str | bytes) -> None:
        """Take what the page says.

        Raises:
            BadMessageError: it is nothing that a page says.
        """
        try:
            said = _decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise BadMessageError(str(exc)) from exc
        match said:
            case Watch():
                self._watch(said.flow)
            case PeekAt():
                self._peek(said.output)
            case Unpeek():
                self._unpeek(said.output)
            case ShownPeek():
                if said.output in self._peeks:
                    self._peeks[said.output].shown(self._show)
            case LogsOf():
                self._show_logs(said)
            case Do():
                self._do(said)

    def _tell_list(self, frame: str) -> None:
        self._outbox.put(frame, "flows")

    def _tell_state(self, frame: str) -> None:
        self._outbox.put(frame, "state")

    def _tell_recorder(self, frame: str) -> None:
        self._outbox.put(frame, "recorder")

    def _show(self, frame: Frame) -> None:
        self._outbox.put(frame)

    # ---- what is shown ----

    def _watch(self, flow: str | None) -> None:
        self._leave()
        if flow is None:
            return
        try:
            self._hub.flow(flow)
        except DoraError as exc:
            self._outbox.put(encoded("ended", {"flow": flow, "why": str(exc)}))
            return
        self._flow = flow
        self._hub.watch(flow, self._tell_state)
        self._recorder = self._hub.recorder(flow)
        self._recorder.join(self._tell_recorder)

    def _leave(self) -> None:
        """Show nothing any more."""
        if self._flow:
            self._hub.unwatch(self._flow, self._tell_state)
        if self._recorder is not None:
            self._recorder.leave(self._tell_recorder)
            self._recorder = None
        for output in list(self._peeks):
            self._unpeek(output)
        if self._logs is not None:
            self._logs.cancel()
            self._logs = None
        self._flow = ""

    def _peek(self, output: str) -> None:
        if not self._flow or output in self._peeks:
            return
        if len(self._peeks) >= MOST_PEEKS:
            told = {"flow": self._flow, "output": output, "kind": "over"}
            told["text"] = f"{MOST_PEEKS} previews at a time are enough: close one"
            self._outbox.put(encoded("preview", told))
            return
        self._peeks[output] = self._hub.peek(self._flow, output, self._show)

    def _unpeek(self, output: str) -> None:
        peek = self._peeks.pop(output, None)
        if peek is not None:
            peek.leave(self._show)
            if peek.over:
                self._hub.forget(peek)

    def _show_logs(self, wanted: LogsOf) -> None:
        if self._logs is not None:
            self._logs.cancel()
            self._logs = None
        flow = self._hub.list.flows.get(self._flow)
        if wanted.on and flow is not None and wanted.level in LOG_LEVELS:
            which = Wanted(level=wanted.level, pattern=wanted.text)
            logs = LogLines(flow, wanted.node, which)
            self._logs = asyncio.create_task(self._follow_logs(flow.id, logs, wanted.n))

    async def _follow_logs(self, flow: str, logs: LogLines, number: int) -> None:
        lane = Lane("logs")
        try:
            told: dict[str, Any] | None = await lane.call(logs.open)
            first = True
            while True:
                if told is not None:
                    told |= {"flow": flow, "n": number, "first": first}
                    self._outbox.put(encoded("logs", told))
                    first = False
                await asyncio.sleep(_READ_LOGS_EVERY_S)
                told = await lane.call(logs.read)
        finally:
            lane.close(logs.close)

    # ---- what is done ----

    def _do(self, wanted: Do) -> None:
        if len(self._actions) >= _MOST_ACTIONS:
            self._answer(wanted, False, {"text": "one thing after the other, please"})
            return
        task = asyncio.create_task(self._done(wanted))
        self._actions.add(task)
        task.add_done_callback(self._actions.discard)

    async def _done(self, wanted: Do) -> None:
        flow = self._flow
        try:
            if self._hub.read_only and changes(wanted.action):
                raise DoraError("this page only looks: the server was started with `--read-only`")
            self._hub.flow(flow)
            told = await self._carry_out(flow, wanted)
        except DoraError as exc:
            self._answer(wanted, False, {"text": str(exc)})
        else:
            self._answer(wanted, True, told)

    async def _carry_out(self, flow: str, wanted: Do) -> dict[str, Any]:
        if wanted.action == "record_start":
            return {"text": await self._hub.recorder(flow).start()}
        if wanted.action == "record_stop":
            return {"text": await self._hub.recorder(flow).stop()}
        ask = Action(flow, wanted.action, wanted.node, wanted.key, wanted.value)
        return await asyncio.to_thread(act, ask)

    def _answer(self, wanted: Do, ok: bool, told: dict[str, Any]) -> None:
        self._outbox.put(encoded("done", {"n": wanted.n, "ok": ok, **told}))
