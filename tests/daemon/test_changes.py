"""Nodes and wires that are exchanged while messages flow."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from dora.daemon import limits
from dora.daemon.flow import Graces
from dora.errors import DoraError
from dora.wire.board import SPARE_ROUTES
from dora.wire.visits import AskAdd, AskNode, AskParam, AskReplace, AskRoute, Params

from .live import SINK, Live, counter, write

if TYPE_CHECKING:
    from pathlib import Path

OUT: dict[str, Any] = {"outputs": ["out"]}
READS: dict[str, Any] = {"inputs": {"in": "source/out"}}
LOSSLESS: dict[str, Any] = {
    "inputs": {"in": {"source": "source/out", "queue_size": 20, "queue_policy": "backpressure"}}
}
NUMBERS = """
from dora import Node
node = Node()
say("sink", node.restart_count())
last, bad = None, []
for event in node:
    if event["type"] == "INPUT":
        n = event["metadata"]["n"]
        if last is not None and n != last + 1:
            bad.append([last, n])
        if last is None:
            say("first", n)
        last = n
        new = f"seen.{os.getpid()}"
        open(new, "w").write(f"{last} {bad}")
        os.replace(new, "seen")
    else:
        say(event["type"], event.get("id"), last)
say("read", last, bad)
"""
"""Looks for gaps; tells the first and the last number."""


def route(source: str, target: str, *, connect: bool = True, **keys: Any) -> AskRoute:
    return AskRoute(connect, *source.split("/"), *target.split("/"), **keys)


def test_a_node_that_is_added_reads_from_a_running_one_and_nothing_else_changes(
    tmp_path: Path,
) -> None:
    nodes = {"source": (counter(), OUT), "sink": (NUMBERS, LOSSLESS)}
    with Live(tmp_path, nodes) as live:
        live.heard("first", "sink")
        more = {"id": "more", "path": write(tmp_path, "more", NUMBERS), **LOSSLESS}
        assert live.ask(AskAdd(live.addition(more))) == "node `more` was added"
        assert live.heard("first", "more")[0] > 0
        live.ask(AskNode("stop", "source"))
        last = live.heard("read", "sink")
        assert last[1] == []
        assert live.heard("read", "more") == last
        assert live.wait_ended().ok


def test_wires_that_come_and_go_lose_and_double_nothing_on_others_nor_themselves(
    tmp_path: Path,
) -> None:
    """What waits on a wire that is taken away is handed out, then INPUT_CLOSED, and no STOP."""
    reading = """
from dora import Node
node = Node()
say("wired")
last, rounds, bad = None, 0, []
for event in node:
    if event["type"] == "INPUT":
        n = event["metadata"]["n"]
        if last is not None and n != last + 1:
            bad.append([last, n])
        last = n
    elif event["type"] == "INPUT_CLOSED":
        rounds, last = rounds + 1, None
        say("closed", rounds)
    else:
        say(event["type"])
say("over", bad, rounds)
"""
    nodes = {
        "source": (counter(), OUT),
        "sink": (NUMBERS, LOSSLESS),
        "wired": (reading, {"outputs": ["x"]}),
    }
    rounds = 60
    with Live(tmp_path, nodes) as live:
        live.heard("first", "sink")
        live.heard("wired")
        fds = len(os.listdir("/proc/self/fd"))
        on = route("source/out", "wired/in", queue_size=50, backpressure=True)
        off = route("source/out", "wired/in", connect=False)
        for _ in range(rounds):
            assert live.ask(on) == "source/out -> wired/in"
            assert live.ask(off) == "source/out -x- wired/in"
        for number in range(rounds):
            assert live.heard("closed") == [number + 1]
        assert len(os.listdir("/proc/self/fd")) <= fds + 2
        live.ask(AskNode("stop", "source"))
        assert live.heard("read", "sink")[1] == []
        live.ask(AskNode("stop", "wired"))
        assert live.heard("STOP", "wired") == []
        assert live.heard("over") == [[], rounds]


def test_what_waits_on_a_wire_too_many_outlives_both_of_its_nodes(tmp_path: Path) -> None:
    """The boards have no place to count it."""
    sending = """
