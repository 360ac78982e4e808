"""Dataflows at the limits of the machine: descriptors, pipe pages, rights, a full disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fault_rig import Flow

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534

HUB = """
    from dora import Node
    node = Node()
    say("dataflow", node.dataflow_id())
    for event in node:
        if event["type"] == "INPUT":
            node.send_output(event["id"], event["value"])
"""

RIM = """
    from dora import Node
    import numpy as np
    node, back = Node(), {}
    for number in range(150):
        node.send_output(f"p{number}", np.full(2000, number))
    for event in node:
        if event["type"] == "INPUT":
            back[event["id"]] = int(event["value"][0])
        if len(back) == 150:
            break
    say("back", back == {f"p{number}": number for number in range(150)})
"""

SOURCE_OF_300 = """
    from dora import Node
    node = Node()
    say("dataflow", node.dataflow_id())
    for number in range(300):
        node.send_output(f"p{number}", number)
"""

SINK_OF_300 = """
    from dora import Node
    node = Node()
    got = {}
    for event in node:
        if event["type"] == "INPUT":
            got[event["id"]] = event["value"][0].as_py()
    say("got", got == {f"p{number}": number for number in range(300)})
"""


def limited(*limits: str) -> list[str]:
    """A command that runs another one under such limits of `ulimit`."""
    return ["sh", "-c", "".join(f"ulimit {limit}; " for limit in limits) + 'exec "$0" "$@"']


def hub_and_rim() -> dict[str, tuple[str, dict[str, Any]]]:
    """Two nodes with 300 edges each: 150 in, 150 out."""
    ports = [f"p{number}" for number in range(150)]
    return {
        "hub": (HUB, {"inputs": {port: f"rim/{port}" for port in ports}, "outputs": ports}),
        "rim": (RIM, {"inputs": {port: f"hub/{port}" for port in ports}, "outputs": ports}),
    }


def source_and_sink() -> dict[str, tuple[str, dict[str, Any]]]:
    """A node with 300 outputs and one with 300 inputs."""
    ports = [f"p{number}" for number in range(300)]
    return {
        "source": (SOURCE_OF_300, {"outputs": ports}),
        "sink": (SINK_OF_300, {"inputs": {port: f"source/{port}" for port in ports}}),
    }


def talker(queue_size: int, inputs: int = 1) -> dict[str, tuple[str, dict[str, Any]]]:
    """A sender of 3000 messages and a receiver that reads them afterwards."""
    sender = """
        from dora import Node
        node = Node()
        say("dataflow", node.dataflow_id())
        for number in range(3000):
            node.send_output("out", number)
        say("sent")
    """
    receiver = """
        from dora import Node
        node, last = Node(), {}
        for event in node:
            if event["type"] == "INPUT":
                number = event["value"][0].as_py()
                assert number > last.get(event["id"], -1)
                last[event["id"]] = number
        say("last", sorted(set(last.values())), len(last))
    """
    wanted = {"source": "sender/out", "queue_size": queue_size}
    return {
        "sender": (sender, {"outputs": ["out"]}),
        "receiver": (receiver, {"inputs": {f"in{i}": wanted for i in range(inputs)}}),
    }


# ---- descriptors ----


@pytest.mark.parametrize("limits", [(), ("-Sn 1024",), ("-Sn 128",)], ids=len)
def test_a_node_may_have_300_edges_whatever_the_soft_limit(
    limits: tuple[str, ...], tmp_path: Path
) -> None:
    with Flow(tmp_path, hub_and_rim()) as flow:
        flow.start(before=limited(*limits))
        assert flow.heard("back") == [True]
        status, _, err = flow.end()
        assert status == 0, err
        assert "no drops" in err


def test_a_node_may_have_300_inputs_under_a_soft_limit_of_1024(tmp_path: Path) -> None:
    with Flow(tmp_path, source_and_sink()) as flow:
        flow.start(before=limited("-Sn 1024"))
        assert flow.heard("got") == [True]
        status, _, err = flow.end()
        assert status == 0, err


def test_a_hard_limit_of_256_is_told_before_anything_runs_and_how_to_raise_it(
    tmp_path: Path,
) -> None:
    with Flow(tmp_path, hub_and_rim()) as flow:
        flow.start(before=limited("-n 256"))
        status, _, err = flow.end()
        assert status == 1
        assert "file descriptors" in err
        assert "ulimit -n" in err
        assert "Traceback" not in err
        assert not flow.said("spawned")


# ---- an ordinary user ----


@pytest.fixture
def ordinary() -> Iterator[tuple[Path, list[str]]]:
    """A folder, and a command that runs another one as the ordinary user who owns it.

    If the tests run as root, that is nobody, who may read all files, so as to find this Python.
    """
    folder = Path(tempfile.mkdtemp(prefix="flow-", dir="/tmp"))
    become: list[str] = []
    if os.getuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
        become = [
            *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
            *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
        ]
    try:
        if become and subprocess.run([*become, "true"], check=False).returncode:
            pytest.skip("root may not become an ordinary user here")
        yield folder, become
    finally:
        shutil.rmtree(folder)


def test_an_ordinary_user_runs_300_edges_with_the_default_pipe_budget(
    ordinary: tuple[Path, list[str]],
) -> None:
    folder, become = ordinary
    with Flow(folder, hub_and_rim()) as flow:
        flow.start(before=become, HOME=str(folder), DORA_RUNTIME_DIR="")
        assert flow.heard("back") == [True]
        status, out, err = flow.end()
        assert status == 0, err
        assert "the kernel grants" not in out


def test_an_ordinary_user_is_told_of_a_queue_that_the_kernel_does_not_grant(
    ordinary: tuple[Path, list[str]],
) -> None:
    folder, become = ordinary
    with Flow(folder, talker(5000)) as flow:
        flow.start(before=become, HOME=str(folder), DORA_RUNTIME_DIR="")
        assert flow.heard("last") == [[2999], 1]
        status, out, err = flow.end()
        assert status == 0, err
        assert "not 5000: the kernel grants no larger pipe" in out


def test_a_used_up_pipe_budget_makes_queues_shorter_and_nothing_else(
    ordinary: tuple[Path, list[str]],
) -> None:
    folder, become = ordinary
    with Flow(folder, talker(2000, inputs=80)) as flow:
        flow.start(before=become, HOME=str(folder), DORA_RUNTIME_DIR="")
        assert flow.heard("last") == [[2999], 80]
        status, out, err = flow.end()
        assert status == 0, err
        assert "not 2000: the kernel grants no larger pipe" in out


# ---- output ----


def test_a_node_may_close_its_standard_output_and_error(tmp_path: Path) -> None:
    mute = """
        from dora import Node
        node = Node()
        say("dataflow", node.dataflow_id())
        print("the last line", flush=True)
        os.close(1)
        os.close(2)
        for number in range(5):
            node.send_output("out", number)
    """
    reader = """
        from dora import Node
        say("got", [e["value"][0].as_py() for e in Node() if e["type"] == "INPUT"])
    """
    nodes = {
        "mute": (mute, {"outputs": ["out"]}),
        "reader": (reader, {"inputs": {"in": "mute/out"}}),
    }
    with Flow(tmp_path, nodes) as flow:
        flow.start()
        assert flow.heard("got") == [[0, 1, 2, 3, 4]]
        status, out, err = flow.end()
        assert status == 0, err
        assert "the last line" in out


def test_a_full_disk_costs_the_log_files_and_nothing_else(tmp_path: Path) -> None:
    namespace = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]
    full = [*namespace, "sh", "-c", 'mount -t tmpfs -o size=32k none out; exec "$0" "$@"']
    (tmp_path / "out").mkdir()
    if subprocess.run([*full, "true"], cwd=tmp_path, capture_output=True, check=False).returncode:
        pytest.skip("no mount of one's own is allowed here")
    chatty = """
        from dora import Node
        node = Node()
        say("dataflow", node.dataflow_id())
        for number in range(3000):
            print(f"line {number} " + "x" * 60)
        say("done")
    """
    with Flow(tmp_path, {"chatty": (chatty, {"outputs": ["out"]})}) as flow:
        flow.start(before=full)
        status, out, err = flow.end()
        assert flow.heard("done") == []
        assert status == 0, err
        assert "line 2999" in out
        assert "No space left on device" in out
        assert "Traceback" not in err
