"""Recorded dataflows are replayed for real: the same values, types and metadata, at their pace."""

from __future__ import annotations

import pickle
import re
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from dora.cli.main import main

from .messages import START, message
from .replaying import DEADLINE_S, DORA, FLOW, SINK, dora, interleaved, numbered, record, write_flow

if TYPE_CHECKING:
    from pathlib import Path

    from dora.recording.message import RecordedMessage

MS = 10**6
IMAGES = [np.full((40, 30, 3), number, np.uint8) for number in range(10)]
FACTS: list[Any] = [
    "text",
    np.arange(100_000, dtype=np.float64),
    {"name": "struct", "list": [1, 2, 3]},
    pa.array([1, None, 3]),
    b"bytes",
    True,
    np.zeros((0, 3), np.int16),
    np.array([(1, 2.5)], [("a", "i4"), ("b", "f8")]),
]


@pytest.fixture
def messages() -> list[RecordedMessage]:
    facts = numbered("camera/facts", FACTS, 11 * MS, 3 * MS)
    facts.append(message("camera/facts", 1, {"request_id": "r", "long": "x" * 5000}, sent_ns=START))
    return interleaved(numbered("camera/image", IMAGES, 10 * MS), facts)


@pytest.fixture
def recording(tmp_path: Path, messages: list[RecordedMessage]) -> Path:
    return record(tmp_path / "flow.mcap", write_flow(tmp_path / "flow"), messages)


def received(tmp_path: Path) -> list[tuple[str, dict[str, Any], Any]]:
    got: list[Any] = pickle.loads((tmp_path / "flow" / "got.pickle").read_bytes())
    return got


def expected(messages: list[RecordedMessage], port: str) -> list[tuple[str, dict[str, Any], Any]]:
    found = []
    for one in messages:
        if one.topic == f"camera/{port}":
            value = one.value()
            numpy = isinstance(value, np.ndarray)
            plain = (value.shape, value.tobytes()) if numpy else value.to_pylist()
            found.append((port, one.metadata_dict() | {"type_info": one.type_text}, plain))
    return found


@pytest.mark.parametrize("flags", [(), ("--max",), ("--speed", "0.5")])
def test_values_types_and_metadata_are_the_same(
    tmp_path: Path, recording: Path, messages: list[RecordedMessage], flags: tuple[str, ...]
) -> None:
    ran = dora("replay", recording, *flags)
    assert ran.returncode == 0, ran.stdout
    got = received(tmp_path)
    for port in ("image", "facts"):
        assert [one for one in got if one[0] == port] == expected(messages, port)
    assert "replayed 19 messages" in ran.stdout


def test_recorded_gaps_are_kept(tmp_path: Path) -> None:
    flow = write_flow(tmp_path / "flow")
    long = numbered("camera/image", IMAGES, 100 * MS)
    recording = record(tmp_path / "flow.mcap", flow, long)
    for flags, recorded_s in (((), 0.9), (("--speed", "3"), 0.3), (("--start", "0.5"), 0.4)):
        ran = dora("replay", recording, *flags)
        found = re.search(r"in (\S+) s; off the recorded time by (\S+) ms \(p50\)", ran.stdout)
        assert found, ran.stdout
        assert float(found[1]) >= recorded_s - 0.1
        assert float(found[2]) < 100


def test_a_part_is_replayed(tmp_path: Path, recording: Path) -> None:
    ran = dora("replay", recording, "--start", "0.02", "--end", "0.05", "--max")
    assert ran.returncode == 0, ran.stdout
    assert [facts["number"] for port, facts, _ in received(tmp_path) if port == "image"] == [
        2,
        3,
        4,
    ]


def test_with_max_readers_lose_nothing_whatever_their_queue(tmp_path: Path) -> None:
    flow = FLOW.replace("queue_size: 100", "queue_size: 1")
    images = [np.zeros(10, np.uint8)] * 2000
    written = write_flow(tmp_path / "flow", flow)
    recording = record(tmp_path / "flow.mcap", written, numbered("camera/image", images, MS))
    ran = dora("replay", recording, "--max")
    assert len(received(tmp_path)) == 2000, ran.stdout
    assert "no drops" in ran.stdout


def test_a_loop_begins_anew_until_it_is_stopped(tmp_path: Path, recording: Path) -> None:
    command = [DORA, "replay", recording, "--loop", "--speed", "4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert any("got 60" in line for line in running.stdout)
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=DEADLINE_S)
    assert running.returncode == 0
    numbers = [facts["number"] for port, facts, _ in received(tmp_path) if port == "image"]
    assert numbers[:23] == [*range(10), *range(10), 0, 1, 2]


def test_step_by_step_one_message_goes_for_each_line(tmp_path: Path, recording: Path) -> None:
    ran = dora("replay", recording, "--step", input="\n2\nnonsense\n\nq\n")
    assert ran.returncode == 0, ran.stdout
    told = re.findall(r"^ +(\S+) s  (camera/\w+)  (\S+)", ran.stdout, re.M)
    assert told == [
        ("0.000000", "camera/image", "uint8[40,"),
        ("0.000000", "camera/facts", "int64"),
        ("0.003000", "camera/facts", "string"),
        ("0.010000", "camera/image", "uint8[40,"),
    ]
    assert len(received(tmp_path)) == 4
    assert "`nonsense` is neither empty" in ran.stdout


