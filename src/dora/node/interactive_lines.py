"""A node in a pipe: each line of stdin is an input, each message it sends a line of stdout.

    echo '{"id": "image", "data": [[1, 2], [3, 4]], "dtype": "uint8"}' | python my_node.py

A line is read when the node asks for its next event, so nothing is read ahead or lost. What the
node prints itself goes to stderr: from `Node()` on, descriptor 1 is stderr's, and only messages
get to the real one. The end of stdin is STOP; a line that is no input ends the process with
status 1. When nobody reads stdout any more, that is STOP too.

Elsewhere: a person at a terminal (`node.interactive_prompt`), one line (`node.event_json`).
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from typing import TYPE_CHECKING

import msgspec

from dora.errors import InputFormatError
from dora.node import events, logs
from dora.node.asked_stream import AskedStream
from dora.node.event_json import read_event, write_message
from dora.node.json_values import to_line
from dora.node.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dora.node.event_types import InputEvent

_CHUNK_BYTES = 1 << 16
_NODE_ID = "node"


class Target:
    """Where messages are written, one a line. Owns its descriptor; `close()` twice is fine."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._writing = threading.RLock()  # a signal handler may close it in between

    def write(self, event: InputEvent) -> bool:
        """Write a message; whether anybody reads on. Any thread may call this."""
        text = to_line(write_message(event)) + b"\n"
        with self._writing:
            view = memoryview(text)
            while view and self._fd >= 0:
                try:
                    view = view[os.write(self._fd, view) :]
                except BrokenPipeError:  # `| head -1` has seen enough
                    self._give_up()
            return self._fd >= 0

    def close(self) -> None:
        """Write nothing more."""
        with self._writing:
            self._give_up()

    def _give_up(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class LinesStage(Stage):
    """A stage that reads inputs from a descriptor and owns where messages go."""

    stream: AskedStream

    def __init__(self, source_fd: int, target: Target) -> None:
        self._source_fd = source_fd
        self._target = target
        super().__init__(_NODE_ID, self._write, make_stream=AskedStream)
        self.stream.fed_by(self._read)

    def close(self, *, goodbye: bool = True) -> None:
        """Read and write nothing more."""
        super().close(goodbye=goodbye)
        self._target.close()

    def _read(self) -> None:
        stream = self.stream
        number = 0
        stream.asked.wait()
        for line in _lines(self._source_fd):
            number += 1
            if not line.strip():
                continue
            try:
                event = read_event(_object(line))
            except InputFormatError as exc:
                stream.fail(functools.partial(_refusal, f"stdin, line {number}: {exc}"))
                return
            stream.give(event)
            stream.asked.wait()
            if stream.ended:
                return
        stream.give(events.stop("ALL_INPUTS_CLOSED"))

    def _write(self, event: InputEvent) -> None:
        if not self._target.write(event):
            self.post(events.stop("MANUAL"))


def take_stdout(fd: int) -> Target:
    """The real stdout, for messages only: what is printed goes to descriptor `fd` from now on."""
    target = Target(os.dup(1))
    os.dup2(fd, 1)
    return target


def join() -> LinesStage:
    """Take over stdin and stdout."""
    logs.speak_plainly()
    print(
        "dora: `DORA_NODE_CONFIG` is not set: inputs are read from stdin, one JSON object a line",
        file=sys.stderr,
    )
    return LinesStage(0, take_stdout(2))


def _lines(fd: int) -> Iterator[bytes]:
    """The lines of a descriptor, each as soon as it is there.

    Not through `sys.stdin`, whose lock a
    thread that waits would still hold when the interpreter ends.
    """
    begun: list[bytes] = []
    while chunk := os.read(fd, _CHUNK_BYTES):
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            yield b"".join((*begun, end))
            begun.clear()
        begun.append(rest)
    if last := b"".join(begun):
        yield last


def _object(line: bytes) -> object:
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise InputFormatError(f"no JSON: {exc}") from exc


def _refusal(text: str) -> BaseException:
    """What ends the process in one line where that can be: in its main thread."""
    if threading.current_thread() is threading.main_thread():
        return SystemExit(f"dora: {text}")
    return InputFormatError(text)
