"""Where and when a received value may die: any thread, after close, at exit, in a fork."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
from typing import Any

import pytest
from edge_messages import is_whole
from edge_rig import Rig


def test_values_may_be_let_go_on_other_threads() -> None:
    with Rig(queue_size=50) as rig:
        (peer,) = rig.receivers()
        for number in range(50):
            rig.send(number, 5000)
        peer.call("take", 50, keep=True)
        peer.call("let_go_on_threads")
        assert rig.held() == 0


def test_values_stay_valid_after_their_input_was_closed_and_are_given_back_then() -> None:
    with Rig() as rig:
        (peer,) = rig.receivers()
        for number in range(10):
            rig.send(number, 5000)
        peer.call("take", 10, keep=True)
        peer.call("close")
        assert peer.call("damaged_kept") == 0
        assert rig.held() == 10
        peer.call("let_go")
        assert rig.held() == 0


def test_a_return_is_never_written_to_a_descriptor_that_was_closed_and_used_again() -> None:
    with Rig() as rig:
        port = rig.port()
        rig.send(0, 5000)
        event: Any = port.take()
        port.close()
        del port
        gc.collect()
        pipes = [os.pipe() for _ in range(16)]  # take every number that is free
        assert is_whole(event)
        del event
        assert rig.held() == 0
        for read, write in pipes:
            os.close(write)
            assert os.read(read, 64) == b""
            os.close(read)


@pytest.mark.parametrize("at_exit", [False, True], ids=["lets_go", "ends"])
def test_a_forked_child_gives_nothing_back(at_exit: bool) -> None:
    with Rig() as rig:
        (peer,) = rig.receivers()
        for number in range(10):
            rig.send(number, 5000)
        peer.call("take", 10, keep=True)
        assert peer.call("fork_a_child_that_lets_go", at_exit=at_exit) == 0
        assert rig.held() == 10
        for number in range(10, 40):
            rig.send(number, 5000)
        assert peer.call("damaged_kept") == 0
        peer.call("let_go")
        assert peer.call("take_waiting")["damaged"] == 0
        assert rig.held() == 0


def test_a_receiver_that_ends_with_values_in_hand_ends_quietly() -> None:
    with Rig() as rig:
        (peer,) = rig.receivers()
        for number in range(10):
            rig.send(number, 5000)
        peer.call("take", 10, keep=True)
        peer.close()  # status 0 and nothing on stderr
        rig.sender.receiver_gone([0], died=True)
        assert rig.held() == 0


def test_a_value_that_dies_last_of_all_at_interpreter_shutdown_does_so_quietly() -> None:
    program = textwrap.dedent("""
        import builtins, sys
        from edge_rig import Rig
        rig = Rig()
        port = rig.port()
        rig.send(0, 5000)
        class Late:
            def __init__(self, value):
                self.value = value
            def __del__(self):
                assert len(self.value["value"].tobytes()) == 5000
        builtins.late = Late(port.take())
        late.itself = late
        sys.modules["kept"] = rig, port
    """)
    path = [os.path.dirname(__file__), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_slice_keeps_its_message() -> None:
    with Rig(queue_size=100) as rig:
        port = rig.port()
        rig.send(0, 50_000)
        event: Any = port.take()
        piece = event["value"][1000:1100]
        wanted = piece.tobytes()
        del event
        gc.collect()
        for number in range(100):
            rig.send(number, 50_000)
            port.take()
        assert piece.tobytes() == wanted
        assert rig.held() == 1
        del piece
        assert rig.held() == 0
        port.close()


def test_the_end_of_sender_and_daemon_closes_an_input() -> None:
    rig = Rig()
    with rig:
        port = rig.port()
        rig.send(0, 64)
    events: list[Any] = [port.take(), port.take()]
    assert [event["type"] for event in events] == ["INPUT", "INPUT_CLOSED"]
    port.close()
