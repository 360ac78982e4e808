"""A node at a terminal: a person types its inputs and reads what it sends.

The prompt lives in a thread of its own beside the real event stream, and appears when the node
waits for an event; so timeouts, timers and asyncio work as ever, and Ctrl-C reaches the node's main
thread as in any program. Where stdout is no terminal, messages go there as lines of JSON besides.

Elsewhere: what is typed (`node.typed_input`), how values look (`node.previews`), a pipe instead of
a person (`node.interactive_lines`).
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
import termios
import time
from typing import TYPE_CHECKING, Any, assert_never

from dora.errors import InputFormatError, MetadataError, PayloadTypeError
from dora.node import events, logs, typed_input
from dora.node.asked_stream import AskedStream
from dora.node.interactive_lines import Target, take_stdout
from dora.node.line_editing import LineEditor
from dora.node.previews import preview_message
from dora.node.stage import Stage, input_event
from dora.node.timers import Timer
from dora.wire.payload import encode

if TYPE_CHECKING:
    from dora.node.event_types import Event, InputEvent
    from dora.node.typed_input import Typed

_NODE_ID = "node"
_ASK_ID, _ASK_DATA = "input id> ", "data> "


class PromptStream(AskedStream):
    """Hides the prompt while the node is busy with an event that came beside it: a timer's."""

    def __init__(self, *args: Any, editor: LineEditor, **options: Any) -> None:
        self._editor = editor
        super().__init__(*args, **options)

    def wait(self, timeout_s: float | None = None) -> Event | None:
        """As ever; the prompt is hidden when this returns."""
        event = super().wait(timeout_s)
        self._editor.hide()
        return event

    def _take(self) -> Event | None:
        event = super()._take()
        if event is not None:
            self._editor.hide()
        return event

    def _poll(self, timeout_s: float | None) -> None:
        self._editor.show()
        try:
            super()._poll(timeout_s)
        except KeyboardInterrupt:
            self._editor.hide("^C\n")
            raise


class PromptStage(Stage):
    """A stage whose node is fed at the terminal; `close()` leaves the terminal as it was."""

    stream: AskedStream

    def __init__(self, target: Target | None) -> None:
        self._target = target
        self._editor = LineEditor()
        self._metadata: dict[str, Any] = {}
        self._timers: dict[str, Timer] = {}
        self._terminal = termios.tcgetattr(0)
        make_stream = functools.partial(PromptStream, editor=self._editor)
        super().__init__(_NODE_ID, self._show, make_stream=make_stream)
        self.stream.fed_by(self._converse)

    def close(self, *, goodbye: bool = True) -> None:
        """Ask nothing more; twice is fine."""
        super().close(goodbye=goodbye)
        if self._target is not None:
            self._target.close()
        if self._editor.asking is not None:  # the node ends by itself
            self._editor.leave()
            termios.tcsetattr(0, termios.TCSANOW, self._terminal)

    def disown(self) -> None:
        """In a forked child: the terminal is the parent's."""
        self._editor.asking = None

    def _converse(self) -> None:
        stream = self.stream
        while True:
            stream.asked.wait()
            if stream.ended:
                return
            line = self._editor.ask(_ASK_ID)
            if line is None or not line.strip():
                stream.give(events.stop("MANUAL"))
                return
            self._editor.remember(_ASK_ID, line.strip())
            try:
                self._do(typed_input.parse_line(line), stream)
            except (InputFormatError, PayloadTypeError, MetadataError) as exc:
                self._editor.say(f"  {exc}")

    def _do(self, typed: Typed, stream: AskedStream) -> None:
        match typed:
            case typed_input.Message(input_id=name, data=text):
                if text is None and (name == typed_input.TICK or name in self._timers):
                    text = ""
                if text is None:
                    text = self._editor.ask(_ASK_DATA)
                    if text is None:
                        return
                if text.strip():
                    self._editor.remember(_ASK_DATA, text.strip())
                value = typed_input.parse_data(text)
                stream.give(input_event(name, encode(value), self._metadata))
            case typed_input.Meta(metadata=metadata):
                input_event("_", encode(""), metadata)  # raises if it cannot be sent
                self._metadata = metadata
            case typed_input.Ticking(input_id=name, interval_ns=interval_ns):
                self._tick(name, interval_ns, stream)
            case typed_input.Closing(input_id=name):
                stream.give(events.input_closed(name))
            case typed_input.Help():
                self._editor.say(typed_input.HELP)
            case _:
                assert_never(typed)

    def _tick(self, input_id: str, interval_ns: int | None, stream: AskedStream) -> None:
        former = self._timers.pop(input_id, None)
        if former is not None:
            stream.unwatch(former.fd)
            former.close()
        if interval_ns is None:
            return
        timer = Timer(input_id, interval_ns, time.monotonic_ns() + interval_ns)
        self._timers[input_id] = timer
        stream.merge(timer.fd, timer, timer.close)

    def _show(self, event: InputEvent) -> None:
        width = shutil.get_terminal_size().columns
        first, *rest = preview_message(event, max(40, width - 3)).splitlines()
        self._editor.say("\n".join([f"-> {first}", *(f"   {line}" for line in rest)]))
        if self._target is not None and not self._target.write(event):
            self.post(events.stop("MANUAL"))


def join() -> PromptStage:
    """Take over the terminal."""
    logs.speak_plainly()
    target = None if os.isatty(1) else take_stdout(0)
    print(
        "dora: `DORA_NODE_CONFIG` is not set, so you feed this node by hand. `:help` tells how, "
        "Ctrl-D ends.",
        file=sys.stderr,
    )
    return PromptStage(target)
