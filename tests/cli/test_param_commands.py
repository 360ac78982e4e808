"""`dora param`: output as dora-rs has it, and what is said to a value that is no JSON."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from dora import client
from dora.cli.main import main
from dora.errors import DoraError
from dora.wire.params import Params as Table
from dora.wire.visits import AskParam, Params

if TYPE_CHECKING:
    from collections.abc import Iterator


class Daemon:
    """Answers as a daemon does, without one."""

    def __init__(self) -> None:
        self.table = Table()
        self.chosen: list[tuple[str | None, str | None]] = []

    @contextmanager
    def connect(self, dataflow: str | None = None, node: str | None = None) -> Iterator[Daemon]:
        self.chosen.append((dataflow, node))
        yield self

    def ask(self, question: AskParam) -> Params:
        node, key = question.node, question.key
        match question.action:
            case "list":
                return Params(self.table.all_of(node))
            case "set":
                self.table.put(node, key, self.table.check(node, key, question.value))
        value = self.table.get(node, key)
        if question.action == "delete":
            self.table.delete(node, key)
        return Params({key: value})

    _ask = ask


@pytest.fixture(autouse=True)
def daemon(monkeypatch: pytest.MonkeyPatch) -> Daemon:
    daemon = Daemon()
    monkeypatch.setattr(client, "connect", daemon.connect)
    return daemon


def test_a_parameter_is_set_read_listed_and_deleted(
    capsys: pytest.CaptureFixture[str], daemon: Daemon
) -> None:
    commands = (
        ["list", "camera"],
        ["set", "camera", "fps", "60"],
        ["set", "camera", "config", '{"size": [640, 480]}'],
        ["get", "camera", "config"],
        ["list", "camera", "-d", "robot"],
        ["delete", "camera", "fps"],
        ["list", "camera", "--coordinator-addr", "127.0.0.1", "--coordinator-port", "6013"],
    )
    for command in commands:
        assert main(["param", *command]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "No parameters set for node `camera`",
        "Set `fps` = 60 on node `camera`",
        'Set `config` = {"size":[640,480]} on node `camera`',
        '{"size":[640,480]}',
        "Parameters for node `camera`:",
        '  config = {"size":[640,480]}',
        "  fps = 60",
        "Deleted `fps` from node `camera`",
        "Parameters for node `camera`:",
        '  config = {"size":[640,480]}',
    ]
    assert daemon.chosen[4] == ("robot", "camera")


def test_the_list_as_json_is_one_document_sorted_by_key(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["param", "list", "camera", "--format", "json"]) == 0
    assert capsys.readouterr().out == "{}\n"
    for key, value in (("b", '"x"'), ("a", "[1.50, null]")):
        main(["param", "set", "camera", key, value])
    capsys.readouterr()
    assert main(["param", "list", "camera", "--format", "json"]) == 0
    out = capsys.readouterr().out
    assert list(json.loads(out).items()) == [("a", [1.5, None]), ("b", "x")]
    assert out.startswith('{\n  "a": [\n    1.50,')


@pytest.mark.parametrize("value", ["-5", "-1.5e3", "null", '"-d"'])
def test_negative_numbers_are_values_not_flags(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["param", "set", "camera", "gain", value, "-d", "robot"]) == 0
    assert capsys.readouterr().out == f"Set `gain` = {value} on node `camera`\n"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (
            "night",
            "`night` is no JSON; text is written in quotes of its own: "
            "`dora param set camera mode '\"night\"'`",
        ),
        (
            "it's",
            "`it's` is no JSON; text is written in quotes of its own: "
            "`dora param set camera mode '\"it'\"'\"'s\"'`",
        ),
        (
            "True",
            "`True` is no JSON; write `true`, or as text: `dora param set camera mode '\"True\"'`",
        ),
        ("{a: 1}", "the value is no JSON: object keys must be strings (byte 1)"),
        ("1" * 70_000, "a value of 70000 bytes is too large for a parameter"),
    ],
)
def test_a_value_that_is_no_json_is_wrong_usage_with_the_form_to_use(
    value: str, told: str, capsys: pytest.CaptureFixture[str], daemon: Daemon
) -> None:
    assert main(["param", "set", "camera", "mode", value]) == 2
    assert f"Invalid value for 'VALUE': {told}" in capsys.readouterr().err
    assert daemon.chosen == []


@pytest.mark.parametrize("action", ["get", "delete"])
def test_a_parameter_that_is_not_set_is_an_error_with_status_1(
    action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["param", action, "camera", "fps"]) == 1
    told = "[ERROR] node `camera` has no parameter `fps`; none are set\n"
    assert capsys.readouterr().err == told


def test_a_key_that_cannot_be_is_refused_before_anybody_is_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for command in (["set", "camera", "", "1"], ["get", "camera", "\udc80"]):
        assert main(["param", *command]) == 1
        assert "the key of a parameter" in capsys.readouterr().err


def test_an_answer_of_another_kind_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    def ended(_question: Any) -> Any:
        raise DoraError("the dataflow ended")

    for name in ("ask", "_ask"):
        monkeypatch.setattr(daemon, name, ended, raising=False)
    assert main(["param", "list", "camera"]) == 1
    assert capsys.readouterr().err == "[ERROR] the dataflow ended\n"
