"""A node at a terminal, typed at as a person does, through a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from .nodes import DEADLINE_S, ECHO, environment, node_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ID, DATA = "input id> ", "data> "
_ESCAPES = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]|\x1b[=>]|\r|\x07")


class Terminal:
    """A node in a terminal of its own; what it shows since last expected is in `screen`."""

    def __init__(self, file: Path) -> None:
        self._fd, theirs = pty.openpty()
        self.mode = termios.tcgetattr(theirs)
        self.process = subprocess.Popen(
            [sys.executable, str(file)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(),
            cwd=file.parent,
            start_new_session=True,
            preexec_fn=lambda: _own_terminal(theirs),
        )
        self._theirs = theirs
        self.screen = ""

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def expect(self, text: str) -> str:
        """Wait until this is shown; what was shown before it."""
        deadline = time.monotonic() + DEADLINE_S
        while text not in self.screen:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._fd], [], [], max(0.0, left))
            assert ready, f"`{text}` was not shown, but:\n{self.screen}"
            self.screen += _ESCAPES.sub("", os.read(self._fd, 1 << 16).decode())
        before, _, self.screen = self.screen.partition(text)
        return before

    def sleeps(self) -> None:
        """Wait until the node's main thread sleeps: only then does a signal surely end its wait."""
        deadline = time.monotonic() + DEADLINE_S
        stat = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "S":
            assert time.monotonic() < deadline, "the node never waits"
            os.sched_yield()

    def ends(self) -> int:
        """Wait for the end of the process; its status."""
        status = self.process.wait(DEADLINE_S)
        while select.select([self._fd], [], [], 0)[0]:
            self.screen += _ESCAPES.sub("", os.read(self._fd, 1 << 16).decode())
        assert termios.tcgetattr(self._theirs) == self.mode, "the terminal is not as it was"
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_S)
        os.close(self._fd)
        os.close(self._theirs)


def _own_terminal(fd: int) -> None:
    import fcntl

    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    started: list[Terminal] = []

    def begin(code: str = ECHO) -> Terminal:
        started.append(Terminal(node_file(tmp_path, code)))
        return started[-1]

    yield begin
    for terminal in started:
        terminal.close()


def test_a_person_feeds_the_node_and_reads_what_it_sends(
    start: Callable[..., Terminal], tmp_path: Path
) -> None:
    np.save(tmp_path / "ramp.npy", np.arange(100, dtype=np.uint8).reshape(10, 10))
    terminal = start()
    terminal.expect(ID)
    terminal.type("numbers\n")
    terminal.expect(DATA)
    terminal.type("[1, 2, 3]\n")
    shown = terminal.expect(ID)
    assert "INPUT numbers" in shown
    assert "-> out  Arrow int64, 3 elements\n       [1, 2, 3]\n" in shown
    terminal.type(':meta {"encoding": "mono8"}\n')
    terminal.expect(ID)
    terminal.type("image FILE:ramp.npy\n")
    shown = terminal.expect(ID)
    assert "-> out  NumPy uint8[10, 10], 100 bytes" in shown
    assert "from 0 to 99, mean 49.5" in shown
    assert 'metadata {"encoding":"mono8"}' in shown
    terminal.type("words so many words\n")
    assert '"so many words"' in terminal.expect(ID)
    terminal.type("tick\n")
    assert "-> out  no value" in terminal.expect(ID)
    terminal.type("\n")
    terminal.expect("STOP MANUAL")
    assert terminal.ends() == 0


def test_mistakes_are_told_and_asked_for_again(start: Callable[..., Terminal]) -> None:
    terminal = start()
    terminal.expect(ID)
    for typed, words in [
        ("a b/ c\n", None),
        ("image FILE:none.npy\n", "there is no file `none.npy`"),
        ("image HEX:0\n", "not hexadecimal"),
        ("image NUMPY:uint8 [300]\n", "do not fit"),
        ("image [1, 2\n", "is no JSON"),
        (":timre tick\n", "did you mean `:timer`"),
        (":timer tick soon\n", "no interval"),
        (":meta 5\n", "metadata is an object"),
        ("//\n", "cannot be the id"),
        (":help\n", "NUMPY:uint8"),
    ]:
        terminal.type(typed)
        shown = terminal.expect(ID)
        assert words is None or words in shown
    terminal.type('a "[1, 2"\n')
    terminal.expect("INPUT a")


def test_ids_are_completed_and_lines_come_back(start: Callable[..., Terminal]) -> None:
    terminal = start()
    terminal.expect(ID)
    terminal.type("camera_image 5\n")
    terminal.expect("INPUT camera_image")
    terminal.expect(ID)
    terminal.type("cam\t 6\n")
    assert "[6]" not in terminal.expect("INPUT camera_image")
    terminal.expect(ID)
    terminal.type("\x1b[A\n")  # arrow up
    shown = terminal.expect("INPUT camera_image")
    assert "camera_image 6" in shown


TIMED = """
from dora import Node
node = Node()
while True:
    event = node.next(timeout=0.05)
    print("node got", event["type"], event.get("id"))
    if event["type"] == "INPUT" and event["id"] == "end":
        break
"""


def test_a_node_with_timeouts_goes_on_while_the_prompt_stands_and_may_end_beside_it(
    start: Callable[..., Terminal],
) -> None:
    terminal = start(TIMED)
    terminal.expect(ID)
    terminal.type("half")
    terminal.expect("node got ERROR")
    terminal.expect("node got ERROR")
    terminal.expect(ID + "half")  # what was typed stands there again
    terminal.type("way 5\n")
    terminal.expect("node got INPUT halfway")
    terminal.type(":timer end 20ms\n")
    terminal.expect("node got INPUT end")
    assert terminal.ends() == 0


ASYNC = """
import asyncio
from dora import Node

async def main():
    node = Node()
    async for event in node:
        print("async", event["type"], event.get("id"))

asyncio.run(main())
"""


def test_async_nodes_are_fed_and_ctrl_d_is_stop(start: Callable[..., Terminal]) -> None:
    terminal = start(ASYNC)
    terminal.expect(ID)
    terminal.type("a 1\n")
    terminal.expect("async INPUT a")
    terminal.type(":close a\n")
    terminal.expect("async INPUT_CLOSED a")
    terminal.expect(ID)
    terminal.type("\x04")
    terminal.expect("async STOP MANUAL")
    assert terminal.ends() == 0


def test_ctrl_c_interrupts_the_node_as_any_program(start: Callable[..., Terminal]) -> None:
    terminal = start()
    terminal.expect(ID)
    terminal.type("abc")
    terminal.expect("abc")
    terminal.sleeps()
    terminal.type("\x03")
    terminal.expect("^C\nTraceback")
    terminal.expect("KeyboardInterrupt")
    assert terminal.ends() in (130, -signal.SIGINT)


def test_with_stdout_in_a_file_messages_go_there_as_lines_and_the_terminal_shows_them(
    start: Callable[..., Terminal], tmp_path: Path
) -> None:
    terminal = start("import os\nos.dup2(os.open('sent.jsonl', 65, 420), 1)\n" + ECHO)
    terminal.expect(ID)
    terminal.type("a 5\n")
    assert "-> out  Arrow int64, 1 element" in terminal.expect(ID)
    terminal.type("\x04")
    assert terminal.ends() == 0
    assert (tmp_path / "sent.jsonl").read_text() == '{"id":"out","data":[5],"data_type":"Int64"}\n'
