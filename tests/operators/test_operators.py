"""Operators as they see the dataflow: events, answers, ends, failures."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dora.descriptor.types_library import Library
from dora.descriptor.types_text import parse_type
from dora.transport import endpoint
from dora.wire import messages
from dora.wire.layouts import NodeTypes
from dora.wire.runtime import OperatorRestart

from .operator_rig import Operators, eventually, heard, said, taken

if TYPE_CHECKING:
    from pathlib import Path

ECHO = """
class Operator:
    def on_event(self, dora_event, send_output):
        say(dora_event["type"], dora_event["id"])
        if dora_event["type"] == "INPUT":
            send_output("out", dora_event["value"], dora_event["metadata"])
        return DoraStatus.CONTINUE
"""
FAILS_ON_1 = """
class Operator:
    def __init__(self):
        say("made")
    def on_event(self, dora_event, send_output):
        if dora_event["type"] == "INPUT":
            number = int(dora_event["value"][0])
            say(number)
            if number == 1:
                raise ValueError("one is too many")
        return DoraStatus.CONTINUE
"""


def test_an_operator_sees_its_own_names_and_sends_by_them(operators: Operators) -> None:
    operators.add("a", ECHO, "x", "out")
    rig = operators.start()
    rig.send("a/x", np.arange(3), {"k": 1})
    assert heard() == ("INPUT", "x")
    event = taken(rig, "a/out")
    assert event["value"].tolist() == [0, 1, 2]
    assert event["metadata"]["k"] == 1
    rig.close_input("a/x")
    assert heard() == ("INPUT_CLOSED", "x")
    assert heard() == ("STOP", "ALL_INPUTS_CLOSED")
    assert operators.ended_well()


def test_an_event_is_a_dict_with_the_keys_of_dora_rs(operators: Operators) -> None:
    operators.add(
        "a",
        """
        class Operator:
            def on_event(self, dora_event, send_output):
                say(sorted(dora_event), type(dora_event) is dict)
                return DoraStatus.CONTINUE
        """,
        "x",
    )
    operators.start().send("a/x", np.arange(3))
    assert heard() == (["id", "kind", "metadata", "type", "value"], True)


def test_two_operators_of_one_process_have_their_own_events_and_outputs(
    operators: Operators,
) -> None:
    operators.add("a", ECHO, "x", "out")
    operators.add("b", ECHO, "x", "out")
    rig = operators.start()
    rig.send("b/x", np.arange(2))
    assert heard() == ("INPUT", "x")
    assert taken(rig, "b/out")["value"].tolist() == [0, 1]
    assert rig.take("a/out") is None


def test_an_operator_whose_inputs_are_closed_gets_stop_while_another_goes_on(
    operators: Operators,
) -> None:
    operators.add("a", ECHO, "x", "out")
    operators.add("b", ECHO, "x", "out")
    rig = operators.start()
    rig.close_input("a/x")
    assert heard() == ("INPUT_CLOSED", "x")
    assert heard() == ("STOP", "ALL_INPUTS_CLOSED")
    eventually(lambda: messages.CloseOutputs(["a/out"]) in rig.heard())
    rig.send("b/x", np.arange(2))
    assert taken(rig, "b/out")["value"].tolist() == [0, 1]


def test_a_timer_keeps_an_operator_running_when_its_inputs_are_closed(
    operators: Operators,
) -> None:
    operators.add("a", ECHO, "x", "out")
    rig = operators.start(timers={"a/tick": 1_000_000})
    rig.close_input("a/x")
    while heard() != ("INPUT_CLOSED", "x"):
        pass
    assert heard() == ("INPUT", "tick")
    assert heard() == ("INPUT", "tick")


def test_a_stop_of_the_dataflow_reaches_every_operator(operators: Operators) -> None:
    operators.add("a", ECHO, "x", "out")
    operators.add("b", ECHO, "x", "out")
    rig = operators.start()
    rig.stop()
    assert [heard(), heard()] == [("STOP", "MANUAL")] * 2
    assert operators.ended_well()


def test_one_operator_that_computes_does_not_keep_another_waiting(operators: Operators) -> None:
    operators.add(
        "slow",
        """
        import threading
        gate = threading.Event()
        class Operator:
            def on_event(self, dora_event, send_output):
                if dora_event["type"] == "INPUT":
                    say("busy", gate)
                    gate.wait(20)
                return DoraStatus.CONTINUE
        """,
        "x",
    )
    operators.add("b", ECHO, "x", "out")
    rig = operators.start()
    rig.send("slow/x", np.arange(1))
    _, gate = heard()
    rig.send("b/x", np.arange(2))
    assert taken(rig, "b/out")["value"].tolist() == [0, 1]
    gate.set()


WHERE = """
import threading
class Operator:
    def on_event(self, dora_event, send_output):
        say(threading.current_thread())
        return DoraStatus.CONTINUE
