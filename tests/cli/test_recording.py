"""`dora record` and `dora mcap info`, as a user has them."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from daemon.waiting import DEADLINE_S
from dora.cli.main import main
from dora.cli.options import parse_size
from dora.recording.reader import Recording

CAMERA = """
import os, time
import numpy as np
from dora import Node
node = Node()
count = int(os.environ.get("COUNT", "0"))
n = 0
while n != count or not count:
    event = node.try_recv()
    if event is not None and event["type"] == "STOP":
        break
    node.send_output("image", np.full((120, 160, 3), n % 256, np.uint8), {"n": n})
    n += 1
    if not count:
        time.sleep(0.005)
    if n == 50:
        print("sent many", flush=True)
"""


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    (tmp_path / "camera.py").write_text(CAMERA)
    file = tmp_path / "flow.yml"
    node = {
        "id": "camera",
        "path": "camera.py",
        "outputs": ["image"],
        "output_types": {"image": "Image[encoding=bgr8]"},
    }
    file.write_text(json.dumps({"nodes": [node]}))
    return file


def dora(*command: str, **how: Any) -> subprocess.Popen[str]:
    program = "from dora.cli.main import main; raise SystemExit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", program, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **how,
    )


def numbers(path: Path) -> list[int]:
    with Recording(path) as recording:
        return [one.metadata_dict()["n"] for one in recording.messages()]


def until(process: subprocess.Popen[str], part: str) -> str:
    """Read lines up to one with this in it."""
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if part in line:
            return read
    raise AssertionError(f"it never said {part!r}:\n{read}")


def test_a_dataflow_is_run_and_recorded_from_its_first_message_to_its_last(
    flow: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "r.mcap"
    process = dora("record", str(flow), "-o", str(file), "--env", "COUNT=200", cwd=tmp_path)
    told, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, told
    assert "camera: sent many" in told
    assert re.search(r"recorded 200 messages \(11\.5 MB\) into .*r\.mcap", told)
    assert numbers(file) == list(range(200))
    assert main(["mcap", "info", str(file), "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (topic,) = document["topics"]
    assert (topic["name"], topic["kind"], topic["messages"]) == ("camera/image", "image", 200)
    assert topic["type"] == "uint8[120, 160, 3]"
    assert document["complete"]
    assert document["dataflow"]["name"] == "flow"
    assert document["descriptor_path"] == str(flow)
    assert main(["mcap", "info", str(file)]) == 0
    table = capsys.readouterr().out
    assert re.search(r"lost +0\n", table)
    assert re.search(r"camera/image +image +200 ", table)


def test_what_runs_is_recorded_until_ctrl_c_and_goes_on(flow: Path, tmp_path: Path) -> None:
    running = dora("run", str(flow), cwd=tmp_path)
    until(running, "sent many")
    file = tmp_path / "r.mcap"
    recording = dora("record", "--attach", "flow", "-o", str(file), "--compression", "zstd")
    until(recording, "recording `flow` into")
    until_messages(file)
    recording.send_signal(signal.SIGINT)
    told, _ = recording.communicate(timeout=DEADLINE_S)
    assert recording.returncode == 0, told
    assert running.poll() is None
    running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=DEADLINE_S)
    found = numbers(file)
    assert found == list(range(found[0], found[0] + len(found)))
    with Recording(file) as read:
        assert not read.cut_off


def until_messages(file: Path) -> None:
    """Wait until a file that is being written has messages."""
    while not numbers(file):
        threading.Event().wait(0.05)


def test_a_killed_recorder_leaves_a_file_that_opens(flow: Path, tmp_path: Path) -> None:
    running = dora("run", str(flow), cwd=tmp_path)
    until(running, "sent many")
    file = tmp_path / "r.mcap"
    recording = dora("record", "--attach", "flow", "-o", str(file))
    until(recording, "recording `flow` into")
    until_messages(file)
    recording.kill()
    recording.communicate(timeout=DEADLINE_S)
    with Recording(file) as read:
        assert read.cut_off
    found = numbers(file)
    assert found == list(range(found[0], found[0] + len(found)))
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=DEADLINE_S)
    assert running.returncode == 0


def test_a_full_disk_is_told_and_the_dataflow_runs_on(flow: Path, tmp_path: Path) -> None:
    limit = 2_000_000

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    running = dora("run", str(flow), cwd=tmp_path)
    until(running, "sent many")
    file = tmp_path / "r.mcap"
    arguments = ["--attach", "flow", "-o", str(file), "--compression", "none"]
    recording = dora("record", *arguments, preexec_fn=small_disk)
    told, _ = recording.communicate(timeout=DEADLINE_S)
    assert recording.returncode == 1
    assert "the recording ends early" in told
    assert "cannot grow: File too large" in told
    lost = re.search(r"WARNING (\d+) messages are not in it: camera/image (\d+)", told)
    assert lost is not None
    with Recording(file) as read:
        assert not read.cut_off
        assert sum(read.losses.values()) == int(lost[1])
    assert file.stat().st_size <= limit
    assert running.poll() is None
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=DEADLINE_S)
    assert running.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        ([], 2, "name either a dataflow file, or what runs"),
        (["flow.yml", "--attach", "x"], 2, "name either a dataflow file, or what runs"),
        (["flow.yml", "--output-yaml", "x.yml"], 2, "recording changes nothing in a dataflow file"),
        (["flow.yml", "--topics", "image"], 2, "`image` is no output; write `node/output"),
        (["flow.yml", "--split-duration", "0"], 2, "a file holds some time"),
        (["flow.yml", "--split-size", "much"], 2, "`much` is no size; write bytes, or 500MB"),
        (["flow.yml", "-o", "there.mcap"], 1, "`there.mcap` is there already"),
        (["flow.yml", "--topics", "camra/image"], 1, "no output `camra/image`"),
        (["--attach", "nothing"], 1, "no dataflow is running"),
    ],
)
def test_what_cannot_be_recorded_is_told_in_one_message(
    flow: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    status: int,
    told: str,
) -> None:
    del flow
    monkeypatch.chdir(tmp_path)
    Path("there.mcap").write_text("precious")
    process = dora("record", *arguments, env=os.environ | {"COLUMNS": "200"})
    said, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == status, said
    assert told in said
    assert "Traceback" not in said
    assert Path("there.mcap").read_text() == "precious"
    assert list(Path().glob("recording*")) == []


@pytest.mark.parametrize(
    ("text", "size"),
    [("1000", 1000), ("500MB", 500_000_000), ("1.5 GB", 1_500_000_000), ("64KiB", 65536)],
)
def test_sizes_have_the_units_that_people_write(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "much", "5 m/s", "1e9"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)