import numpy as np
from dora import Node
node = Node()
first = node.restart_count() * 5
say("source", first)
while not os.path.exists(f"go{first}"): time.sleep(0.01)
for n in range(first, first + 5):
    node.send_output("out", np.full(100_000, n, np.uint8), {"n": n})
say("sent")
for event in node: pass
"""
    reading = """
from dora import Node
node = Node()
say("sink", os.getpid())
for event in node:
    if event["type"] == "INPUT" and event["id"] == "last":
        assert (event["value"] == event["metadata"]["n"]).all()
        say("got", event["metadata"]["n"])
        while not os.path.exists("read"): time.sleep(0.01)
    elif event["type"] == "STOP":
        sys.exit(0)
"""
    timer = {"inputs": {"tick": "dora/timer/secs/1000"}}
    nodes = {
        "source": (sending, {**OUT, **timer}),
        "sink": (reading, {"outputs": ["x"], "restart_policy": "on-failure"}),
    }
    with Live(tmp_path, nodes) as live:
        live.heard("sink")
        live.heard("source")
        for number in range(SPARE_ROUTES):
            live.ask(route("source/out", f"sink/x{number}"))
        live.ask(route("source/out", "sink/last", queue_size=50))
        live.ask(AskNode("restart", "sink"))  # its new board has a place, the sender's has none
        (pid,) = live.heard("sink")
        (tmp_path / "go0").touch()
        assert live.heard("got") == [0]
        live.heard("sent")
        live.ask(AskNode("restart", "source"))
        assert live.heard("source") == [5]
        (tmp_path / "go5").touch()
        live.heard("sent")
        os.kill(pid, signal.SIGKILL)
        live.heard("sink")
        (tmp_path / "read").touch()
        assert [live.heard("got") for _ in range(9)] == [[n] for n in range(1, 10)]


def test_a_wire_is_counted_however_many_there_were_before(tmp_path: Path) -> None:
    nodes = {"source": (counter(), OUT), "sink": (SINK, LOSSLESS)}
    with Live(tmp_path, nodes) as live:
        live.heard("got")
        for _ in range(SPARE_ROUTES + 10):
            live.ask(route("source/out", "sink/more"))
            live.ask(route("source/out", "sink/more", connect=False))
        live.ask(route("source/out", "sink/more", queue_size=1000))
        live.until(lambda: _edge(live, "more").received > 5)
        edge = _edge(live, "more")
        assert 0 <= edge.dropped <= edge.sent
        assert edge.received <= edge.sent < int((tmp_path / "sent").read_text()) + 2
        assert sum(edge.latency) <= edge.received + 1


def test_a_node_whose_only_wire_was_taken_away_is_started_again_when_it_fails(
    tmp_path: Path,
) -> None:
    """It may be given another wire: it is not at its end."""
    reading = SINK.replace("node = Node()", 'node = Node()\nsay("pid", os.getpid())')
    nodes = {
        "source": (counter(), OUT),
        "sink": (reading, {**READS, "restart_policy": "always"}),
    }
    with Live(tmp_path, nodes) as live:
        (pid,) = live.heard("pid")
        live.heard("got")
        live.ask(route("source/out", "sink/in", connect=False))
        assert live.heard("INPUT_CLOSED") == ["in"]
        live.all_heard("got")
        os.kill(pid, signal.SIGKILL)
        live.heard("pid")
        live.ask(route("source/out", "sink/again"))
        assert live.heard("got")[0] == "again"


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_a_wire_taken_away_while_its_queue_is_full_ends_for_both(how: str, tmp_path: Path) -> None:
    reading = """
from dora import Node
node = Node()
say("sink")
while not os.path.exists("go"):
    time.sleep(0.01)
for event in node:
    say(event["type"], event.get("id"))
