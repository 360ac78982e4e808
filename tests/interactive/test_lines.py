"""A node in a pipe: lines of JSON in, lines of JSON out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from dora.node import interactive_lines

from .nodes import DEADLINE_S, environment, node_file, piped

if TYPE_CHECKING:
    from pathlib import Path


def objects(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_each_line_is_an_input_and_each_message_a_line_and_prints_go_to_stderr(
    tmp_path: Path,
) -> None:
    done = piped(
        node_file(tmp_path, "print('early')\n" + ECHO_AND_C),
        '{"id": "image", "data": [[1, 2], [3, 4]], "dtype": "uint8", "metadata": {"n": 1}}\n'
        "\n"
        '{"id": "text", "data": "x"}\n'
        '{"type": "InputClosed", "id": "text"}\n'
        '{"id": "tick"}',
    )
    assert done.returncode == 0, done.stderr
    assert objects(done.stdout) == [
        {
            "id": "out",
            "data": [[1, 2], [3, 4]],
            "dtype": "uint8",
            "shape": [2, 2],
            "metadata": {"n": 1},
        },
        {"id": "out", "data": ["x"], "data_type": "Utf8"},
        {"id": "out", "data": [], "data_type": "Null"},
    ]
    printed = done.stderr.splitlines()
    for line in ("early", "INPUT image", "INPUT_CLOSED text", "STOP ALL_INPUTS_CLOSED", "from C"):
        assert line in printed
    assert "[info] logged" in printed


ECHO_AND_C = """
import os, subprocess
from dora import Node
node = Node()
subprocess.run(["echo", "from C"], check=True)
node.log_info("logged")
for event in node:
    print(event["type"], event.get("id"))
    if event["type"] == "INPUT":
        node.send_output("out", event["value"], event["metadata"])
"""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "no JSON"),
        ('{"id": "a", "data": [1, "x"]}', "elements of one type"),
        (f'{{"id": "a", "data": {"[" * 3000}{"]" * 3000}}}', "no JSON"),
        ('{"id": "a", "metadata": {"k": {"Map": 5}}}', "metadata `k` cannot be read"),
    ],
)
def test_a_line_that_is_no_input_is_told_by_its_number_behind_the_work_before_it(
    tmp_path: Path, line: str, words: str
) -> None:
    done = piped(node_file(tmp_path), f'{{"id": "a", "data": 1}}\n\n{line}\n{{"id": "b"}}\n')
    assert done.returncode == 1
    assert [message["id"] for message in objects(done.stdout)] == ["out"]
    *_, said = done.stderr.splitlines()
    assert said.startswith("dora: stdin, line 3: ")
    assert words in said
    assert "Traceback" not in done.stderr


def test_nodes_can_be_joined_by_a_pipe_and_one_that_reads_no_more_stops_the_one_before(
    tmp_path: Path,
) -> None:
    echo = f"{sys.executable} {node_file(tmp_path)}"
    once = tmp_path / "once.py"
    once.write_text(
        "from dora import Node\n"
        "with Node() as node:\n"
        "    for event in node:\n"
        "        node.send_output('last', event['value'])\n"
        "        break\n"
    )
    done = subprocess.run(
        ["bash", "-c", f'yes \'{{"id": "a", "data": [7]}}\' | {echo} | {sys.executable} {once}'],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env=environment(),
        check=False,
    )
    assert objects(done.stdout) == [{"id": "last", "data": [7], "data_type": "Int64"}]
    assert "Traceback" not in done.stderr
    assert "STOP MANUAL" in done.stderr


ASYNC = """
import asyncio
from dora import Node

async def main():
    node = Node()
    async for event in node:
        if event["type"] == "INPUT":
            node.send_output(event["id"], event["value"])

