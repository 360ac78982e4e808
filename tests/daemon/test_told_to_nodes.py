"""What nodes are told while they run: parameters, files that were saved, operators made anew."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from dora.errors import DoraError
from dora.wire.visits import AskAdd, AskNode, AskParam, AskReplace, Params

from .live import SINK, Live, counter, write

if TYPE_CHECKING:
    from pathlib import Path

OUT: dict[str, Any] = {"outputs": ["out"]}
READS: dict[str, Any] = {"inputs": {"in": "source/out"}}
PARAMS = """
from dora import Node
node = Node()
say("up", node.restart_count())
for event in node:
    if event["type"] in ("PARAM_UPDATE", "PARAM_DELETED"):
        say(event["type"], event["id"], event.get("value"))
"""


def param(live: Live, action: Any, key: str = "", value: bytes = b"") -> dict[str, bytes]:
    with live.client() as client:
        answer = client.ask(AskParam(action, "node", key, value))
    assert isinstance(answer, Params)
    return answer.values


def test_parameters_are_told_at_once_and_again_after_a_restart(tmp_path: Path) -> None:
    nodes = {"node": (PARAMS, {"inputs": {"tick": "dora/timer/secs/1000"}})}
    with Live(tmp_path, nodes) as live:
        assert live.heard("up") == [0]
        param(live, "set", "gain", b"1.5")
        told = live.heard("PARAM_UPDATE")
        param(live, "set", "mode", b'{"a":[1,null]}')
        assert "mode" in str(live.heard("PARAM_UPDATE"))
        param(live, "delete", "gain")
        assert "gain" in str(live.heard("PARAM_DELETED"))
        assert "gain" in str(told)
        live.ask(AskNode("restart", "node"))
        assert live.heard("up") == [1]
        assert "mode" in str(live.heard("PARAM_UPDATE"))
        assert param(live, "list") == {"mode": b'{"a":[1,null]}'}
        with pytest.raises(DoraError, match="gain"):
            param(live, "get", "gain")
        with live.client() as client:
            client.stop("enough")
        live.wait_ended()
    assert not live.all_heard("PARAM_UPDATE")


VERSION = """
from dora import Node
node = Node()
say("version", {version!r}, node.restart_count())
for event in node:
    if event["type"] == "INPUT":
        node.send_output("out", event["value"], {{"n": event["metadata"]["n"]}})
