"""A whole dataflow runs in virtual time under one coordinator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dora.errors import DescriptorError, InputFormatError, SimulationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FLOW = """
nodes:
  - id: camera
    path: camera.py
    inputs: {tick: dora/timer/millis/100}
    outputs: [image]
  - id: detector
    path: detector.py
    inputs: {image: {source: camera/image, queue_size: 1}}
    outputs: [boxes]
  - id: plot
    path: plot.py
    inputs: {boxes: detector/boxes, image: camera/image}
"""

CAMERA = """
from dora import Node
import numpy as np
node = Node()
frame = 0
for event in node:
    if event["type"] == "INPUT":
        node.send_output("image", np.full((2, 2), frame, np.uint8), {"frame": frame})
        frame += 1
"""

DETECTOR = """
import time
from dora import Node
node = Node()
for event in node:
    if event["type"] == "INPUT":
        time.sleep(0.25)
        node.send_output("boxes", event["value"].sum(keepdims=True), event["metadata"])
"""

PLOT = """
from dora import Node
node = Node()
for event in node:
    print(event["type"], event["id"], event.get("metadata", {}).get("frame"))
"""


@pytest.fixture
def flow(tmp_path: Path) -> Callable[..., Path]:
    """Writes a dataflow and its node files."""

    def write(text: str = FLOW, **files: str) -> Path:
        given = {"camera": CAMERA, "detector": DETECTOR, "plot": PLOT} | files
        for name, code in given.items():
            (tmp_path / f"{name}.py").write_text(code)
        path = tmp_path / "flow.yml"
        path.write_text(text)
        return path

    return write


def frames(ran: Any, output: str) -> list[tuple[float, int]]:
    return [(message.time_s, message.metadata["frame"]) for message in ran.messages(output)]


def test_timers_queues_and_computing_time_are_those_of_the_dataflow(
    flow: Any, run_dataflow: Any
) -> None:
    """Ten frames a second, a detector that takes 0.25 s, and only the newest frame waits for it."""
    ran = run_dataflow(flow(), until=1.0)
    assert frames(ran, "camera/image") == [(number / 10, number) for number in range(10)]
    assert frames(ran, "detector/boxes") == [(0.25, 0), (0.5, 2), (0.75, 5), (1.0, 7)]
    assert ran.outputs["detector/boxes"][1].tolist() == [[8]]
    assert ran.nodes["detector"].dropped == {"image": 5}
    assert ran.dropped == {"detector/image": 5}
    assert ran.nodes["camera"].outputs["image"][3].tolist() == [[3, 3], [3, 3]]


def test_two_runs_are_the_same_in_every_line(flow: Any, run_dataflow: Any) -> None:
    path = flow()
    first, second = (run_dataflow(path, until=0.7) for _ in range(2))
    assert first.nodes["plot"].stdout == second.nodes["plot"].stdout
    assert "STOP MANUAL" in first.nodes["plot"].stdout
    assert [(m.id, m.time_s) for m in first.sent] == [(m.id, m.time_s) for m in second.sent]


def test_a_node_can_be_played_by_the_test(flow: Any, run_dataflow: Any) -> None:
    images = [(t, "camera/image", np.full((2, 2), 9, np.uint8), {"frame": 7}) for t in (0.0, 0.5)]
    ran = run_dataflow(flow(), images)
    assert "camera" not in ran.nodes
    assert frames(ran, "detector/boxes") == [(0.25, 7), (0.75, 7)]
    assert ran.nodes["plot"].stdout.splitlines()[-2:] == [
        "INPUT_CLOSED boxes None",
        "STOP ALL_INPUTS_CLOSED None",
    ]


def test_some_of_the_nodes_can_be_run_alone(flow: Any, run_dataflow: Any) -> None:
    ran = run_dataflow(flow(), [("camera/image", np.ones((2, 2)), {"frame": 1})], nodes=["plot"])
    assert list(ran.nodes) == ["plot"]
    assert "INPUT image 1" in ran.nodes["plot"].stdout


def test_a_node_that_fails_is_told_to_its_consumers_and_to_the_test(
    flow: Any, run_dataflow: Any
) -> None:
    path = flow(detector="from dora import Node\nnode = Node()\nnode.next()\n1 / 0\n")
    with pytest.raises(SimulationError, match=r"(?s)node `detector` exited.*ZeroDivisionError"):
        run_dataflow(path, until=1.0)
    ran = run_dataflow(path, until=1.0, check=False)
    assert ran.nodes["detector"].failure == "exited with status 1"
    said = ran.nodes["plot"].stdout
    assert said.index("NODE_FAILED detector") < said.index("INPUT_CLOSED boxes")


def test_backpressure_loses_nothing_and_holds_the_sender_up(flow: Any, run_dataflow: Any) -> None:
    text = FLOW.replace("queue_size: 1}", "queue_size: 1, queue_policy: backpressure}")
    text = text.partition("  - id: plot")[0]
    camera = """
from dora import Node
import numpy as np
node = Node()
for frame in range(4):
    node.send_output("image", np.zeros(1), {"frame": frame})
