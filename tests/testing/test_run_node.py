"""A node file runs on its own in virtual time, and a test sees all that it does."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from dora.errors import InputFormatError, PayloadTypeError, SimulationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def node_file(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a node's code into a file."""

    def write(code: str) -> Path:
        file = tmp_path / "node.py"
        file.write_text(f"from dora import Node\n{code}")
        return file

    return write


RECORD = """
node = Node()
for event in node:
    print(event["type"], event.get("id"), (node.timestamp().timestamp() - 1577836800))
"""

ECHO = """
node = Node()
for event in node:
    if event["type"] == "INPUT":
        node.send_output("out", event["value"], event["metadata"])
"""


def lines(ran: Any) -> list[str]:
    return list(ran.stdout.splitlines())


@pytest.mark.parametrize(
    ("value", "arrived", "type_info"),
    [
        (np.arange(6, dtype=np.uint8).reshape(2, 3), np.ndarray, "uint8[2, 3]"),
        (pa.array([1, None]), pa.Int64Array, "int64"),
        (b"abc", pa.UInt8Array, "uint8"),
        ("text", pa.StringArray, "string"),
        ({"x": [1.5]}, pa.StructArray, "struct<x: list<item: double>>"),
    ],
)
def test_values_travel_as_in_a_dataflow(
    value: Any, arrived: type, type_info: str, node_file: Any, run_node: Any
) -> None:
    ran = run_node(node_file(ECHO), [("in", value, {"nested": {"a": [1, None]}})])
    (message,) = ran.sent
    assert type(message.value) is arrived
    assert message.metadata["type_info"] == type_info
    assert message.metadata["nested"] == {"a": [1, None]}
    assert message.id == "out"
    if isinstance(value, np.ndarray):
        np.testing.assert_array_equal(message.value, value)


def test_inputs_with_times_arrive_at_them_and_time_costs_nothing(
    node_file: Any, run_node: Any
) -> None:
    started = time.monotonic()
    ran = run_node(node_file(RECORD), [(3600.0, "b", 2), (0.5, "a", 1)])
    assert lines(ran) == [
        "INPUT a 0.5",
        "INPUT b 3600.0",
        "INPUT_CLOSED a 3600.0",
        "INPUT_CLOSED b 3600.0",
        "STOP ALL_INPUTS_CLOSED 3600.0",
    ]
    assert ran.time_s == 3600
    assert time.monotonic() - started < 30


def test_inputs_without_times_come_when_the_node_waits_for_more(
    node_file: Any, run_node: Any
) -> None:
    ran = run_node(node_file(ECHO), [("in", number) for number in range(30)])
    assert [value[0].as_py() for value in ran.outputs["out"]] == list(range(30))
    assert ran.dropped == {}


def test_timestamps_are_virtual_on_both_sides(node_file: Any, run_node: Any) -> None:
    code = """
import time
node = Node()
event = node.next()
assert event["metadata"]["timestamp"] == node.timestamp()
print(time.time() - 1577836800, time.monotonic())
node.send_output("out", 1)
"""
    ran = run_node(node_file(code), [(2.5, "in", 1)])
    assert ran.sent[0].metadata["timestamp"] == START + timedelta(seconds=2.5)
    assert ran.sent[0].time_s == 2.5
    assert lines(ran) == ["2.5 1002.5"]


def test_timers_tick_until_the_end_and_a_tick_missed_is_skipped(
    node_file: Any, run_node: Any
) -> None:
    code = """
import time
node = Node()
for event in node:
    print(event["id"], event.get("metadata", {}).get("type_info"), time.monotonic() - 1000)
    if time.monotonic() == 1000.5:
        time.sleep(1.2)
"""
    ran = run_node(node_file(code), timers={"tick": 0.5}, until=3.0)
    ticks = [float(line.split()[2]) for line in lines(ran) if line.startswith("tick null")]
    assert ticks == pytest.approx([0, 0.5, 1.7, 2.0, 2.5])
    assert lines(ran)[-1].startswith("MANUAL")


def test_a_timeout_passes_in_virtual_time(node_file: Any, run_node: Any) -> None:
    code = """
import time
node = Node()
for timeout in (1.0, 0.1, 5.0):
    event = node.next(timeout=timeout)
    print(event["type"], round(time.monotonic() - 1000, 6))
"""
    ran = run_node(node_file(code), [(3.0, "in", 1)])
    assert lines(ran) == ["ERROR 1.0", "ERROR 1.1", "INPUT 3.0"]


def test_sleeping_takes_virtual_time(node_file: Any, run_node: Any) -> None:
    code = """
import time
node = Node()
for number in range(3):
    time.sleep(10)
    node.send_output("out", number)
"""
    ran = run_node(node_file(code))
    assert [message.time_s for message in ran.sent] == [10, 20, 30]