"""
    edge = {"source": "source/out", "queue_size": 5, "queue_policy": "backpressure"}
    nodes = {
        "source": (counter(every_s=0), OUT),
        "sink": (reading, {"inputs": {"in": edge}}),
    }
    with Live(tmp_path, nodes) as live:
        live.heard("sink")
        live.until(lambda: _edge(live, "in").waiting == 5)
        live.ask(route("source/out", "sink/in", connect=False))
        before = int((tmp_path / "sent").read_text())
        live.until(lambda: int((tmp_path / "sent").read_text()) > before + 20)
        if how == "crash":
            os.kill(live.state("sink").pid or 0, signal.SIGKILL)
        else:
            (tmp_path / "go").touch()
            for _ in range(5):
                assert live.heard("INPUT") == ["in"]
            assert live.heard("INPUT_CLOSED") == ["in"]
        assert live.state("sink").inputs == []


def test_a_sender_that_is_told_to_end_while_it_waits_for_room_still_sends(tmp_path: Path) -> None:
    """Only the stop of the whole dataflow, when nobody reads on, makes it give up."""
    sending = "from dora import Node\nnode = Node()\n"
    sending += "for n in range(3): say('sends', n); node.send_output('out', b'', {'n': n})\n"
    reading = NUMBERS.replace(
        "last, bad =", "while not os.path.exists('go'): time.sleep(0.01)\nlast, bad ="
    )
    edge = {"source": "source/out", "queue_size": 1, "queue_policy": "backpressure"}
    nodes = {"source": (sending, OUT), "sink": (reading, {"inputs": {"in": edge}})}
    with Live(tmp_path, nodes, graces=Graces(node_stop_s=20.0)) as live:
        while live.heard("sends") != [1]:
            pass
        live.until(lambda: _edge(live, "in").waiting == 1)
        stopping = threading.Thread(target=live.ask, args=(AskNode("stop", "source"),))
        stopping.start()
        live.noticed("node `source`: stop")
        (tmp_path / "go").touch()
        stopping.join(20)
        assert live.heard("read") == [2, []]
        assert live.wait_ended().ok


def _edge(live: Live, input_id: str) -> Any:
    with live.client() as client:
        return [edge for edge in client.state().edges if edge.input == input_id][-1]


FORWARDS = """
from dora import Node
node = Node()
say("filter", {tag!r}, node.restart_count())
for event in node:
    if event["type"] == "INPUT":
        node.send_output("out", event["value"], {{"n": event["metadata"]["n"]}})
