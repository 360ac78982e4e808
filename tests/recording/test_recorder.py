"""Recording real dataflows: nothing is lost, from the first message to the last."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from daemon.live import SINK, Live, counter, write
from daemon.waiting import DEADLINE_S, wait_until
from dora.errors import DoraError
from dora.recording.options import RecordOptions
from dora.recording.reader import Recording
from dora.recording.recorder import Recorder
from dora.wire import visits
from monitor.tapped import DATAFLOW, TappedDaemon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dora.recording.writer import RecordingWriter


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> Iterator[TappedDaemon]:
    daemon = TappedDaemon(monkeypatch)
    yield daemon
    daemon.close()


def recorder(folder: Path, **how: Any) -> Recorder:
    return Recorder(RecordOptions(path=folder / "r.mcap", **how))


def ended(recording: Recorder) -> None:
    """Wait for the end, which must be a good one."""
    assert recording.wait(DEADLINE_S)
    assert recording.problem is None


def test_all_outputs_are_recorded_until_the_dataflow_ends(
    flow: TappedDaemon, tmp_path: Path
) -> None:
    recording = recorder(tmp_path)
    recording.join(DATAFLOW)
    for number in range(100):
        flow.send("image", np.full((40, 50), number, "u2"), {"n": number})
        flow.send("pose", [number])
    flow.close()
    ended(recording)
    assert recording.lost == {}
    with Recording(tmp_path / "r.mcap") as read:
        images = list(read.messages(["cam/image"]))
        poses = list(read.messages(["cam/pose"]))
    assert [one.metadata_dict()["n"] for one in images] == list(range(100))
    assert all((one.value() == n).all() for n, one in enumerate(images))
    assert [one.value().to_pylist() for one in poses] == [[number] for number in range(100)]
    assert [one.sequence for one in images] == list(range(1, 101))
    assert all(0 < one.sent_ns <= one.recorded_ns for one in images)
    assert len({one.recorded_ns for one in [*images, *poses]}) == 200


def test_only_the_outputs_that_were_named_are_recorded(flow: TappedDaemon, tmp_path: Path) -> None:
    recording = recorder(tmp_path, topics=("cam/pose",))
    recording.join(DATAFLOW)
    flow.send("image", 1)
    flow.send("pose", 2)
    flow.close()
    ended(recording)
    with Recording(tmp_path / "r.mcap") as read:
        assert [topic.name for topic in read.topics] == ["cam/pose"]


def test_an_output_that_is_not_there_is_told_and_leaves_no_file(
    flow: TappedDaemon, tmp_path: Path
) -> None:
    with pytest.raises(DoraError, match=r"no output `cam/imge`.*did you mean `cam/image`"):
        recorder(tmp_path, topics=("cam/imge",)).join(DATAFLOW)
    assert list(tmp_path.iterdir()) == []


def test_what_was_sent_before_the_stop_is_recorded(flow: TappedDaemon, tmp_path: Path) -> None:
    recording = recorder(tmp_path)
    recording.join(DATAFLOW)
    for number in range(20):
        flow.send("image", number)
    recording.stop()
    ended(recording)
    with Recording(tmp_path / "r.mcap") as read:
        assert len(list(read.messages())) == 20


def test_messages_of_a_node_that_came_back_are_recorded_on(
    flow: TappedDaemon, tmp_path: Path
) -> None:
    recording = recorder(tmp_path)
    recording.join(DATAFLOW)
    for number in range(3):
        flow.send("image", np.full(5000, number))
        flow.restart()
    flow.close()
    ended(recording)
    with Recording(tmp_path / "r.mcap") as read:
        assert [int(one.value()[0]) for one in read.messages()] == [0, 1, 2]
    assert recording.lost == {}


def test_a_lossy_recorder_counts_what_it_had_no_room_for(
    flow: TappedDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = recorder(tmp_path, lossy=True, queue_size=4, buffer_bytes=1)
    writing = threading.Event()
    write_batches = recording._write_batches

    def late(writer: RecordingWriter) -> None:
        assert writing.wait(DEADLINE_S)
        write_batches(writer)

    monkeypatch.setattr(recording, "_write_batches", late)
    recording.join(DATAFLOW)
    recording._gaps.whole = True  # nothing was sent before
    for number in range(50):
        flow.send("image", np.zeros(1000), {"n": number})
    flow.close()
    recording._threads[0].join(DEADLINE_S)
    assert not recording._threads[0].is_alive()
    writing.set()
    ended(recording)
    with Recording(tmp_path / "r.mcap") as read:
        kept = len(list(read.messages()))
        assert read.losses == recording.lost
    assert kept >= 1
    assert kept + sum(recording.lost.values()) == 50


SENDER = """
from dora import Node
import numpy as np
node = Node()
for number in range(200):
    node.send_output("out", np.full(3000, number), {"n": number, "flush": True})