"""


def test_a_single_operator_has_the_thread_that_runs_the_node(operators: Operators) -> None:
    operators.add("a", WHERE, "x")
    rig = operators.start()
    rig.send("a/x", np.arange(1))
    assert heard() is rig.node.thread


def test_several_operators_have_a_thread_each(operators: Operators) -> None:
    operators.add("a", WHERE, "x")
    operators.add("b", WHERE, "x")
    rig = operators.start()
    for name in ("a", "b"):
        rig.send(f"{name}/x", np.arange(1))
        assert heard().name == name


def test_operators_end_when_the_daemon_is_gone(operators: Operators) -> None:
    operators.add("a", ECHO, "x", "out")
    operators.add("b", ECHO, "x", "out")
    rig = operators.start()
    assert operators.runtime
    rig.daemon.close()
    assert [heard(), heard()] == [("STOP", "MANUAL")] * 2
    assert operators.ended_well()


def test_stop_ends_one_operator_closes_its_outputs_and_drops_what_comes_for_it(
    operators: Operators,
) -> None:
    operators.add(
        "a",
        """
        class Operator:
            def on_event(self, dora_event, send_output):
                say("a", dora_event["type"])
                return DoraStatus.STOP
        """,
        "x",
        "out",
    )
    operators.add("b", ECHO, "x", "out")
    rig = operators.start()
    for _ in range(3):
        rig.send("a/x", np.zeros(1000))
    assert heard() == ("a", "INPUT")
    eventually(lambda: messages.CloseOutputs(["a/out"]) in rig.heard())
    eventually(lambda: rig.held() == 0)
    rig.send("b/x", np.arange(2))
    assert heard() == ("INPUT", "x")
    rig.close_input("b/x")
    assert heard() == ("INPUT_CLOSED", "x")
    assert heard() == ("STOP", "ALL_INPUTS_CLOSED")
    assert operators.ended_well()
    assert messages.Goodbye() in eventually(rig.heard)


def test_stop_all_asks_the_daemon_to_stop_the_dataflow_and_names_the_operator(
    operators: Operators,
) -> None:
    operators.add(
        "a",
        """
        class Operator:
            def on_event(self, dora_event, send_output):
                return DoraStatus.STOP_ALL
        """,
        "x",
    )
    operators.add("b", ECHO, "x", "out")
    rig = operators.start()
    rig.send("a/x", np.arange(1))
    eventually(lambda: messages.StopDataflow("operator `n/a` returned STOP_ALL") in rig.heard())
    rig.stop()
    assert heard() == ("STOP", "MANUAL")
    assert operators.ended_well()


@pytest.mark.parametrize(
    ("answer", "shown"),
    [("None", "None"), ("0", "0, of type `int`,"), ("'STOP'", "'STOP', of type `str`,")],
)
def test_an_answer_that_is_no_status_is_an_error_that_names_operator_file_and_what_to_return(
    answer: str, shown: str, operators: Operators, capsys: pytest.CaptureFixture[str]
) -> None:
    path = operators.add(
        "a",
        f"""
        class Operator:
            def on_event(self, dora_event, send_output):
                return {answer}
        """,
        "x",
    )
    operators.start().send("a/x", np.arange(1))
    assert not operators.ended_well()
    assert capsys.readouterr().err == (
        f"Error: operator `a`: `on_event` of `{path}` returned {shown} for INPUT `x`; return "
        "`DoraStatus.CONTINUE`, `DoraStatus.STOP` or `DoraStatus.STOP_ALL` "
        "(`from dora import DoraStatus`)\n"
    )


def test_an_enum_of_the_users_own_with_the_same_values_is_as_good(operators: Operators) -> None:
    operators.add(
        "a",
        """
        from enum import Enum
        class Status(Enum):
            GO_ON = 0
            DONE = 1
        class Operator:
            def on_event(self, dora_event, send_output):
                say(dora_event["type"])
                return Status.DONE if dora_event["type"] == "INPUT" else Status.GO_ON
        """,
        "x",
    )
    operators.start().send("a/x", np.arange(1))
    assert heard() == "INPUT"
    assert operators.ended_well()


def test_the_descriptor_is_there_once_the_operator_is_made(operators: Operators) -> None:
    operators.add(
        "a",
        """
        class Operator:
            def __init__(self):
                say(hasattr(self, "dataflow_descriptor"))
            def on_event(self, dora_event, send_output):
                say(self.dataflow_descriptor)
                return DoraStatus.CONTINUE
        """,
        "x",
    )
    rig = operators.start()
    assert heard() is False
    rig.send("a/x", np.arange(1))
    assert heard() == {"nodes": []}


def test_an_output_that_is_not_declared_is_warned_about_and_goes_nowhere(
    operators: Operators, caplog: pytest.LogCaptureFixture
) -> None:
    operators.add(
        "a",
        """
        class Operator:
            def on_event(self, dora_event, send_output):
                send_output("nope", b"x")
                say("sent")
                return DoraStatus.CONTINUE
        """,
        "x",
        "out",
    )
    operators.start().send("a/x", np.arange(1))
    assert heard() == "sent"
    assert "Ignoring output `a/nope`" in caplog.text


def test_a_failing_operator_fails_the_node_with_its_own_frames_and_stops_the_others(
    operators: Operators, capsys: pytest.CaptureFixture[str]
) -> None:
    path = operators.add("a", FAILS_ON_1, "x", "out")
    operators.add("b", ECHO, "x", "out")
    rig = operators.start()
    assert heard() == "made"
    rig.send("a/x", np.array([1]))
    assert heard() == 1
    assert heard() == ("STOP", "MANUAL")
    assert not operators.ended_well()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[1].startswith(f'  File "{path}", line ')
    assert lines[-2:] == [
        "ValueError: one is too many",
        "operator `a` (a_file.py) failed on INPUT `x`: ValueError: one is too many",
    ]
    # Its outputs close with the process, behind the failure.
    assert [type(message) for message in rig.heard()] == [messages.Register]


def test_an_operator_that_exits_has_failed(
    operators: Operators, capsys: pytest.CaptureFixture[str]
) -> None:
    operators.add(
        "a",
        """
        import sys
        class Operator:
            def on_event(self, dora_event, send_output):
                sys.exit(3)
        """,
        "x",
    )
    operators.add("b", ECHO, "x", "out")
    operators.start().send("a/x", np.arange(1))
    assert not operators.ended_well()
    assert "operator `a` (a_file.py) failed on INPUT `x`: SystemExit: 3" in capsys.readouterr().err


def test_an_operator_that_may_restart_is_made_anew_and_reads_on(
    operators: Operators, capsys: pytest.CaptureFixture[str]
) -> None:
    operators.add("a", FAILS_ON_1, "x")
    operators.add("b", ECHO, "x", "out")
    rig = operators.start(OperatorRestart("on-failure", max_restarts=2))
    assert heard() == "made"
    for number in (0, 1, 2):
        rig.send("a/x", np.array([number]))
    assert [heard() for _ in range(4)] == [0, 1, "made", 2]
    rig.send("a/x", np.array([1]))
    assert [heard() for _ in range(2)] == [1, "made"]
    rig.send("a/x", np.array([1]))
    assert [heard() for _ in range(2)] == [1, ("STOP", "MANUAL")]
    assert not operators.ended_well()
    assert capsys.readouterr().err.count("ValueError: one is too many\n") == 6


def test_a_stop_ends_the_wait_for_a_restart(operators: Operators) -> None:
    operators.add("a", FAILS_ON_1, "x")
    rig = operators.start(OperatorRestart("always", delay_s=1000.0))
    rig.send("a/x", np.array([1]))
    assert [heard(), heard()] == ["made", 1]
    rig.stop()
    assert not operators.ended_well()
    assert said.empty()


def test_an_operator_that_fails_on_stop_has_failed_whatever_the_policy(
    operators: Operators, capsys: pytest.CaptureFixture[str]
) -> None:
    operators.add(
        "a",
        """
        class Operator:
            def on_event(self, dora_event, send_output):
                assert dora_event["type"] != "STOP"
                return DoraStatus.CONTINUE
        """,
        "x",
    )
    operators.start(OperatorRestart("always")).close_input("a/x")
    assert not operators.ended_well()
    assert "failed on STOP `ALL_INPUTS_CLOSED`: AssertionError" in capsys.readouterr().err


def test_an_operator_that_waits_for_room_of_one_that_failed_waits_no_more(
    operators: Operators,
) -> None:
    operators.add(
        "a",
        """
        class Operator:
            def on_event(self, dora_event, send_output):
                say("sends")
                for number in range(1000):  # far more than there is room for
                    send_output("out", number)
                say("sent all")
                return DoraStatus.STOP
        """,
        "x",
        "out",
    )
    operators.add("b", FAILS_ON_1, "x")
    rig = operators.start(backpressure=True)
    assert heard() == "made"
    rig.send("a/x", np.arange(1))
    assert heard() == "sends"
    rig.send("b/x", np.array([1]))
    assert heard() == 1
    assert heard() == "sent all"
    assert not operators.ended_well()


def test_an_operator_that_cannot_be_made_ends_the_process_before_it_joins(
    operators: Operators, capsys: pytest.CaptureFixture[str]
) -> None:
    operators.add(
        "a",
        "class Operator:\n    def __init__(self):\n        1 / 0\n"
        "    def on_event(self, dora_event, send_output): ...\n",
    )
    rig = operators.start()
    assert not operators.ended_well()
    assert rig.heard() == []
    endpoint.connect("@rig").close()  # the node's side, which nobody took
    assert capsys.readouterr().err.endswith(
        "operator `a` (a_file.py) failed while it was made: ZeroDivisionError: division by zero\n"
    )


def test_reload_takes_the_new_file_and_keeps_the_attributes(operators: Operators) -> None:
    source = """
        class Operator:
            def __init__(self):
                self.count = 0
            def on_event(self, dora_event, send_output):
                self.count += 1
                say("{version}", dora_event["type"], self.count)
                return DoraStatus.CONTINUE
        """
    path = operators.add("a", source.replace("{version}", "old"), "x")
    rig = operators.start()
    rig.send("a/x", np.arange(1))
    assert heard() == ("old", "INPUT", 1)
    operators.write(path, source.replace("{version}", "new"))
    operators.reload("a")
    assert heard() == ("new", "RELOAD", 2)


def test_a_file_that_no_longer_parses_leaves_the_operator_as_it_was(
    operators: Operators, caplog: pytest.LogCaptureFixture
) -> None:
    path = operators.add("a", ECHO, "x", "out")
    rig = operators.start()
    assert operators.runtime  # the first version has been imported
    operators.write(path, "class Operator:\n    def broken(\n")
    operators.reload("a")
    assert heard() == ("RELOAD", "a")
    (told,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "operator `a` was not reloaded and goes on as it was" in told.getMessage()
    assert f'File "{path}", line' in told.getMessage()
    rig.send("a/x", np.arange(2))
    assert taken(rig, "a/out")["value"].tolist() == [0, 1]


def test_a_reload_concerns_its_operator_alone(operators: Operators) -> None:
    operators.add("a", ECHO, "x", "out")
    operators.add("b", ECHO, "x", "out")
    rig = operators.start()
    operators.reload("b")
    assert heard() == ("RELOAD", "b")
    rig.send("a/x", np.arange(1))
    assert heard() == ("INPUT", "x")


def test_what_dora_rs_does_not_hand_to_operators_is_logged(
    operators: Operators, caplog: pytest.LogCaptureFixture
) -> None:
    operators.add("a", ECHO, "x", "out")
    operators.add("b", ECHO, "x", "out")
    rig = operators.start()
    rig.tell(messages.NodeFailed("camera", "exited with code 1", ["a/x"]))
    eventually(lambda: "`a`: a node that feeds it failed" in caplog.text)
    assert "operator `b`" not in caplog.text
    assert "'affected_input_ids': ['x']" in caplog.text


def test_the_first_message_of_a_typed_input_is_looked_at_when_asked_for(
    operators: Operators, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DORA_RUNTIME_TYPE_CHECK", "warn")
    library = Library()
    text = library.port_type(library.resolve(parse_type("String")))
    operators.add("a", ECHO, "x", "out")
    operators.add("b", ECHO, "x", "out")
    rig = operators.start(types=NodeTypes(inputs={"a/x": text}))
    for name in ("b/x", "a/x"):
        rig.send(name, np.arange(2))
        assert heard() == ("INPUT", "x")
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("input `n/a/x` expects `std/core/v1/String`, but its first message is")


def test_files_of_one_name_do_not_mix(operators: Operators, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        operators.add(
            folder,
            f"""
            class Operator:
                def on_event(self, dora_event, send_output):
                    say("{folder}")
                    return DoraStatus.CONTINUE
            """,
            "x",
            file=f"{folder}/same_operator.py",
        )
    rig = operators.start()
    rig.send("one/x", np.arange(1))
    assert heard() == "one"
    rig.send("two/x", np.arange(1))
    assert heard() == "two"
    # Behind all else, as in dora-rs: no file beside an operator hides an installed module.
    assert sys.path[-2:] == [str(tmp_path / "one"), str(tmp_path / "two")]


def test_an_input_that_is_added_goes_to_its_operator_under_the_name_it_knows(
    operators: Operators,
) -> None:
    for name in "ab":
        operators.add(
            name,
            f"""
            class Operator:
                def on_event(self, event, send_output):
                    if event["type"] == "INPUT":
                        say("{name}", event["id"])
                    return DoraStatus.CONTINUE
            """,
            inputs="in",
        )
    rig = operators.start()
    fds = rig._open_input("b/more", 10)
    wire = messages.InputWire("b/more", 9, "rig", False, queue_size=10)
    rig.tell(messages.AddInput(len(fds), wire, 2, []), fds)
    for fd in fds:
        os.close(fd)
    rig.send("b/more", 1)
    assert heard() == ("b", "more")
