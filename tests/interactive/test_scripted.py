"""`DORA_TEST_WITH_INPUTS` and `DORA_WRITE_EVENTS_TO`: files in, files out, in dora-rs's format."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dora import Node, NodeInitError
from dora.errors import InputFormatError
from dora.node import scripted
from dora.node.recorded import Recorder
from dora.node.stage import input_event
from dora.wire.payload import encode
from node.rig import Rigs, rigs

from .nodes import DEADLINE_S, environment, node_file, piped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENTS = [
    {"time_offset_secs": 0.05, "type": "Input", "id": "b", "data": ["late"]},
    {"time_offset_secs": 0, "type": "Input", "id": "a", "data": [1, 2], "data_type": "UInt8"},
    {"time_offset_secs": 0, "type": "Input", "id": "a", "metadata": {"k": {"Integer": 5}}},
    {
        "time_offset_secs": 0.01,
        "type": "Input",
        "id": "a",
        "data": [1, 2, 3, 4],
        "data_type": "UInt8",
        "dtype": "uint8",
        "shape": [2, 2],
    },
    {"time_offset_secs": 0.06, "type": "InputClosed", "id": "a"},
]


def write_script(folder: Path, events: Any, **more: Any) -> Path:
    path = folder / "inputs.json"
    path.write_text(json.dumps({"id": "camera", "events": events, **more}))
    return path


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rigs]:
    yield from rigs(monkeypatch)


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Makes a node of this process whose inputs are these events."""
    monkeypatch.delenv("DORA_NODE_CONFIG", raising=False)
    nodes: list[Node] = []

    def begin(events: Any, **more: Any) -> Node:
        monkeypatch.setenv("DORA_TEST_WITH_INPUTS", str(write_script(tmp_path, events, **more)))
        nodes.append(Node())
        return nodes[-1]

    yield begin
    for node in nodes:
        node.close()


def test_events_come_in_the_order_and_at_the_times_of_the_file(play: Any) -> None:
    begin = time.monotonic()
    node = play(EVENTS)
    seen = list(node)
    assert time.monotonic() - begin >= 0.06
    assert [(event["type"], event["id"]) for event in seen] == [
        ("INPUT", "a"),
        ("INPUT", "a"),
        ("INPUT", "a"),
        ("INPUT", "b"),
        ("INPUT_CLOSED", "a"),
    ]
    assert node.id == "camera"
    assert seen[1]["metadata"]["k"] == 5
    assert seen[2]["value"].tolist() == [[1, 2], [3, 4]]
    apart = seen[3]["metadata"]["timestamp"] - seen[0]["metadata"]["timestamp"]
    assert apart.total_seconds() == pytest.approx(0.05)
    assert node.next() is None


def test_a_node_that_names_itself_plays_the_file_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DORA_NODE_CONFIG", raising=False)
    monkeypatch.setenv("DORA_TEST_WITH_INPUTS", str(write_script(tmp_path, EVENTS[1:2])))
    with Node("viewer") as node:
        assert node.id == "camera"
        assert [event["type"] for event in node] == ["INPUT"]


def test_what_comes_behind_stop_is_not_handed_out(play: Any) -> None:
    node = play([{"time_offset_secs": 0, "type": "Stop"}, EVENTS[0]])
    assert [event["id"] for event in node] == ["MANUAL"]