"""


def numbers(path: Path) -> list[int]:
    with Recording(path) as read:
        assert read.losses == {}
        return [one.metadata_dict()["n"] for one in read.messages()]


def test_a_full_buffer_makes_the_sender_wait_and_nothing_is_lost(tmp_path: Path) -> None:
    recording = recorder(tmp_path, buffer_bytes=50_000, queue_size=1)
    with Live(tmp_path, {"cam": (SENDER, {"outputs": ["out"]})}, held=True) as live:
        recording.join(live.server.described().id)
        live.allow_start()
        live.wait_ended()
        ended(recording)
    assert numbers(tmp_path / "r.mcap") == list(range(200))
    with Recording(tmp_path / "r.mcap") as read:
        assert b'"cam"' in read.attachments["dataflow.yml"]
        assert read.descriptor is not None
        assert read.descriptor_path == tmp_path / "flow.yml"


def test_nodes_of_a_held_dataflow_start_only_when_they_are_let(tmp_path: Path) -> None:
    with Live(tmp_path, {"cam": (counter(), {"outputs": ["out"]})}, held=True) as live:
        live.until(lambda: live.state("cam").state == "waiting", "the node waits")
        assert live.server.awaited() == (1, [])
        live.allow_start()
        live.heard("counter")


def test_nodes_that_are_killed_and_nodes_that_come_later_are_recorded(tmp_path: Path) -> None:
    keys = {"outputs": ["out"], "restart_policy": "always"}
    recording = recorder(tmp_path)
    with Live(tmp_path, {"cam": (counter(2000), keys)}) as live:
        live.heard("counter")
        recording.join(live.server.described().id)
        pid = live.state("cam").pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        live.heard("counter")
        path = write(tmp_path, "late", counter(100).replace('"sent', '"late-sent'))
        late = {"id": "late", "path": path, "outputs": ["out"]}
        live.ask(visits.AskAdd(live.addition(late)))
        live.until(lambda: recording.figures().messages > 100 and "late/out" in recording.topics)
        recording.stop()
        ended(recording)
    with Recording(tmp_path / "r.mcap") as read:
        cam = [one.metadata_dict()["n"] for one in read.messages(["cam/out"])]
        late = [one.metadata_dict()["n"] for one in read.messages(["late/out"])]
    gaps = [b - a for a, b in pairwise(cam)]
    assert set(gaps) <= {0, 1}  # one that was sent is sent again when its number was not kept
    assert gaps.count(0) <= 1
    assert late == list(range(late[0], late[0] + len(late)))


def test_a_dataflow_that_is_recorded_ends_as_it_would_by_itself(tmp_path: Path) -> None:
    recording = recorder(tmp_path)
    nodes = {
        "cam": (SENDER, {"outputs": ["out"]}),
        "sink": (SINK, {"inputs": {"in": {"source": "cam/out", "queue_size": 1000}}}),
    }
    with Live(tmp_path, nodes, held=True) as live:
        recording.join(live.server.described().id)
        live.allow_start()
        assert live.wait_ended().ok
        ended(recording)


GUEST = """
from dora import Node
with Node("guest") as node:
    while True:
        node.send_output("out", [1])
        node.next(timeout=0.02)
"""


def test_a_dynamic_node_that_left_and_comes_back_is_recorded_on(tmp_path: Path) -> None:
    recording = recorder(tmp_path)
    nodes = {
        "idle": (SINK, {"inputs": {"tick": "dora/timer/secs/1"}}),
        "guest": ("", {"path": "dynamic", "outputs": ["out"]}),
    }
    with Live(tmp_path, nodes) as live:
        recording.join(live.server.described().id)
        for visit in "first", "second":
            before = recording.figures().messages
            guest = subprocess.Popen([sys.executable, "-c", GUEST])
            try:
                wait_until(  # more than can still be on their way of the visit before
                    lambda before=before: recording.figures().messages > before + 5,
                    f"messages of the {visit} visit",
                )
            finally:
                guest.kill()
                guest.wait()
        recording.stop()
        ended(recording)