"""
    ran = run_dataflow(flow(text, camera=camera))
    assert frames(ran, "detector/boxes") == [(0.25, 0), (0.5, 1), (0.75, 2), (1.0, 3)]
    assert ran.dropped == {}
    assert ran.messages("camera/image")[-1].time_s == 0.5


def test_an_input_that_is_silent_too_long_closes_and_recovers(flow: Any, run_dataflow: Any) -> None:
    text = FLOW.replace(
        "image: camera/image}", "image: {source: camera/image, input_timeout: 0.5}}"
    )
    images = [(t, "camera/image", np.zeros(1), {"frame": n}) for n, t in enumerate((0.0, 2.0))]
    ran = run_dataflow(flow(text), images, nodes=["plot"])
    said = [line.split() for line in ran.nodes["plot"].stdout.splitlines()]
    assert [kind for kind, name, _ in said if name == "image"][:4] == [
        "INPUT",
        "INPUT_CLOSED",
        "INPUT_RECOVERED",
        "INPUT",
    ]


def test_nodes_that_answer_each_other_without_end_are_refused(
    flow: Any, run_dataflow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dora.simulation.coordinator.MOST_TURNS_AT_ONCE", 50)
    text = """
nodes:
  - {id: camera, path: camera.py, inputs: {back: detector/boxes}, outputs: [image]}
  - {id: detector, path: camera.py, inputs: {image: camera/image}, outputs: [boxes]}
"""
    code = """
from dora import Node
node = Node()
output = node.node_config()["outputs"][0]
node.send_output(output, 1)
for event in node:
    node.send_output(output, 1)
"""
    with pytest.raises(SimulationError, match="never let it pass"):
        run_dataflow(flow(text, camera=code))


def test_a_node_of_operators_is_to_be_played(flow: Any, run_dataflow: Any) -> None:
    text = """
nodes:
  - {id: camera, path: camera.py, inputs: {tick: dora/timer/secs/1}, outputs: [image]}
  - id: detector
    operator: {python: detector.py, inputs: {image: camera/image}, outputs: [boxes]}
  - {id: plot, path: plot.py, inputs: {boxes: detector/op/boxes}}
"""
    path = flow(text)
    with pytest.raises(SimulationError, match="node `detector` is made of operators"):
        run_dataflow(path, until=1.0)
    ran = run_dataflow(path, [("detector/op/boxes", 1, {"frame": 5})], nodes=["plot"])
    assert "INPUT boxes 5" in ran.nodes["plot"].stdout


def test_mistakes_of_the_file_and_of_the_test_are_told(flow: Any, run_dataflow: Any) -> None:
    path = flow()
    with pytest.raises(InputFormatError, match="did you mean `camera/image`"):
        run_dataflow(path, [("camera/imag", 1)])
    with pytest.raises(SimulationError, match="did you mean `detector`"):
        run_dataflow(path, nodes=["detectr"])
    with pytest.raises(InputFormatError, match="`camera` runs"):
        run_dataflow(path, [("camera/image", 1)], nodes=["camera"])
    with pytest.raises(DescriptorError, match="camra"):
        run_dataflow(flow(FLOW.replace("camera/image}", "camra/image}")))


CLIENT = """
import asyncio, time
from dora import Node
node = Node()

def wanted(event):
    return event["metadata"].get("request_id") == "mine"

def reading():
    return node._stream.select(None, wanted)

def told(event):
    print(event and event["id"], round(time.monotonic() - 1000, 6))

with reading() as answers:
    node.send_output("ask", 1, {"request_id": "mine"})
    told(answers.wait(5.0))
    told(answers.wait(0.5))

async def ask():
    with reading() as answers:
        node.send_output("ask", 1, {"request_id": "mine"})
        told(await answers.receive(5.0))

asyncio.run(ask())
print([event["id"] for event in node].count("tick"))
"""

SERVER = """
import time
from dora import Node
node = Node()
for event in node:
    if event["type"] == "INPUT":
        time.sleep(0.25)
        node.send_output("answer", 2, event["metadata"])
"""


def test_what_reads_some_inputs_apart_waits_in_virtual_time_too(
    flow: Any, run_dataflow: Any
) -> None:
    text = """
nodes:
  - id: client
    path: camera.py
    inputs: {answer: server/answer, tick: dora/timer/secs/1}
    outputs: [ask]
  - {id: server, path: detector.py, inputs: {ask: client/ask}, outputs: [answer]}
"""
    ran = run_dataflow(flow(text, camera=CLIENT, detector=SERVER), until=3.0)
    assert ran.nodes["client"].stdout.splitlines() == [
        "answer 0.25",
        "None 0.75",
        "answer 1.0",
        "3",
    ]


def test_types_are_checked_as_in_a_dataflow(flow: Any, run_dataflow: Any) -> None:
    typed = FLOW.replace(
        "    outputs: [image]\n",
        '    outputs: [image]\n    output_types: {image: "Array[float32, (2, 2)]"}\n',
    )
    with pytest.raises(SimulationError, match=r"camera/image.*its dtype is uint8, not float32"):
        run_dataflow(flow(typed), until=0.3, env={"DORA_RUNTIME_TYPE_CHECK": "error"})


def test_receive_as_arrow_holds_in_virtual_time_too(
    run_dataflow: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "flow.yml").write_text(
        "nodes:\n  - {id: camera, path: dynamic, outputs: [image]}\n"
        "  - {id: plot, path: plot.py, outputs: [sum], "
        "inputs: {image: {source: camera/image, receive_as: arrow}}}\n"
    )
    (tmp_path / "plot.py").write_text(
        "from dora import Node\nnode = Node()\nfor event in node:\n"
        "    if event['type'] == 'INPUT':\n"
        "        node.send_output('sum', sum(event['value'].to_pylist()))\n"
    )
    run = run_dataflow(tmp_path / "flow.yml", [("camera/image", np.ones((3, 4), np.uint8))])
    assert run.nodes["plot"].outputs["sum"][0].to_pylist() == [12]