"""


def chain(folder: Path, size: int = 8) -> dict[str, tuple[str, dict[str, Any]]]:
    edge = {"source": "filter/out", "queue_size": 20, "queue_policy": "backpressure"}
    return {
        "source": (counter(size=size), OUT),
        "filter": (FORWARDS.format(tag="old"), {**LOSSLESS, **OUT}),
        "sink": (NUMBERS, {"inputs": {"in": edge}}),
    }


@pytest.mark.parametrize("size", [8, 100_000])
def test_a_node_is_replaced_again_and_again_without_a_gap(size: int, tmp_path: Path) -> None:
    with Live(tmp_path, chain(tmp_path, size)) as live:
        live.heard("first")
        for number in range(4):
            path = write(tmp_path, f"filter{number}", FORWARDS.format(tag=number))
            new = {"id": "filter", "path": path, **LOSSLESS, **OUT}
            plan = live.addition(new, replacing="filter")
            assert live.ask(AskReplace(plan)) == "node `filter` was replaced"
            assert live.heard("filter")[0] in ("old", *range(number + 1))
        assert live.state("filter").restarts == 0
        live.ask(AskNode("stop", "source"))
        last, bad = live.heard("read", "sink")
        assert bad == []
        assert last == int((tmp_path / "sent").read_text()) - 1
        assert live.wait_ended().ok


def _seen(folder: Path) -> int:
    """The number that was written last; 0 in the moment in which it is written."""
    return int(((folder / "seen").read_text() or "0").split()[0])


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import nonsuch", "exited with code 1 before it took over"),
        ("time.sleep(1e6)", "has not called `Node()` in time"),
    ],
)
def test_a_successor_that_does_not_come_up_leaves_the_old_one_at_work(
    code: str, told: str, tmp_path: Path
) -> None:
    with Live(tmp_path, chain(tmp_path)) as live:
        live.heard("first")
        path = write(tmp_path, "bad", code)
        new = {"id": "filter", "path": path, "startup_timeout": 1.0, **LOSSLESS, **OUT}
        with pytest.raises(DoraError, match="the old one goes on") as refused:
            live.ask(AskReplace(live.addition(new, replacing="filter")))
        assert told in str(refused.value)
        before = _seen(tmp_path)
        live.until(lambda: _seen(tmp_path) > before)
        live.ask(AskNode("stop", "source"))
        assert live.heard("read", "sink")[1] == []
        assert live.wait_ended().ok


@pytest.mark.parametrize("policy", ["never", "always"])
@pytest.mark.parametrize("works", [True, False])
def test_the_old_one_may_die_while_its_successor_loads(
    works: bool, policy: str, tmp_path: Path
) -> None:
    """Then the successor takes over as soon as it is there, or the old one is started again."""
    nodes = chain(tmp_path)
    nodes["filter"][1]["restart_policy"] = policy
    with Live(tmp_path, nodes) as live:
        live.heard("first")
        load = "say('loading')\nwhile not os.path.exists('go'): time.sleep(0.01)\n"
        code = load + (FORWARDS.format(tag="new") if works else "sys.exit(1)")
        new = {"id": "filter", "path": write(tmp_path, "new", code)}
        plan = live.addition({**new, **LOSSLESS, **OUT}, replacing="filter")
        answers: list[Any] = []

        def replace() -> None:
            try:
                answers.append(live.ask(AskReplace(plan)))
            except DoraError as exc:
                answers.append(exc)

        asking = threading.Thread(target=replace)
        asking.start()
        live.heard("loading")
        os.kill(live.state("filter").pid or 0, signal.SIGKILL)
        live.noticed("signal SIGKILL")
        (tmp_path / "go").touch()
        asking.join(15)
        assert not asking.is_alive()
        if works:
            assert answers == ["node `filter` was replaced"]
            while live.heard("filter")[0] != "new":
                pass
        else:
            assert isinstance(answers[0], DoraError)
            assert [live.heard("filter") for _ in range(2)] == [["old", 0], ["old", 1]]
        live.ask(AskNode("stop", "source"))
        assert live.wait_ended().ok


@pytest.mark.parametrize("action", ["stop", "remove", "restart"])
def test_a_node_that_is_being_replaced_is_not_ended_for_something_else(
    action: Any, tmp_path: Path
) -> None:
    with Live(tmp_path, chain(tmp_path)) as live:
        live.heard("first")
        code = "say('loading')\nwhile not os.path.exists('go'): time.sleep(0.01)\n"
        path = write(tmp_path, "new", code + FORWARDS.format(tag="new"))
        plan = live.addition({"id": "filter", "path": path, **LOSSLESS, **OUT}, replacing="filter")
        answers: list[str] = []
        asking = threading.Thread(target=lambda: answers.append(live.ask(AskReplace(plan))))
        asking.start()
        live.heard("loading")
        with pytest.raises(DoraError, match="is being replaced"):
            live.ask(AskNode(action, "filter"))
        (tmp_path / "go").touch()
        asking.join(15)
        assert answers == ["node `filter` was replaced"]


def test_errors_say_what_is_wrong_and_change_nothing(tmp_path: Path) -> None:
    with Live(tmp_path, chain(tmp_path)) as live:
        live.heard("first")
        cases: list[tuple[Any, str]] = [
            (AskNode("restart", "filtre"), "did you mean `filter`?"),
            (AskNode("stop", "nobody"), "this dataflow has no node `nobody`"),
            (AskNode("remove", "nobody"), "this dataflow has no node `nobody`"),
            (route("source/uot", "sink/x"), "did you mean `out`?"),
            (route("nobody/out", "sink/x"), "has no node `nobody`"),
            (route("source/out", "nobody/x"), "has no node `nobody`"),
            (route("source/out", "sink/in"), "is fed by `filter/out`"),
            (route("source/out", "sink/a b"), "cannot be the id of an input"),
            (route("source/out", "sink/in", connect=False), "it is fed by `filter/out`"),
            (route("source/out", "sink/x", connect=False), "nothing feeds it"),
        ]
        for question, told in cases:
            with pytest.raises(DoraError) as refused:
                live.ask(question)
            assert told in str(refused.value), question
        for new, told in [
            ({"inputs": {"in": "source/out", "x": "source/out"}, **OUT}, "x"),
            ({**LOSSLESS, "outputs": ["other"]}, "no output `out`"),
        ]:
            node = {"id": "filter", "path": write(tmp_path, "n", ""), **new}
            with pytest.raises(DoraError) as refused:
                live.ask(AskReplace(live.addition(node, replacing="filter")))
            assert told in str(refused.value)
        live.ask(AskNode("stop", "source"))
        assert live.heard("read", "sink")[1] == []
        assert live.wait_ended().ok


def test_an_addition_one_of_whose_inputs_has_lost_its_sender_changes_nothing(
    tmp_path: Path,
) -> None:
    """It was planned while the sender was there."""
    nodes = chain(tmp_path) | {"gone": (counter(), OUT)}
    with Live(tmp_path, nodes) as live:
        live.heard("first")
        inputs = {"one": "source/out", "two": "gone/out"}
        more = {"id": "more", "path": write(tmp_path, "more", SINK), "inputs": inputs}
        plan = live.addition(more)
        live.ask(AskNode("remove", "gone"))
        with pytest.raises(DoraError, match="reads from node `gone`"):
            live.ask(AskAdd(plan))
        del inputs["two"]
        live.ask(AskAdd(live.addition({**more, "inputs": inputs})))
        assert live.heard("got", "more")[0] == "one"


@pytest.mark.parametrize("what", ["script", "program", "mode"])
def test_a_node_whose_file_cannot_be_run_is_not_added(what: str, tmp_path: Path) -> None:
    """It could be when it was planned."""
    with Live(tmp_path, {"source": (counter(), OUT)}) as live:
        live.heard("counter")
        path = write(tmp_path, "more", SINK)
        if what != "script":
            path = "more"
            (tmp_path / path).write_text("#!/bin/sh\nsleep 9\n")
            (tmp_path / path).chmod(0o755)
        plan = live.addition({"id": "more", "path": path, **READS})
        if what == "mode":
            (tmp_path / path).chmod(0o644)
        else:
            (tmp_path / path).unlink()
        with pytest.raises(DoraError, match=r"node `more` cannot be started: .*more"):
            live.ask(AskAdd(plan))
        with live.client() as client:
            assert [view.id for view in client.state().nodes] == ["source"]
        live.ask(AskNode("stop", "source"))
        assert live.wait_ended().ok


def test_a_node_may_be_removed_and_come_back_many_times(tmp_path: Path) -> None:
    with Live(tmp_path, {"source": (counter(), OUT), "sink": (NUMBERS, LOSSLESS)}) as live:
        live.heard("first", "sink")
        path = write(tmp_path, "more", SINK)
        fds = None
        for _ in range(4):
            live.ask(AskAdd(live.addition({"id": "more", "path": path, **READS})))
            live.heard("got", "more")
            assert live.ask(AskNode("remove", "more")) == "node `more` was removed"
            live.all_heard("got")
            fds = fds or len(os.listdir("/proc/self/fd"))
        assert len(os.listdir("/proc/self/fd")) <= fds + 1
        live.ask(AskNode("stop", "source"))
        assert live.heard("read", "sink")[1] == []


def test_what_was_taken_away_or_removed_is_shown_no_more_but_counts(tmp_path: Path) -> None:
    def shown() -> list[str]:
        with live.client() as client:
            return [f"{e.sender}/{e.output} {e.receiver}/{e.input}" for e in client.state().edges]

    nodes = {"source": (counter(), OUT), "sink": (NUMBERS, LOSSLESS)}
    with Live(tmp_path, nodes) as live:
        live.heard("first", "sink")
        path = write(tmp_path, "more", FORWARDS.format(tag="more"))
        live.ask(AskAdd(live.addition({"id": "more", "path": path, **READS, **OUT})))
        live.ask(route("more/out", "sink/more"))
        assert live.state("more").path == "more.py"
        assert live.state("sink").inputs == ["in", "more"]
        live.until(lambda: _edge(live, "more").received > 0)
        live.ask(route("source/out", "sink/in", connect=False))
        assert live.state("sink").sources == {"more": "more/out"}
        assert live.state("sink").inputs == ["more"]
        assert shown() == ["source/out more/in", "more/out sink/more"]
        live.ask(AskNode("remove", "more"))
        assert (live.state("sink").inputs, shown()) == ([], [])
        live.ask(AskNode("stop", "source"))
        assert live.wait_ended().messages > int((tmp_path / "sent").read_text())


def test_a_node_that_comes_in_place_of_a_removed_one_has_none_of_its_parameters(
    tmp_path: Path,
) -> None:
    guest = {"path": "dynamic", "inputs": {"in": "source/out"}}
    nodes = {"source": (counter(), OUT), "guest": ("", guest)}
    with Live(tmp_path, nodes) as live:
        live.heard("counter")
        live.ask(AskNode("remove", "guest"))
        live.ask(AskAdd(live.addition({"id": "guest", **guest})))
        with live.client() as client:
            client.ask(AskParam("set", "guest", "gain", b"3"))
            live.ask(AskNode("remove", "guest"))
            live.ask(AskAdd(live.addition({"id": "guest", **guest})))
            assert client.ask(AskParam("list", "guest")) == Params({})


def test_a_node_that_is_restarting_stopping_or_backing_off_takes_what_is_asked(
    tmp_path: Path,
) -> None:
    crash = "from dora import Node\nnode = Node()\nsay('up', node.restart_count())\n"
    crash += "os.kill(os.getpid(), 9) if node.restart_count() < 2 else list(node)\n"
    keys = {**READS, "restart_policy": "always", "restart_delay": 1000}
    nodes = {"source": (counter(), OUT), "waits": (crash, keys), "sink": (NUMBERS, LOSSLESS)}
    with Live(tmp_path, nodes) as live:
        assert live.heard("up") == [0]
        live.noticed("restart 1 in")
        live.ask(route("source/out", "waits/more"))
        assert live.ask(AskNode("restart", "waits")) == "node `waits` was started again"
        assert live.heard("up") == [1]
        live.noticed("restart 2 in")
        assert live.ask(AskNode("stop", "waits")) == "node `waits` stopped"
        with pytest.raises(DoraError, match="has ended"):
            live.ask(AskNode("restart", "waits"))
        with pytest.raises(DoraError, match="has ended"):
            live.ask(route("source/out", "waits/third"))
        assert live.ask(AskNode("remove", "waits")) == "node `waits` was removed"
        live.ask(AskNode("stop", "source"))
        assert live.heard("read", "sink")[1] == []


def test_a_node_ends_whichever_of_its_inputs_it_reads_to_the_end_last(tmp_path: Path) -> None:
    """One was taken away before the sender of the other ended: that end is the last."""
    sending = """
