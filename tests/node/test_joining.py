"""Joining a dataflow, and what `Node()` says when it cannot."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from typing import Any

import pytest

from dora import DoraError, Node, NodeInitError
from dora.errors import ProtocolError
from dora.transport import endpoint
from dora.version import VERSION
from dora.wire import messages
from dora.wire.framing import Deframer, frame

DEADLINE_S = 20.0


class Daemon:
    """Answers registrations with whatever the test wants; the first so many with nothing."""

    def __init__(self, answer: bytes | messages.DaemonMessage | None, unanswered: int = 0) -> None:
        self.id = uuid.uuid4().hex
        self.address = endpoint.address_of(self.id)
        self.heard: list[messages.NodeMessage] = []
        self._listener = endpoint.listen(self.address)
        self._listener.settimeout(DEADLINE_S)
        self._answer = answer
        self._unanswered = unanswered
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except (OSError, TimeoutError):
                return
            with link:
                self._hear(link)

    def _hear(self, link: socket.socket) -> None:
        deframer = Deframer()
        before = len(self.heard)
        while len(self.heard) == before:
            data = link.recv(1 << 16)
            if not data:
                return
            self.heard += map(messages.decode_from_node, deframer.feed(data))
        if len(self.heard) <= self._unanswered:
            return
        if isinstance(self._answer, bytes):
            link.sendall(self._answer)
        elif self._answer is not None:
            link.sendall(frame(messages.encode(self._answer)))

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(DEADLINE_S)


def configure(patch: pytest.MonkeyPatch, daemon: Daemon) -> None:
    config = messages.NodeConfig(daemon.id, "camera", 3, daemon.address)
    patch.setenv("DORA_NODE_CONFIG", messages.encode_config(config))


def test_without_a_dataflow_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DORA_NODE_CONFIG", raising=False)
    with pytest.raises(NodeInitError) as caught:
        Node()
    assert isinstance(caught.value, RuntimeError)
    assert isinstance(caught.value, DoraError)
    for words in ("dora run", "DORA_NODE_CONFIG", "Node('id')"):
        assert words in str(caught.value)


def test_a_dynamic_node_that_finds_no_dataflow_says_which_one_to_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DORA_NODE_CONFIG", raising=False)
    monkeypatch.setattr(endpoint, "running", list)
    with pytest.raises(NodeInitError, match=r"`path: dynamic`") as caught:
        Node("viewer")
    assert "viewer" in str(caught.value)


def test_a_dynamic_node_tells_why_each_dataflow_refused_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    daemon = Daemon(messages.Refused("there is no dynamic node `viewer`; did you mean `view`?"))
    monkeypatch.delenv("DORA_NODE_CONFIG", raising=False)
    monkeypatch.setattr(endpoint, "running", lambda: ["@dora-0/gone", daemon.address])
    try:
        with pytest.raises(NodeInitError, match="did you mean `view`") as caught:
            Node("viewer", 53291)
        assert "gone" in str(caught.value)
        (said,) = daemon.heard
        assert isinstance(said, messages.Register)
        assert (said.dataflow, said.node, said.incarnation) == (None, "viewer", None)
    finally:
        daemon.close()


def test_a_spawned_node_registers_as_configured_and_ignores_the_id_it_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    daemon = Daemon(messages.Refused("node `camera` is here already"))
    configure(monkeypatch, daemon)
    try:
        with pytest.raises(NodeInitError, match="here already"):
            Node("other")
        assert daemon.heard == [
            messages.Register(messages.PROTOCOL, VERSION, daemon.id, "camera", 3, os.getpid())
        ]
    finally:
        daemon.close()


def test_a_node_that_meets_a_daemon_which_is_being_replaced_comes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    daemon = Daemon(messages.Refused("heard"), unanswered=2)
    configure(monkeypatch, daemon)
    try:
        with pytest.raises(NodeInitError, match="heard"):
            Node()
        assert len(daemon.heard) == 3
    finally:
        daemon.close()


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (None, NodeInitError, "closed the connection"),
        (b"\xff\xff\xff\xff", ProtocolError, "claims"),
        (frame(b"garbage"), ProtocolError, "no control message"),
        (messages.Stop("MANUAL"), ProtocolError, "Stop"),
    ],
    ids=["silence", "length", "garbage", "other"],
)
def test_a_daemon_that_does_not_answer_as_one_is_told(
    monkeypatch: pytest.MonkeyPatch, answer: Any, error: type[Exception], words: str
) -> None:
    daemon = Daemon(answer)
    configure(monkeypatch, daemon)
    try:
        with pytest.raises(error, match=words):
            Node()
    finally:
        daemon.close()


def test_a_daemon_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    config = messages.NodeConfig("x", "camera", 0, "@dora-0/nobody-listens-here")
    monkeypatch.setenv("DORA_NODE_CONFIG", messages.encode_config(config))
    with pytest.raises(NodeInitError, match=r"`camera`.*does not answer"):
        Node()


@pytest.mark.parametrize("text", ["", "{}", "garbage", "dora: true"])
def test_a_configuration_of_another_dora_is_told(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("DORA_NODE_CONFIG", text)
    with pytest.raises(DoraError, match="DORA_NODE_CONFIG"):
        Node()