def test_messages_are_lines_as_dora_rs_writes_them(
    play: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    node = play(EVENTS[1:4])
    for event in node:
        node.send_output("out", event["value"], event["metadata"])
    lines = [json.loads(line) for line in (tmp_path / "outputs.jsonl").read_text().splitlines()]
    assert [list(line) for line in lines[:2]] == [
        ["id", "time_offset_secs", "data", "data_type"]
    ] * 2
    offsets = [line.pop("time_offset_secs") for line in lines]
    assert offsets == sorted(offsets)
    assert lines == [
        {"id": "out", "data": [1, 2], "data_type": "UInt8"},
        {"id": "out", "data": [], "data_type": "Null"},
        {
            "id": "out",
            "data": [1, 2, 3, 4],
            "data_type": "UInt8",
            "dtype": "uint8",
            "shape": [2, 2],
        },
    ]
    monkeypatch.setenv("DORA_TEST_NO_OUTPUT_TIME_OFFSET", "1")
    monkeypatch.setenv("DORA_TEST_WRITE_OUTPUTS_TO", str(tmp_path / "named.jsonl"))
    play([]).send_output("out", pa_floats())
    assert (tmp_path / "named.jsonl").read_text() == (
        '{"id":"out","data":[1.0,"NaN",0.10000000149011612],"data_type":"Float32"}\n'
    )


def pa_floats() -> Any:
    import pyarrow as pa

    return pa.array([1.0, float("nan"), 0.1], pa.float32())


def test_an_unchanged_node_file_runs_from_a_file_of_inputs(tmp_path: Path) -> None:
    inputs = write_script(tmp_path, EVENTS[:2])
    done = piped(node_file(tmp_path), None, DORA_TEST_WITH_INPUTS=str(inputs))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["INPUT a", "INPUT b"]
    assert len((tmp_path / "outputs.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("{", "is no JSON"),
        ("[]", "holds no inputs"),
        ('{"id": "n", "events": [{"id": "a"}]}', "events[0]: `time_offset_secs`"),
        ('{"id": "n", "events": [{"id": "a", "time_offset_secs": -1}]}', "events[0]"),
        ('{"id": "n", "events": [{"id": "a", "time_offset_secs": 1e99}]}', "too late"),
        ('{"id": "n", "events": [{"time_offset_secs": 0, "type": "Stpo"}]}', "did you mean `Stop`"),
    ],
)
def test_a_file_that_holds_no_inputs_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, words: str
) -> None:
    path = tmp_path / "inputs.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputFormatError) as caught:
        scripted.read_script(path)
    assert words in str(caught.value)
    monkeypatch.delenv("DORA_NODE_CONFIG", raising=False)
    monkeypatch.setenv("DORA_TEST_WITH_INPUTS", str(path))
    with pytest.raises(NodeInitError, match="DORA_TEST_WITH_INPUTS"):
        Node()


def test_outputs_that_cannot_be_written_are_told(
    play: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DORA_TEST_WRITE_OUTPUTS_TO", str(tmp_path / "none" / "x.jsonl"))
    with pytest.raises(NodeInitError, match="DORA_TEST_WRITE_OUTPUTS_TO"):
        play([])


def test_a_real_run_is_recorded_and_replays(
    wire: Rigs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DORA_WRITE_EVENTS_TO", str(tmp_path / "made" / "here"))
    rig = wire({"image": 10, "text": 10}, timers={"tick": 10**9})
    image = np.arange(6, dtype=np.uint16).reshape(2, 3)
    rig.send("image", image, {"n": 1, "nested": {"a": [None]}})
    rig.send("text", "hello")
    rig.close_input("text")
    seen = [rig.node.next(DEADLINE_S) for _ in range(4)]
    rig.stop()
    seen.append(rig.node.next(DEADLINE_S))
    rig.close()
    path = tmp_path / "made" / "here" / "inputs-n.json"
    written = json.loads(path.read_text())
    assert list(written) == ["id", "events", "recording_status"]
    assert (written["id"], written["recording_status"]) == ("n", {"state": "clean"})
    script = scripted.read_script(path)
    assert script.whole
    assert [offset for offset, _ in script.events] == sorted(offset for offset, _ in script.events)
    replayed: list[Any] = [event for _, event in script.events]
    assert [(event["type"], event["id"]) for event in replayed] == [
        (event["type"], event["id"])
        for event in seen
        if event is not None and event["type"] != "ERROR"
    ]
    (back,) = [event for event in replayed if event["id"] == "image"]
    np.testing.assert_array_equal(back["value"], image)
    assert back["value"].dtype == image.dtype
    assert back["metadata"]["nested"] == {"a": [None]}


def test_a_recording_is_whole_json_after_every_event_and_says_so_when_it_was_cut(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DORA_WRITE_EVENTS_TO", str(tmp_path))
    recorder = Recorder("n", restart_count=2)
    path = tmp_path / "inputs-n-restart2.json"
    for count in range(4):
        script = scripted.read_script(path)
        assert len(script.events) == count
        assert not script.whole
        recorder.write(input_event("a", encode([count] * (4 - count))))
    recorder.close()
    recorder.close()
    recorder.write(input_event("a", encode(1)))
    assert scripted.read_script(path).whole
    assert len(scripted.read_script(path).events) == 4


def test_a_folder_that_cannot_be_made_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DORA_WRITE_EVENTS_TO", str(tmp_path / "file" / "x"))
    with pytest.raises(NodeInitError, match="DORA_WRITE_EVENTS_TO"):
        Recorder("n")


def test_a_disk_that_is_full_ends_the_recording_and_not_the_node(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DORA_WRITE_EVENTS_TO", str(tmp_path))
    recorder = Recorder("n")

    def full(*_arguments: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    for _ in range(2):
        recorder.write(input_event("a", encode(1)))
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "No space left" in caplog.text


def test_a_disk_that_takes_only_a_part_leaves_the_recording_readable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DORA_WRITE_EVENTS_TO", str(tmp_path))
    recorder = Recorder("n")
    recorder.write(input_event("a", encode(1)))
    write, room = os.pwrite, 300

    def short(fd: int, text: bytes, offset: int) -> int:
        return write(fd, text[:room], offset)

    monkeypatch.setattr(os, "pwrite", short)
    recorder.write(input_event("a", encode([5] * 1000)))
    recorder.write(input_event("a", encode(2)))
    assert "No space left" in caplog.text
    assert len(scripted.read_script(tmp_path / "inputs-n.json").events) == 1


SELF_KILLED = """
import os, signal
from dora import Node
node = Node()
node.next()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_recorded_dataflow_leaves_what_a_killed_node_got(tmp_path: Path) -> None:
    node_file(tmp_path, SELF_KILLED)
    (tmp_path / "flow.yml").write_text(
        "nodes:\n  - id: dies\n    path: node_under_test.py\n"
        "    inputs:\n      tick: dora/timer/millis/10\n"
    )
    folder = tmp_path / "events"
    command = "import sys; from dora.cli.main import main; sys.exit(main())"
    subprocess.run(
        [sys.executable, "-c", command, "run", "flow.yml"],
        cwd=tmp_path,
        env=environment(DORA_WRITE_EVENTS_TO=str(folder)),
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )
    script = scripted.read_script(folder / "inputs-dies.json")
    assert [event["type"] for _, event in script.events] == ["INPUT"]
    assert not script.whole
    done = piped(
        tmp_path / "node_under_test.py",
        None,
        DORA_TEST_WITH_INPUTS=str(folder / "inputs-dies.json"),
    )
    assert done.returncode == -signal.SIGKILL
    assert "cut short" in done.stderr