from dora import Node
node = Node()
node.send_output("out", b"", {"n": 0})
say("sent")
for event in node: pass
"""
    reading = """
from dora import Node
node = Node()
say("sink")
while not os.path.exists("go"): time.sleep(0.01)
for event in node:
    say(event["type"], event.get("id"))
"""
    timer = {"inputs": {"tick": "dora/timer/secs/1000"}}
    nodes = {
        "one": (sending, {**OUT, **timer}),
        "sink": (reading, {"inputs": {"a": "one/out", "b": "one/out", "c": "one/out"}}),
    }
    with Live(tmp_path, nodes) as live:
        live.heard("sink")
        live.heard("sent")
        for name in ("a", "c"):
            live.ask(route("one/out", f"sink/{name}", connect=False))
        live.ask(AskNode("stop", "one"))
        (tmp_path / "go").touch()
        assert live.heard("STOP") == ["ALL_INPUTS_CLOSED"]
        assert live.wait_ended().ok


def test_a_client_that_is_gone_before_the_answer_harms_nobody(tmp_path: Path) -> None:
    from dora.wire.framing import frame
    from dora.wire.messages import encode

    stubborn = "from dora import Node\nnode = Node()\nsay('up')\n"
    stubborn += "signal.signal(15, signal.SIG_IGN)\nwhile True: time.sleep(1)\n"
    nodes = {"source": (counter(), OUT), "slow": (stubborn, READS), "sink": (NUMBERS, LOSSLESS)}
    with Live(tmp_path, nodes) as live:
        live.heard("up")
        client = live.client()
        client._socket.sendall(frame(encode(AskNode("stop", "slow", 0.3))))
        live.noticed("node `slow`: stop")
        client.close()
        with pytest.raises(DoraError, match="being ended already"):
            live.ask(AskNode("restart", "slow"))
        live.until(lambda: live.state("slow").state == "finished")
        live.ask(AskNode("stop", "source"))
        assert live.heard("read", "sink")[1] == []
        assert live.wait_ended().ok


def test_a_change_that_needs_more_descriptors_than_there_are_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Live(tmp_path, {"source": (counter(), OUT), "sink": (NUMBERS, LOSSLESS)}) as live:
        live.heard("first")
        more = {"id": "more", "path": write(tmp_path, "more", SINK), **READS}
        plan = live.addition(more)
        with monkeypatch.context() as patch:
            patch.setattr(limits.resource, "getrlimit", lambda _which: (30, 30))
            for change in (AskAdd(plan), route("source/out", "sink/more")):
                with pytest.raises(DoraError, match=r"this dataflow needs .* file descriptors"):
                    live.ask(change)
            live.ask(route("source/out", "sink/in", connect=False))
        live.ask(AskNode("stop", "source"))
        live.ask(AskNode("stop", "sink"))
        assert live.heard("read", "sink")[1] == []


def test_several_clients_at_once_are_all_answered_and_nothing_is_lost(tmp_path: Path) -> None:
    nodes = {"source": (counter(), OUT), "sink": (NUMBERS, LOSSLESS)}
    with Live(tmp_path, nodes) as live:
        live.heard("first")
        problems: list[str] = []

        def change(name: str) -> None:
            for _ in range(15):
                for connect in (True, False):
                    try:
                        live.ask(route("source/out", f"sink/{name}", connect=connect))
                    except DoraError as exc:
                        problems.append(str(exc))

        threads = [threading.Thread(target=change, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert problems == []
        live.ask(AskNode("stop", "source"))
        assert live.wait_ended().ok


SENDS_EIGHT = """
import numpy as np
from dora import Node
node = Node()
while not os.path.exists("go{first}"): time.sleep(0.01)
for n in range({first}, {first} + 8):
    node.send_output("out", np.full(100_000, n, np.uint8), {{"n": n}})