"""


EDGE = {"queue_size": 1000, "queue_policy": "backpressure"}
FILTER: dict[str, Any] = {"inputs": {"in": {"source": "source/out", **EDGE}}, **OUT}


def reloading(folder: Path, code: str = VERSION.format(version="a")) -> Live:
    nodes = {
        "source": (counter(every_s=0.005), OUT),
        "filter": (code, FILTER),
        "sink": (SINK, {"inputs": {"in": {"source": "filter/out", **EDGE}}}),
    }
    return Live(folder, nodes, hot_reload=True)


@pytest.mark.parametrize("atomic", [True, False])
def test_a_saved_file_restarts_the_node_alone_and_nothing_is_lost(
    atomic: bool, tmp_path: Path
) -> None:
    def save(text: str) -> None:
        if atomic:
            write(tmp_path, "filter.new", text)
            os.replace(tmp_path / "filter.new.py", tmp_path / "filter.py")
        else:
            write(tmp_path, "filter", text)

    with reloading(tmp_path) as live:
        assert live.heard("version") == ["a", 0]
        live.heard("got")
        save(VERSION.format(version="b"))
        assert live.heard("version") == ["b", 1]
        save("def broken(:\n")
        live.noticed("does not compile")
        save(VERSION.format(version="c"))
        assert live.heard("version") == ["c", 2]
        live.ask(AskNode("stop", "source"))
        assert live.wait_ended().ok
        numbers = [n for _, n in live.all_heard("got")]
    assert numbers == list(range(1, len(numbers) + 1)) or numbers == list(range(len(numbers)))


@pytest.mark.parametrize("how", ["stop", "mend", "replace"])
@pytest.mark.parametrize("broken", ["1 /", "from dora import Node\nnode = Node()\n1 / 0"])
def test_a_node_that_failed_is_started_again_when_its_file_is_saved(
    broken: str, how: str, tmp_path: Path
) -> None:
    with reloading(tmp_path, broken) as live:
        live.noticed("exited with code 1")
        live.noticed("waits for its file to be saved")
        assert live.state("filter").failed
        write(tmp_path, "filter", "still broken")
        live.noticed("node `filter` stays as before")
        if how != "stop":
            name = "filter" if how == "mend" else "other"
            path = write(tmp_path, name, VERSION.format(version="b"))
            if how == "replace":
                new = {"id": "filter", "path": path, **FILTER}
                live.ask(AskReplace(live.addition(new, replacing="filter")))
            assert live.heard("version") == ["b", int(how == "mend")]
            live.heard("got")
            assert not live.state("filter").failed
            live.ask(AskNode("stop", "source"))
            assert live.wait_ended().ok
    assert live.outcome is not None
    failed = ["filter"] if how == "stop" else []
    assert [failure.node for failure in live.outcome.failures] == failed


def test_a_node_that_failed_at_its_end_has_nothing_to_wait_for(tmp_path: Path) -> None:
    nodes = {
        "source": ("from dora import Node\nNode()\nprint()", OUT),
        "sink": (SINK + "1 / 0", {"inputs": {"in": "source/out"}}),
    }
    with Live(tmp_path, nodes, hot_reload=True) as live:
        assert [one.node for one in live.wait_ended().failures] == ["sink"]


def test_an_operator_that_ended_its_node_is_started_again_with_it(tmp_path: Path) -> None:
    write(tmp_path, "op", "1 / 0")
    operator = {"python": "op.py", "inputs": {"t": "dora/timer/millis/50"}, "outputs": ["out"]}
    nodes = {
        "runtime": ("", {"operator": operator}),
        "sink": (READER, {"inputs": {"in": "runtime/op/out"}}),
    }
    with Live(tmp_path, nodes, hot_reload=True) as live:
        live.noticed("waits for its file to be saved")
        mended = OPERATOR.format(version="bb").replace('raise ValueError("for once")', "pass")
        write(tmp_path, "op", mended)
        assert live.heard("got") == ["bb"]


def test_nodes_that_came_later_are_watched_too(tmp_path: Path) -> None:
    with reloading(tmp_path) as live:
        live.heard("got")
        write(tmp_path, "more", VERSION.format(version="a"))
        more = {"id": "more", "path": "more.py", **READS, **OUT}
        live.ask(AskAdd(live.addition(more)))
        assert live.heard("version", "more") == ["a", 0]
        write(tmp_path, "more", VERSION.format(version="bb"))
        assert live.heard("version", "more") == ["bb", 1]
        write(tmp_path, "other", VERSION.format(version="other"))
        plan = live.addition({**more, "path": "other.py"}, replacing="more")
        live.ask(AskReplace(plan))
        assert live.heard("version", "more")[0] == "other"
        write(tmp_path, "more", VERSION.format(version="not me"))
        write(tmp_path, "other", VERSION.format(version="newer"))
        assert live.heard("version", "more")[0] == "newer"


OPERATOR = """
from dora import DoraStatus
class Operator:
    def on_event(self, event, send_output):
        if event["type"] == "INPUT":
            if not os.path.exists("failed"):
                open("failed", "w").close()
                raise ValueError("for once")
            send_output("out", b"{version}")
        return DoraStatus.CONTINUE
"""
READER = """
from dora import Node
node = Node()
for event in node:
    if event["type"] == "INPUT":
        say("got", bytes(event["value"]).decode())
    else:
        say(event["type"], event.get("id"))
"""


def test_receivers_hear_of_an_operator_that_was_made_anew_and_files_are_loaded_again(
    tmp_path: Path,
) -> None:
    write(tmp_path, "op", OPERATOR.format(version="a"))
    operator = {
        "operator": {
            "python": "op.py",
            "inputs": {"tick": "dora/timer/millis/50"},
            "outputs": ["out"],
        },
        "restart_policy": "on-failure",
    }
    nodes = {
        "runtime": ("", operator),
        "sink": (READER, {"inputs": {"in": "runtime/op/out"}}),
    }
    with Live(tmp_path, nodes, hot_reload=True) as live:
        assert live.heard("NODE_RESTARTED") == ["runtime"]
        assert live.heard("got") == ["a"]
        write(tmp_path, "op", "def broken(:\n")
        live.noticed("does not compile")
        write(tmp_path, "op", OPERATOR.format(version="bb"))
        while live.heard("got") != ["bb"]:
            pass
        with pytest.raises(DoraError, match="did you mean `runtime`"):
            live.ask(AskNode("restart", "runtme"))
        assert live.ask(AskNode("restart", "runtime")) == "node `runtime` was started again"
        assert live.heard("NODE_RESTARTED") == ["runtime"]
        while live.heard("got") != ["bb"]:
            pass
        other = OPERATOR.format(version="other")
        operator["operator"]["python"] = write(tmp_path, "other", other)
        plan = live.addition({"id": "runtime", **operator}, replacing="runtime")
        assert live.ask(AskReplace(plan)) == "node `runtime` was replaced"
        while live.heard("got") != ["other"]:
            pass
        assert not live.all_heard("INPUT_CLOSED")