def test_queues_hold_what_they_are_given_and_drop_the_oldest(node_file: Any, run_node: Any) -> None:
    code = """
import time
node = Node()
time.sleep(5)
for event in node:
    if event["type"] == "INPUT":
        print(event["id"], event["value"][0])
"""
    inputs = [(number / 10, name, number) for number in range(6) for name in ("a", "b")]
    ran = run_node(node_file(code), inputs, queue_size={"a": 1, "b": 2})
    assert lines(ran) == ["a 5", "b 4", "b 5"]
    assert ran.dropped == {"a": 5, "b": 4}


def test_a_node_that_only_looks_lets_time_pass_too(node_file: Any, run_node: Any) -> None:
    code = """
node = Node()
looks = 0
while (event := node.try_recv()) is None:
    looks += 1
print(event["id"], looks < 2000)
"""
    ran = run_node(node_file(code), [(1.0, "in", 1)])
    assert lines(ran) == ["in True"]


ASYNC = """
import asyncio, time

async def beat(node):
    for number in range(3):
        await asyncio.sleep(1.0)
        node.send_output("beat", number)

async def main():
    node = Node()
    task = asyncio.create_task(beat(node))
    event = await node.recv_async(timeout=0.5)
    print(event["type"], time.monotonic() - 1000)
    async for event in node:
        if event["type"] == "INPUT":
            doubled = await asyncio.to_thread(lambda: 2 * event["value"])
            node.send_output("out", doubled)
    await task

asyncio.run(main())
"""


def test_asyncio_runs_in_virtual_time(node_file: Any, run_node: Any) -> None:
    ran = run_node(node_file(ASYNC), [(t, "in", np.array([t])) for t in (0.75, 1.5, 2.25)])
    assert lines(ran) == ["ERROR 0.5"]
    assert [(message.id, message.time_s) for message in ran.sent] == [
        ("out", 0.75),
        ("beat", 1.0),
        ("out", 1.5),
        ("beat", 2.0),
        ("out", 2.25),
        ("beat", 3.0),
    ]
    assert [value.tolist() for value in ran.outputs["out"]] == [[1.5], [3.0], [4.5]]


def test_another_thread_may_send_and_sleep(node_file: Any, run_node: Any) -> None:
    code = """
import threading, time
node = Node()

def camera():
    for number in range(3):
        time.sleep(1)
        node.send_output("out", number)

thread = threading.Thread(target=camera)
thread.start()
print(node.next()["id"])
thread.join()
"""
    ran = run_node(node_file(code), [(10.0, "in", 1)])
    assert lines(ran) == ["in"]
    assert len(ran.outputs["out"]) == 3


def test_a_node_that_raises_fails_the_test_with_its_traceback(
    node_file: Any, run_node: Any
) -> None:
    code = """
node = Node()
for event in node:
    if event["type"] == "INPUT":
        shape = event["value"].no_such_thing
"""
    with pytest.raises(SimulationError) as caught:
        run_node(node_file(code), [("in", 1)])
    message = str(caught.value)
    assert "node `node` exited with status 1" in message
    assert 'event["value"].no_such_thing' in message
    assert "AttributeError" in message
    assert "mend: the value is an Arrow array" in message


def test_a_failure_may_be_what_is_tested(node_file: Any, run_node: Any) -> None:
    ran = run_node(node_file("node = Node()\nraise SystemExit(3)"), check=False)
    assert ran.failure == "exited with status 3"


def test_a_file_that_never_makes_a_node_is_told_of(node_file: Any, run_node: Any) -> None:
    with pytest.raises(SimulationError, match="without ever making a `Node\\(\\)`"):
        run_node(node_file("print('hello')"))


def test_a_node_that_hangs_is_ended_and_its_stack_is_shown(node_file: Any, run_node: Any) -> None:
    code = """
def stuck_here():
    while True:
        pass
node = Node()
node.next()
stuck_here()
"""
    with pytest.raises(SimulationError) as caught:
        run_node(node_file(code), [(1.5, "in", 1)], hang_s=1.0)
    message = str(caught.value)
    assert "node `node` hangs" in message
    assert "1.5 s of virtual time" in message
    assert "in stuck_here" in message


def test_a_process_left_behind_fails_the_test(node_file: Any, run_node: Any) -> None:
    code = """
import subprocess
node = Node()
subprocess.Popen(["sleep", "600"], start_new_session=True)
"""
    with pytest.raises(SimulationError, match=r"left behind.*sleep 600"):
        run_node(node_file(code))


def test_a_node_that_never_stops_is_ended_after_the_grace(node_file: Any, run_node: Any) -> None:
    code = """
import time
node = Node()
while True:
    time.sleep(1)
    node.send_output("out", 1)
"""
    ran = run_node(node_file(code), until=5.0)
    assert ran.failure is None
    assert ran.messages("out")[-1].time_s <= 15


def test_a_simulation_without_an_end_is_refused(node_file: Any, run_node: Any) -> None:
    with pytest.raises(SimulationError, match="until="):
        run_node(node_file(RECORD), timers={"tick": 10.0})


