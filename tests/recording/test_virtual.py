"""Replays in virtual time: clocks and timers follow the recording, and each replay is the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dora.cli.main import main
from dora.recording.reader import Recording

from .messages import SECOND, START, message
from .replaying import dora, numbered, record, write_flow

if TYPE_CHECKING:
    from pathlib import Path

MS = 10**6
FLOW = """\
nodes:
  - id: camera
    path: camera.py
    outputs: [image]
  - id: worker
    path: worker.py
    inputs:
      image: camera/image
      tick: dora/timer/millis/100
    outputs: [echo, clock]
  - id: late
    path: late.py
    inputs: {echo: worker/echo}
    outputs: [sum]
"""
WORKER = """\
import time
import uuid
from dora import Node

node = Node()
for event in node:
    if event["type"] != "INPUT":
        continue
    if event["id"] == "image":
        node.send_output("echo", event["value"], event["metadata"])
        assert event["metadata"]["timestamp"] == node.timestamp()
    else:
        facts = {"at": node.timestamp(), "of": node.dataflow_id()}
        node.send_output("clock", time.time_ns(), facts)
print("worker is done")
"""
LATE = """\
import time
from dora import Node

node = Node()
for event in node:
    if event["type"] == "INPUT":
        time.sleep(0.05)
        node.send_output("sum", int(event["value"].sum()))
        node.send_service_request("sum", [1])
"""


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    flow = write_flow(tmp_path / "flow", FLOW, worker=WORKER, late=LATE)
    images = [np.full((20, 20), number, np.uint8) for number in range(20)]
    return record(tmp_path / "flow.mcap", flow, numbered("camera/image", images, 33 * MS))


def test_two_replays_send_the_same_byte_for_byte(tmp_path: Path, recording: Path) -> None:
    outputs = [tmp_path / "one.mcap", tmp_path / "two.mcap"]
    ran = [dora("replay", recording, "--deterministic", "-o", output) for output in outputs]
    assert ran[0].returncode == 0, ran[0].stdout
    assert ran[0].stdout == ran[1].stdout
    found = []
    for output in outputs:
        with Recording(output) as opened:
            found.append(
                [
                    (one.topic, one.header, bytes(one.view), one.metadata, one.sent_ns)
                    for one in opened.messages()
                ]
            )
    assert found[0] == found[1]
    assert {topic for topic, *_ in found[0]} == {"worker/echo", "worker/clock", "late/sum"}
    assert re.findall(r"^(\S+) +(\d+) +[0-9a-f]{32}$", ran[0].stdout, re.M) == [
        ("worker/echo", "20"),
        ("worker/clock", "7"),
        ("late/sum", str(sum(topic == "late/sum" for topic, *_ in found[0]))),
    ]
    assert "worker: worker is done" in ran[0].stdout


def test_clocks_and_timers_follow_the_recorded_time(tmp_path: Path, recording: Path) -> None:
    output = tmp_path / "out.mcap"
    assert dora("replay", recording, "--deterministic", "-o", output).returncode == 0
    with Recording(recording) as before, Recording(output) as after:
        sent = [(bytes(m.view), m.header, m.metadata, m.sent_ns) for m in before.messages()]
        echoed = list(after.messages(["worker/echo"]))
        ticks = list(after.messages(["worker/clock"]))
    assert [(bytes(m.view), m.header, m.metadata, m.sent_ns) for m in echoed] == sent
    assert [tick.sent_ns for tick in ticks] == [START + n * 100 * MS for n in range(7)]
    assert [tick.value()[0].as_py() for tick in ticks] == [tick.sent_ns for tick in ticks]
    assert ticks[3].metadata_dict()["at"].timestamp() == START / SECOND + 0.3


def test_what_the_nodes_sent_can_be_replayed_in_turn(
    tmp_path: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = tmp_path / "outcome.mcap"
    before = dora("replay", recording, "--deterministic", "-o", outcome)
    again = dora("replay", outcome, "--replace", "worker", "--deterministic")
    assert again.returncode == 0, again.stdout
    fingerprint = re.compile(r"^late/sum +(.*)$", re.M)
    assert fingerprint.findall(again.stdout) == fingerprint.findall(before.stdout)
    assert main(["replay", str(recording), "--deterministic", "-o", str(outcome)]) == 1
    assert "--force" in capsys.readouterr().err


def test_a_node_that_fails_is_told_with_its_traceback(tmp_path: Path) -> None:
    flow = write_flow(tmp_path / "flow", FLOW, worker="1 / 0", late=LATE)
    recording = record(tmp_path / "flow.mcap", flow, [message("camera/image", 1)])
    ran = dora("replay", recording, "--deterministic")
    assert ran.returncode == 1
    assert "node `worker` exited with status 1" in ran.stdout
    assert "ZeroDivisionError" in ran.stdout


def test_operators_are_told_to_be_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flow = write_flow(
        tmp_path / "flow",
        "nodes:\n"
        "  - {id: camera, path: camera.py, outputs: [image]}\n"
        "  - {id: worker, operator: {python: op.py, inputs: {image: camera/image}}}\n",
        op="class Operator:\n    pass\n",
    )
    recording = record(tmp_path / "flow.mcap", flow, [message("camera/image", 1)])
    assert main(["replay", str(recording), "--deterministic"]) == 1
    assert "node `worker` is made of operators" in capsys.readouterr().err