asyncio.run(main())
"""


def test_async_nodes_read_lines_too_and_end_in_one_line_when_one_is_wrong(tmp_path: Path) -> None:
    done = piped(node_file(tmp_path, ASYNC), '{"id": "a", "data": 1}\n{"id": "b", "data": 2}\noops')
    assert [message["data"] for message in objects(done.stdout)] == [[1], [2]]
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("dora: stdin, line 3: no JSON")


def test_a_node_that_ends_while_stdin_stays_open_ends_at_once(tmp_path: Path) -> None:
    code = (
        "from dora import Node\n"
        "node = Node()\n"
        "event = node.next(timeout=0.01)\n"
        "node.send_output('out', event['type'])\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(node_file(tmp_path, code))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stderr is not None
    with process:
        assert objects(process.stdout.read())[0]["data"] == ["ERROR"]
        assert process.wait(DEADLINE_S) == 0, process.stderr.read()


@pytest.mark.parametrize("stdin", ["</dev/null", "<&-"])
def test_where_nobody_can_feed_the_node_the_error_says_what_to_do(
    tmp_path: Path, stdin: str
) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} {node_file(tmp_path)} {stdin}"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env=environment(),
        check=False,
    )
    assert done.returncode == 1
    for words in ("DORA_NODE_CONFIG", "dora run", "Node('id')", "| python"):
        assert words in done.stderr.splitlines()[-1]


def test_in_a_notebook_the_error_names_what_is_made_for_it(tmp_path: Path) -> None:
    code = "import sys\nsys.modules['ipykernel'] = sys\nfrom dora import Node\nNode()\n"
    done = piped(node_file(tmp_path, code), '{"id": "a"}')
    assert done.returncode == 1
    assert "Node.interactive()" in done.stderr.splitlines()[-1]


DRAINS = """
from dora import Node
node = Node()
seen = []
while "STOP" not in seen:
    found = [event["type"] for event in node.drain()]
    assert len(found) <= 1, "more was read than asked for"
    seen += found
print(seen)
"""


def test_a_node_that_only_drains_is_fed_too(tmp_path: Path) -> None:
    done = piped(node_file(tmp_path, DRAINS), '{"id": "a"}\n{"id": "b"}\n')
    assert done.returncode == 0, done.stderr
    assert "['INPUT', 'INPUT', 'STOP']" in done.stderr


def test_a_line_of_many_pieces_is_one_line(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.write(write, b"a\nb")
    os.write(write, b"c\n\n")
    found = interactive_lines._lines(read)
    assert [next(found), next(found), next(found)] == [b"a", b"bc", b""]
    os.write(write, b"d")
    os.close(write)
    assert list(found) == [b"d"]
    os.close(read)


BROKEN = """
import asyncio
from dora import Node
from dora.node import interactive_lines

def broken(given):
    raise ZeroDivisionError("a mistake of dora's own")

interactive_lines.read_event = broken
Node().next()
"""


def test_a_mistake_in_what_feeds_the_node_ends_it_instead_of_leaving_it_to_wait(
    tmp_path: Path,
) -> None:
    done = piped(node_file(tmp_path, BROKEN), '{"id": "a"}\n')
    assert done.returncode == 1
    assert "Node().next()" in done.stderr
    assert done.stderr.splitlines()[-1] == "ZeroDivisionError: a mistake of dora's own"


HANDLER = """
import signal
from dora import Node
node = Node()
handled = 0

def handle(*_):
    global handled
    handled += 1
    if handled <= 50:
        node.send_output("signal", handled)

signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
sent = 0
while handled < 60:
    node.send_output("loop", sent)
    sent += 1
signal.setitimer(signal.ITIMER_REAL, 0)
node.send_output("end", sent)
"""


def test_a_signal_handler_may_send_in_the_midst_of_a_send(tmp_path: Path) -> None:
    done = piped(node_file(tmp_path, HANDLER), '{"id": "a"}\n')
    assert done.returncode == 0, done.stderr
    *sent, end = objects(done.stdout)
    of = {name: [m["data"][0] for m in sent if m["id"] == name] for name in ("signal", "loop")}
    # A handler may itself be interrupted by the next one, just before it sends.
    assert sorted(of["signal"]) == list(range(1, 51))
    assert of["loop"] == list(range(end["data"][0]))