say("sent")
for event in node: pass
"""
READS_WHEN_TOLD = """
from dora import Node
node = Node()
say("sink", os.getpid())
for event in node:
    if event["type"] == "INPUT":
        assert (event["value"] == event["metadata"]["n"]).all()
        say("got", event["metadata"]["n"])
        while not os.path.exists("read"): time.sleep(0.01)
    else:
        say(event["type"], event.get("id"))
"""


@pytest.mark.parametrize("same", [False, True])
def test_what_a_removed_node_had_sent_outlives_a_restart_of_its_receiver(
    same: bool, tmp_path: Path
) -> None:
    """Also where another, of the same name, feeds the same input by then."""
    sending = SENDS_EIGHT
    timer = {"inputs": {"tick": "dora/timer/secs/1000"}}
    nodes = {
        "source": (sending.format(first=0), {**OUT, **timer}),
        "sink": (READS_WHEN_TOLD, {**LOSSLESS, "restart_policy": "on-failure"}),
    }
    for first in (0, 200):
        (tmp_path / f"go{first}").touch()
    with Live(tmp_path, nodes) as live:
        (pid,) = live.heard("sink")
        live.heard("sent")
        assert live.heard("got") == [0]
        live.ask(AskNode("remove", "source"))
        path = write(tmp_path, "again", sending.format(first=100))
        live.ask(AskAdd(live.addition({"id": "source", "path": path, **OUT, **timer})))
        live.ask(route("source/out", "sink/in" if same else "sink/more", queue_size=20))
        (tmp_path / "go100").touch()
        live.heard("sent")
        os.kill(pid, signal.SIGKILL)
        live.heard("sink")
        (tmp_path / "read").touch()
        got = [live.heard("got")[0] for _ in range(15)]
        assert [n for n in got if n < 100] == list(range(1, 8))
        assert [n for n in got if n >= 100] == list(range(100, 108))
        assert got == sorted(got) or not same
        assert live.heard("INPUT_CLOSED") == ["in"]
        path = write(tmp_path, "again", sending.format(first=200))
        live.ask(AskNode("restart", "source"))
        assert [live.heard("got") for _ in range(8)] == [[n] for n in range(200, 208)]


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("change", ["restart", "replace", "remove"])
def test_a_script_may_change_what_has_not_yet_started(
    change: str, joined: bool, tmp_path: Path
) -> None:
    """`dora start --detach` returns when the processes were started, as in dora-rs."""
    wait = "say('loading')\nwhile not os.path.exists('go'): time.sleep(0.01)\n"
    nodes = chain(tmp_path)
    old = nodes["filter"][0]
    if joined:
        nodes["sink"] = (wait + NUMBERS, nodes["sink"][1])
    else:
        nodes["filter"] = (f"say('loading')\ntime.sleep(1e6)\n{old}", nodes["filter"][1])
    with Live(tmp_path, nodes) as live:
        live.heard("loading")
        live.until(lambda: live.state("source").state == "waiting")
        write(tmp_path, "filter", old)
        if joined:
            live.until(lambda: live.state("filter").state == "waiting")
        if change == "replace":
            new = {"id": "filter", "path": "filter.py", **LOSSLESS, **OUT}
            plan = live.addition(new, replacing="filter")
            assert live.ask(AskReplace(plan)) == "node `filter` was replaced"
        else:
            live.ask(AskNode(change, "filter"))  # type: ignore[arg-type]
        (tmp_path / "go").touch()
        if change == "remove":
            live.heard("counter")
            assert live.heard("INPUT_CLOSED", "sink")[0] == "in"
        else:
            assert live.heard("filter") == ["old", int(change == "restart")]
            assert live.heard("first") == [0]
        live.ask(AskNode("stop", "source"))
        assert live.wait_ended().ok


def test_a_stop_while_a_successor_loads_ends_all_and_is_told(tmp_path: Path) -> None:
    with Live(tmp_path, chain(tmp_path)) as live:
        live.heard("first")
        code = "signal.signal(15, signal.SIG_IGN)\nsay('loading', os.getpid())\ntime.sleep(1e6)\n"
        new = {"id": "filter", "path": write(tmp_path, "new", code), **LOSSLESS, **OUT}
        plan = live.addition(new, replacing="filter")
        answers: list[DoraError] = []

        def replace() -> None:
            try:
                live.ask(AskReplace(plan))
            except DoraError as exc:
                answers.append(exc)

        asking = threading.Thread(target=replace)
        asking.start()
        (pid,) = live.heard("loading")
        with pytest.raises(DoraError, match="is being ended or replaced already"):
            live.ask(AskReplace(plan))
        with live.client() as client:
            client.stop("enough")
        assert live.wait_ended().ok
        asking.join(10)
        assert "the dataflow ended" in str(answers[0])
        assert not os.path.exists(f"/proc/{pid}")


def test_a_dynamic_node_may_be_wired_before_it_is_there(tmp_path: Path) -> None:
    guest = {"path": "dynamic", "inputs": {"in": "source/out"}}
    nodes = {"source": (counter(), OUT), "guest": ("", guest), "sink": (NUMBERS, LOSSLESS)}
    with Live(tmp_path, nodes) as live:
        live.heard("first")
        live.ask(route("source/out", "guest/more"))
        live.until(lambda: _edge(live, "more").waiting == 10)
        live.ask(route("source/out", "guest/more", connect=False))
        live.ask(AskNode("remove", "guest"))
        live.ask(AskNode("stop", "source"))
        assert live.heard("read", "sink")[1] == []
        assert live.wait_ended().ok


def test_who_is_wired_to_a_node_of_a_removed_ones_name_before_it_came_up_reads_from_it(
    tmp_path: Path,
) -> None:
    source = {**OUT, "inputs": {"tick": "dora/timer/millis/1"}}
    nodes = {
        "source": (counter(5000), OUT),
        "sink": (SINK, {"inputs": {"in": "source/out", "clock": "clock/out"}}),
        "clock": (counter(), source),
    }
    with Live(tmp_path, nodes) as live:
        live.heard("got", "sink")
        live.ask(AskNode("remove", "source"))
        late = write(tmp_path, "late", "time.sleep(0.2)\n" + counter(5000))
        live.ask(AskAdd(live.addition({"id": "source", "path": late, **OUT})))
        live.all_heard("got", "sink")
        live.ask(route("source/out", "sink/in"))
        while live.heard("got", "sink")[0] != "in":
            pass
        live.ask(AskNode("remove", "clock"))
        assert live.state("sink").state == "running"
