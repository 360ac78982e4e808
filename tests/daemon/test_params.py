"""Questions about parameters: who is told what, in which order, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dora.daemon.params import ParamDesk
from dora.daemon.visitors import Visitors
from dora.errors import DoraError
from dora.wire.messages import Param, Refused, encode
from dora.wire.visits import AskParam, Dataflow, Params, decode_answer

if TYPE_CHECKING:
    import msgspec


class Client:
    """A link that keeps what is sent on it."""

    closed = False

    def __init__(self, visitors: Visitors) -> None:
        self._visitors = visitors
        self._answers: list[Any] = []

    def send(self, message: msgspec.Struct) -> None:
        self._answers.append(decode_answer(encode(message)))

    def ask(self, action: Any, node: str = "camera", key: str = "", value: bytes = b"") -> Any:
        self._visitors.hear(self, encode(AskParam(action, node, key, value)))  # type: ignore[arg-type]
        (answer,) = self._answers
        self._answers = []
        return answer


class Desk:
    """A desk whose doings are written down in order."""

    def __init__(self, known: dict[str, dict[str, bytes]] | None = None) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.refuses_to_save = False
        visitors = Visitors(lambda: Dataflow("id", "name", []))
        self.desk = ParamDesk(
            visitors,
            lambda: ["camera", "plot"],
            lambda node, message: self.done.append(("tell", node, message)),
            self._saved,
            known,
        )
        self.client = Client(visitors)

    def _saved(self, node: str, key: str, value: bytes | None) -> None:
        if self.refuses_to_save:
            raise DoraError("the disk is full")
        self.done.append(("saved", node, key, value))


def test_what_is_set_is_saved_then_told_to_the_node_then_answered() -> None:
    desk = Desk()
    assert desk.client.ask("set", key="fps", value=b" [30, 1]") == Params({"fps": b"[30,1]"})
    assert desk.done == [
        ("saved", "camera", "fps", b"[30,1]"),
        ("tell", "camera", Param("fps", b"[30,1]")),
    ]
    assert desk.client.ask("get", key="fps") == Params({"fps": b"[30,1]"})


def test_what_is_deleted_is_answered_with_its_last_value() -> None:
    desk = Desk({"camera": {"fps": b"30"}})
    assert desk.client.ask("delete", key="fps") == Params({"fps": b"30"})
    assert desk.done == [
        ("saved", "camera", "fps", None),
        ("tell", "camera", Param("fps", None)),
    ]
    assert desk.client.ask("list") == Params({})


def test_a_node_that_joins_again_is_told_all_of_its_parameters_and_no_others() -> None:
    desk = Desk({"camera": {"mode": b'"night"', "fps": b"30"}, "plot": {"size": b"3"}})
    assert desk.desk.for_node("camera") == [Param("fps", b"30"), Param("mode", b'"night"')]
    desk.client.ask("set", key="gain", value=b"2")
    desk.client.ask("delete", key="mode")
    assert desk.desk.for_node("camera") == [Param("fps", b"30"), Param("gain", b"2")]
    assert desk.desk.for_node("lidar") == []


def test_a_node_that_is_taken_out_takes_its_parameters_with_it() -> None:
    desk = Desk({"camera": {"mode": b"1", "fps": b"30"}})
    desk.desk.forget("camera")
    assert desk.done == [("saved", "camera", "fps", None), ("saved", "camera", "mode", None)]
    assert desk.desk.for_node("camera") == []


@pytest.mark.parametrize(
    ("question", "told"),
    [
        (("list", "camra"), "this dataflow has no node `camra`; did you mean `camera`?"),
        (("get", "camera", "fps"), "node `camera` has no parameter `fps`; did you mean `fpss`?"),
        (("delete", "plot", "fps"), "node `plot` has no parameter `fps`; none are set"),
        (("set", "camera", "", b"1"), "the key of a parameter has 1 to 256 bytes"),
        (("set", "camera", "fps", b"high"), "the value is no JSON: "),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused_and_changes_nothing(
    question: tuple[Any, ...], told: str
) -> None:
    desk = Desk({"camera": {"fpss": b"30"}})
    answer = desk.client.ask(*question)
    assert isinstance(answer, Refused)
    assert answer.reason.startswith(told)
    assert desk.done == []
    assert desk.desk.for_node("camera") == [Param("fpss", b"30")]


@pytest.mark.parametrize("action", ["set", "delete"])
def test_what_cannot_be_saved_is_neither_kept_nor_told(action: str) -> None:
    desk = Desk({"camera": {"fps": b"30"}})
    desk.refuses_to_save = True
    assert desk.client.ask(action, key="fps", value=b"60") == Refused("the disk is full")
    assert desk.done == []
    assert desk.client.ask("get", key="fps") == Params({"fps": b"30"})
