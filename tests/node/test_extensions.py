"""Values that the nodes of a dataflow share, asked of the daemon."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from dora.errors import ExtensionError, NodeClosedError
from dora.wire.extensions import MOST_BYTES, MOST_NAME_BYTES

from .test_services import meanwhile

if TYPE_CHECKING:
    from .flows import Flow
    from .rig import Rigs


def test_values_go_from_node_to_node_and_their_end_is_told(flow: Flow) -> None:
    keeper = """
        from dora import Node
        node = Node()
        assert node.extension_load("ns", "never") is None
        node.extension_store("ns", "k", b"1")
        node.extension_store("ns", "k", b"2")
        assert node.drain_dropped_extension_keys("ns") == []
        node.extension_store("ns", "mine", bytes(1_000_000))
        node.send_output("ready", b"")
        for event in node:
            if event["type"] == "INPUT":
                assert node.drain_dropped_extension_keys("ns") == ["k"]
                assert node.drain_dropped_extension_keys("ns") == []
                say("told")
    """
    reader = """
        from dora import Node
        node = Node()
        node.next()
        say(node.extension_load("ns", "k").decode(), len(node.extension_load("ns", "mine")))
        say(node.extension_load("ns", "k", remove=True).decode(), node.extension_load("ns", "k"))
        node.extension_drop("ns", "never")
        node.send_output("seen", b"")
        node.close_outputs("seen")
        for event in node:
            say(event["type"])
        while "mine" not in (keys := node.drain_dropped_extension_keys("ns")):
            assert set(keys) <= {"k"}
        say("the keeper is gone")
    """
    flow.node("keeper", keeper, {"seen": "reader/seen"}, ["ready"])
    flow.node("reader", reader, {"ready": "keeper/ready"}, ["seen"])
    ran = flow.run()
    assert ran.said("keeper") == ["told"]
    said = ran.said("reader")
    assert said[:2] == [["2", 1_000_000], ["2", None]]
    assert said[-1] == "the keeper is gone"


def test_threads_ask_at_once_while_another_receives(flow: Flow) -> None:
    node = """
        import threading
        from dora import Node
        node = Node()

        def work(name):
            for number in range(50):
                node.extension_store("ns", f"{name}/{number}", f"{name}{number}".encode())
                loaded = node.extension_load("ns", f"{name}/{number}", remove=True)
                assert loaded == f"{name}{number}".encode()
            say(name)

        threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for event in node:
            if not any(thread.is_alive() for thread in threads):
                break
    """
    ran = flow.node("n", node, {"tick": "dora/timer/millis/5"}).run()
    assert sorted(ran.said("n")) == ["a", "b", "c"]


def test_values_of_the_largest_size_go_whole_also_from_several_threads(flow: Flow) -> None:
    node = f"""
        import threading
        from dora import Node
        node = Node()
        node.extension_store("ns", "largest", bytes({MOST_BYTES}))
        assert len(node.extension_load("ns", "largest")) == {MOST_BYTES}

        def work(name):
            for number in range(5):
                node.extension_store("ns", str(name), bytes([name]) * 700_000)
                assert node.extension_load("ns", str(name)) == bytes([name]) * 700_000
            say(name)

        threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    """
    ran = flow.node("n", node, {"tick": "dora/timer/secs/1"}).run()
    assert sorted(ran.said("n")) == [0, 1, 2, 3]


def test_what_is_not_bytes_or_too_large_is_an_error(wire: Rigs) -> None:
    rig = wire({"a": 10})
    with pytest.raises(TypeError, match=r"`ns/k` is str, not bytes"):
        rig.node.extension_store("ns", "k", "text")  # type: ignore[arg-type]
    with pytest.raises(ExtensionError, match="send large data as messages"):
        rig.node.extension_store("ns", "k", bytes(MOST_BYTES + 1))
    with pytest.raises(ExtensionError, match="belongs into the value"):
        rig.node.extension_load("ns", "k" * (MOST_NAME_BYTES + 1))
    with pytest.raises(TypeError, match="a key of extension values is text, not int"):
        rig.node.extension_load("ns", 1)  # type: ignore[arg-type]


def test_a_daemon_that_is_gone_ends_the_wait(wire: Rigs) -> None:
    rig = wire({"a": 10})
    closer = threading.Thread(target=lambda: (rig.daemon.recv(1), rig.daemon.close()))
    rig.daemon.setblocking(True)
    closer.start()
    with pytest.raises(NodeClosedError, match="the daemon"):
        rig.node.extension_load("ns", "k")
    closer.join()


def test_a_node_that_is_closed_ends_the_wait_of_its_other_threads(wire: Rigs) -> None:
    rig = wire({"a": 10})

    def load() -> None:
        with pytest.raises(NodeClosedError, match="was closed"):
            rig.node.extension_load("ns", "k")

    with meanwhile(load):
        rig.daemon.setblocking(True)
        rig.daemon.recv(1)
        rig.node.close()