def test_logs_and_printed_lines_are_told_apart(node_file: Any, run_node: Any) -> None:
    code = """
import logging
node = Node()
node.log_warn("battery low")
logging.getLogger("arm").info("moved")
print("plain")
"""
    ran = run_node(node_file(code))
    assert [(entry["level"], entry["message"]) for entry in ran.logs] == [
        ("warn", "battery low"),
        ("info", "moved"),
    ]
    assert ran.stdout == "plain\n"


def test_arguments_and_variables_reach_the_node(node_file: Any, run_node: Any) -> None:
    code = "import os, sys\nnode = Node()\nprint(sys.argv[1:], os.environ['MODEL'])"
    ran = run_node(node_file(code), args=["--fast"], env={"MODEL": "tiny"})
    assert lines(ran) == ["['--fast'] tiny"]


def test_two_runs_give_the_same(node_file: Any, run_node: Any) -> None:
    code = """
import time
node = Node()
for event in node:
    node.send_output("out", f"{event['type']} {time.time()} {set('abc')} {node.timestamp()}")
"""
    inputs = [(number / 7, name, number) for number in range(5) for name in "abc"]
    runs = [run_node(node_file(code), inputs, timers={"tick": 0.3}, until=2.0) for _ in range(2)]
    first, second = (
        [(m.id, m.time_s, m.value.to_pylist(), m.metadata) for m in run.sent] for run in runs
    )
    assert first == second
    assert len(first) > 15


def test_a_recording_of_a_real_run_is_replayed(
    tmp_path: Path, node_file: Any, run_node: Any
) -> None:
    (tmp_path / "inputs-node.json").write_text(
        '{"id": "node", "events": ['
        '{"time_offset_secs": 0.5, "type": "Input", "id": "a", "data": [1, 2]},'
        '{"time_offset_secs": 1.5, "type": "InputClosed", "id": "a"},'
        '{"time_offset_secs": 2.5, "type": "Input", "id": "b", "data": "x"},'
        '{"time_offset_secs": 3.0, "type": "Stop"}]}'
    )
    ran = run_node(node_file(RECORD), tmp_path / "inputs-node.json")
    assert lines(ran)[:3] == ["INPUT a 0.5", "INPUT_CLOSED a 1.5", "INPUT b 2.5"]


@pytest.mark.parametrize(
    ("inputs", "error", "words"),
    [
        ([("in",)], InputFormatError, r"inputs\[0\]: a tuple of 1 is no input"),
        ([("in", 1), (0.5, "in", 1)], InputFormatError, "1 of 2 inputs have a time"),
        ([(-1.0, "in", 1)], InputFormatError, "-1.0 is no time"),
        ([("in", object())], PayloadTypeError, r"inputs\[0\]"),
        ([("tick", 1)], InputFormatError, "`tick` is a timer"),
        ([("no way", 1)], InputFormatError, "cannot be the id"),
        ("in", InputFormatError, "a list, or a `Path`"),
    ],
)
def test_wrong_inputs_are_told_before_anything_runs(
    inputs: Any, error: type[Exception], words: str, node_file: Any, run_node: Any
) -> None:
    with pytest.raises(error, match=words):
        run_node(node_file(ECHO), inputs, timers={"tick": 1.0})


def test_asking_for_an_output_that_was_not_sent_names_those_that_were(
    node_file: Any, run_node: Any
) -> None:
    ran = run_node(node_file(ECHO), [("in", 1)])
    with pytest.raises(KeyError, match="did you mean `out`"):
        ran.outputs["outt"]


def test_nothing_stays_open(node_file: Any, run_node: Any) -> None:
    path = node_file(ECHO)
    run_node(path, [("in", 1)])
    before = os.listdir("/proc/self/fd")
    run_node(path, [("in", 1)])
    with pytest.raises(SimulationError):
        run_node(node_file("Node()\n1/0"))
    assert os.listdir("/proc/self/fd") == before


def test_functions_of_time_that_were_imported_first_follow_virtual_time_too(
    node_file: Any, run_node: Any, tmp_path: Path
) -> None:
    (tmp_path / "driver.py").write_text("from time import sleep as pause\n")
    code = """
node = Node()
sleep(2)
driver.pause(1)
print(monotonic() - 1000, now().timestamp() - 1577836800)
"""
    file = node_file(code)
    file.write_text(
        "import driver\nfrom time import monotonic, sleep\n"
        f"{file.read_text()}now = node.timestamp\n".replace("now()", "node.timestamp()")
    )
    assert lines(run_node(file)) == ["3.0 3.0"]


def test_a_forked_child_has_a_clock_that_goes_by_itself(node_file: Any, run_node: Any) -> None:
    code = """
import os, time
node = Node()
time.sleep(5)
if not (child := os.fork()):
    begin, real = time.monotonic(), time.perf_counter()
    while time.monotonic() - begin < 0.05:
        time.sleep(0.01)
    passed = time.perf_counter() - real
    os._exit(0 if begin >= 1005 and 0.05 <= passed else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), time.monotonic())
"""
    assert lines(run_node(node_file(code), hang_s=10.0)) == ["0 1005.0"]