def test_steps_go_through_all_nodes_in_recorded_order(tmp_path: Path) -> None:
    flow = write_flow(
        tmp_path / "flow",
        FLOW.replace("sink.py", "order.py")
        .replace("facts: {source: camera/facts", "facts: {source: other/facts")
        .replace("[image, facts]", "[image]")
        + "  - {id: other, path: other.py, outputs: [facts]}\n",
        order=SINK,
    )
    images = numbered("camera/image", IMAGES, 10 * MS)
    facts = numbered("other/facts", range(10), 7 * MS, 2 * MS)
    messages = interleaved(images, facts)
    recording = record(tmp_path / "flow.mcap", flow, messages)
    ran = dora("replay", recording, "--step", input="\n" * 20)
    told = re.findall(r"^ +\S+ s  (\w+/\w+) ", ran.stdout, re.M)
    assert told == [one.topic for one in messages]
    assert "as 2 nodes" in ran.stdout
    assert len(received(tmp_path)) == 20


def test_stepping_ends_with_the_recording_and_with_the_input(
    tmp_path: Path, recording: Path
) -> None:
    assert "that was the last message" in dora("replay", recording, "--step", input="19\n").stdout
    assert len(received(tmp_path)) == 19
    ran = dora("replay", recording, "--step", input="\n")
    assert len(received(tmp_path)) == 1, ran.stdout


def test_a_written_dataflow_replays_by_itself(tmp_path: Path, recording: Path) -> None:
    written = tmp_path / "flow" / "replay.yml"
    ran = dora("replay", recording, "--output-yaml", written)
    assert (ran.returncode, ran.stdout) == (0, f"wrote {written}\n")
    ran = dora("run", written)
    assert "replayed 19 messages" in ran.stdout, ran.stdout
    assert len(received(tmp_path)) == 19


def test_another_dataflow_takes_what_it_knows(tmp_path: Path, recording: Path) -> None:
    other = write_flow(tmp_path / "flow", FLOW.replace("camera", "eye"))
    flags = ("--dataflow", other, "--remap", "camera/image=eye/image")
    ran = dora("replay", recording, *flags, "--max")
    assert ran.returncode == 0, ran.stdout
    assert len(received(tmp_path)) == 10
    assert "not replayed: `camera/facts`" in ran.stdout
    assert "nothing is recorded of `eye/facts`" in ran.stdout


def test_a_recording_whose_folder_is_gone_says_so(
    tmp_path: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "flow").rename(tmp_path / "moved")
    assert main(["replay", str(recording)]) == 1
    told = capsys.readouterr().err
    assert f"the folder of the recorded dataflow is gone: `{tmp_path / 'flow'}`" in told
    assert "`--dataflow FLOW`" in told
    assert (
        dora("replay", recording, "--max", "--dataflow", tmp_path / "moved" / "flow.yml").returncode
        == 0
    )


@pytest.mark.parametrize(
    ("flags", "status", "told"),
    [
        (("--start", "5"), 1, "nothing is recorded of `camera/facts`, `camera/image` in that time"),
        (("--start", "2", "--end", "1"), 1, "`--end 1` is not after `--start 2`"),
        (("--replace", "camra"), 1, "did you mean `camera`"),
        (("--speed", "-1"), 2, "negative"),
        (("--max", "--speed", "2"), 2, "exclude each other"),
        (("--deterministic", "--loop"), 2, "in virtual time, once"),
        (("--step", "--loop"), 2, "`--step` has no pace"),
        (("-o", "x.mcap"), 2, "`--output` goes with `--deterministic`"),
        (("--remap", "a=b"), 2, "recorded/output=node/output"),
    ],
)
def test_what_cannot_be_done_is_told(
    recording: Path,
    flags: tuple[str, ...],
    status: int,
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["replay", str(recording), *flags]) == status
    assert told in " ".join(capsys.readouterr().err.split())


def test_without_a_dataflow_one_must_be_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = record(tmp_path / "x.mcap", None, [message("a/b", 1)])
    assert main(["replay", str(recording)]) == 1
    assert "holds no dataflow; name one" in capsys.readouterr().err


def test_a_file_of_others_is_told_to_be_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mcap.writer import Writer

    path = tmp_path / "foreign.mcap"
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start("ros2", "somebody")
        channel = writer.register_channel("/chatter", "cdr", 0)
        writer.add_message(channel, 1, b"x", 1)
        writer.finish()
    assert main(["replay", str(path)]) == 1
    told = capsys.readouterr().err
    assert "was not written by dora (but by `somebody" in told
    assert "`dora mcap import`" in told


def test_nodes_of_modules_are_replaced_too(tmp_path: Path) -> None:
    import msgspec

    from dora.recording.writer import About, RecordingWriter

    flow = "nodes:\n  - id: eyes\n    module: eyes.yml\n" + FLOW[FLOW.index("  - id: sink") :]
    flow = flow.replace("camera/", "eyes/").replace(
        "facts: {source: eyes/facts, queue_size: 100}", ""
    )
    path = write_flow(tmp_path / "flow", flow)
    (path.parent / "eyes.yml").write_text(
        "module: {name: eyes, outputs: [image]}\n"
        "nodes:\n  - {id: camera, path: camera.py, outputs: [image]}\n"
    )
    from dora.descriptor.flat_text import flat_text
    from dora.descriptor.source import parse

    (path.parent / "camera.py").touch()
    flat = parse("flat", flat_text(path)).value
    source = flat["nodes"][0]["id"]
    (path.parent / "eyes.yml").unlink()
    about = About("x", "flow", 0, str(path), path.read_bytes(), msgspec.json.encode(flat))
    with RecordingWriter(tmp_path / "flow.mcap", about) as writer:
        for one in numbered(f"{source}/image", IMAGES, MS):
            writer.add(one)
    ran = dora("replay", tmp_path / "flow.mcap", "--max")
    assert ran.returncode == 0, ran.stdout
    assert len(received(tmp_path)) == 10
