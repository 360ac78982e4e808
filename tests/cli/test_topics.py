"""`dora topic`, on a dataflow that the test plays."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner

from dora.cli.topic_commands import topic
from monitor.tapped import TappedDaemon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> Iterator[TappedDaemon]:
    made = TappedDaemon(monkeypatch)
    yield made
    made.close()


def run(*args: str) -> Any:
    result = CliRunner().invoke(topic, args)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def while_tapped(flow: TappedDaemon, taps: int, act: Callable[[], None], *args: str) -> Any:
    """Run a command; act once it reads so many outputs."""
    done = threading.Event()

    def wait_and_act() -> None:
        while flow.tapped < taps and not done.is_set():
            done.wait(0.001)
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    try:
        return run(*args)
    finally:
        done.set()
        thread.join(20)


def test_list_names_outputs_and_readers(flow: TappedDaemon) -> None:
    assert run("list").stdout.splitlines()[1].split() == ["cam", "image", "view/frame"]
    lines = run("list", "--format", "json", "--coordinator-port", "6013").stdout.splitlines()
    assert json.loads(lines[1]) == {"node": "cam", "name": "pose", "subscribers": []}


def test_echo_prints_so_many_messages_of_all_outputs_and_tells_of_those_that_close(
    flow: TappedDaemon,
) -> None:
    def act() -> None:
        flow.close_output("pose")
        for number in range(5):
            flow.send("image", np.array([number], "i2"), {"n": number})

    result = while_tapped(flow, 2, act, "echo", "--count", "3")
    assert result.stdout.splitlines() == [
        f'cam/image\t int16[1] data=[{number}] metadata={{"n":{number}}}' for number in range(3)
    ]
    assert "Output cam/pose closed" in result.stderr


def test_echo_as_json_ends_with_the_dataflow(flow: TappedDaemon) -> None:
    def act() -> None:
        flow.send("pose", {"x": 1})
        flow.close_output("pose")

    result = while_tapped(flow, 1, act, "echo", "cam/pose", "--format", "json")
    (line,) = result.stdout.splitlines()
    told = json.loads(line)
    assert list(told) == ["timestamp", "name", "data", "metadata"]
    assert (told["name"], told["data"]) == ("cam/pose", [{"x": 1}])


def test_hz_reports_what_was_read_in_its_time(flow: TappedDaemon) -> None:
    def act() -> None:
        for number in range(3):
            flow.send("pose", number)
        flow.close_output("pose")

    result = while_tapped(flow, 1, act, "hz", "cam/pose", "--duration", "30")
    head, everything, pose = (line.split("\t") for line in result.stdout.splitlines())
    assert head == ["topic", "avg_ms", "avg_hz", "min_ms", "max_ms", "std_ms", "samples"]
    assert (everything[0], pose[0], pose[-1]) == ("ALL", "cam/pose", "3")
    assert everything[1:] == pose[1:]


def test_hz_without_a_terminal_wants_a_duration(flow: TappedDaemon) -> None:
    with pytest.raises(Exception, match="--duration SECONDS"):
        run("hz")


def test_info_tells_type_readers_and_what_was_sent(flow: TappedDaemon) -> None:
    def act() -> None:
        for _ in range(4):
            flow.send("image", np.zeros((10, 10), np.uint8))
        flow.close_output("image")

    told = while_tapped(flow, 1, act, "info", "cam/image").stdout.splitlines()
    assert told[0] == "Topic: cam/image"
    assert "Type: uint8[10, 10]" in told
    assert "  * view/frame" in told
    assert told[-2].startswith("  Total messages: ")
    assert told[-1].startswith("  Bandwidth: ")


def test_pub_has_the_node_send_typed_data(flow: TappedDaemon) -> None:
    result = run("pub", "cam/pose", "[1, 2]", "--dtype", "f4", "--shape", "2,1", "--count", "2")
    assert result.stderr.splitlines() == ["Published message 1/2", "Published message 2/2"]
    assert len(flow.published) == 2
    assert (flow.published[0].node, flow.published[0].output) == ("cam", "pose")
    assert np.frombuffer(flow.published[0].payload, "f4").tolist() == [1, 2]
    assert run("pub", "cam/pose", "1").stderr == "Published to cam/pose\n"


@pytest.mark.parametrize(
    "wrong",
    [
        ["pub", "cam/pose"],
        ["pub", "cam/pose", "1", "--file", "x"],
        ["pub", "cam/pose", "1", "--count", "0"],
        ["pub", "cam/pose", "1", "--shape", "a"],
        ["echo", "--count", "0"],
        ["echo", "--duration", "0"],
        ["echo", "--format", "xml"],
        ["info"],
    ],
)
def test_wrong_usage_is_status_2(wrong: list[str]) -> None:
    assert run(*wrong).exit_code == 2
