"""A daemon that answers canned states, each connection from the first one on, and canned spans."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dora.transport import endpoint
from dora.wire.framing import Deframer, frame
from dora.wire.messages import Refused, encode
from dora.wire.spans import AskTrace, Traced
from dora.wire.visits import Answer, AskState, Greet, State, decode_question

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dora.wire.spans import Span


class Traces:
    """What a daemon has traced, and what it was asked for."""

    def __init__(self, spans: Sequence[Span] = (), *, on: bool = True) -> None:
        self.spans = list(spans)
        self.on = on
        self.asked: list[AskTrace] = []

    def answer(self, ask: AskTrace) -> Traced:
        self.asked.append(ask)
        was_on, newest = self.on, len(self.spans)
        self.on = {"on": True, "off": False}.get(ask.action, self.on)
        spans = self.spans[ask.after :]
        last = min(ask.after, newest) + len(spans)
        return Traced(spans, last, newest, 0, self.on, was_on, ask.rate_hz or 10.0)


@contextmanager
def daemon(
    states: Sequence[State], refusal: str | None = None, traces: Traces | None = None
) -> Iterator[endpoint.Listener]:
    """One that has told all its states says the last again; with a `refusal` it tells none.

    Closing the listener ends the dataflow for new clients.
    """
    traces = traces or Traces()
    listener = endpoint.Listener(endpoint.address_of(states[0].dataflow.id))
    links: list[socket.socket] = []
    threads = []
    for one in listener.sockets:
        threads.append(threading.Thread(target=_listen, args=(one, links, states, refusal, traces)))
        threads[-1].start()
    try:
        yield listener
    finally:
        for one in [*listener.sockets, *links]:
            _end(one)
        listener.close()
        for thread in threads:
            thread.join()


def _end(one: socket.socket) -> None:
    """Wakes whoever waits for it in another thread, which closing does not."""
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # closed already, or the other end is


def _listen(
    one: socket.socket,
    links: list[socket.socket],
    states: Sequence[State],
    refusal: str | None,
    traces: Traces,
) -> None:
    serving = []
    while True:
        try:
            link, _ = one.accept()
        except OSError:
            break
        links.append(link)
        serving.append(threading.Thread(target=_serve, args=(link, states, refusal, traces)))
        serving[-1].start()
    for thread in serving:
        thread.join()


def _serve(
    link: socket.socket, states: Sequence[State], refusal: str | None, traces: Traces
) -> None:
    deframer = Deframer()
    asked = 0
    with link:
        while data := link.recv(1 << 16):
            for body in deframer.feed(data):
                question = decode_question(body)
                answer: Answer
                if isinstance(question, Greet):
                    answer = states[0].dataflow
                elif refusal is not None:
                    answer = Refused(refusal)
                elif isinstance(question, AskTrace):
                    answer = traces.answer(question)
                else:
                    assert isinstance(question, AskState)
                    answer = states[min(asked, len(states) - 1)]
                    asked += 1
                link.sendall(frame(encode(answer)))
