"""A node that speaks the control protocol by hand. Each argument is a step:

join            register, take the descriptors, wait for START
register        register only
await           wait for the next message and print its type (`close` when the daemon hung up)
goodbye         say goodbye
send:N          put N tickets on every route (by the raw pipe), counting on the board
receive         wait for the next ticket of the first input and print its kind
say:TEXT        print
fail:TEXT       print a traceback-like text on stderr and exit with status 1
exit:N          exit
ignore          ignore SIGTERM
wait            wait for ever
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from typing import Any, NoReturn

from dora.transport import endpoint
from dora.wire import messages
from dora.wire.framing import Deframer, frame
from dora.wire.ticket import DATA, TICKET_BYTES, unpack


class FakeNode:
    def __init__(self) -> None:
        self.config = messages.decode_config(os.environ["DORA_NODE_CONFIG"])
        self.fds: list[int] = []
        self.inbox: list[Any] = []
        self.deframer = Deframer()
        self.welcome: messages.Welcome

    def register(self, **other: Any) -> None:
        self.sock = endpoint.connect(self.config.daemon)
        fields = {
            "protocol": messages.PROTOCOL,
            "version": "test",
            "dataflow": self.config.dataflow_id,
            "node": self.config.node_id,
            "incarnation": self.config.incarnation,
            "pid": os.getpid(),
        }
        self.say(messages.Register(**{**fields, **other}))  # type: ignore[arg-type]

    def say(self, message: messages.NodeMessage) -> None:
        self.sock.sendall(frame(messages.encode(message)))

    def receive(self) -> Any:
        """The next message that is not just a carrier of descriptors; None at the end."""
        while True:
            while self.inbox:
                message = self.inbox.pop(0)
                if not isinstance(message, messages.Descriptors):
                    return message
            data, fds, _flags, _address = socket.recv_fds(self.sock, 65536, 253)
            self.fds += fds
            if not data:
                return None
            self.inbox += map(messages.decode_from_daemon, self.deframer.feed(data))

    def join(self) -> None:
        self.register()
        self.welcome = self.receive()
        assert len(self.fds) == self.welcome.fds, (len(self.fds), self.welcome.fds)
        start = self.receive()
        assert isinstance(start, messages.Start), start

    def routes(self) -> list[list[int]]:
        """Descriptors of each route: ticket write, ticket read, return read."""
        first = 3 + len(self.welcome.arenas)
        count = sum(len(output.routes) for output in self.welcome.outputs)
        return [self.fds[first + 3 * i : first + 3 * i + 3] for i in range(count)]

    def next_ticket(self) -> str:
        first = 3 + len(self.welcome.arenas) + 3 * len(self.routes())
        fd = self.fds[first]
        select.select([fd], [], [])
        return ("data", "close")[unpack(os.read(fd, TICKET_BYTES)).kind]


def fail(text: str) -> NoReturn:
    sys.stderr.write(f"Traceback (most recent call last):\nValueError: {text}\n")
    sys.exit(1)


def main(steps: list[str]) -> None:
    node = FakeNode()
    for step in steps:
        name, _, argument = step.partition(":")
        if name == "join":
            node.join()
        elif name == "register":
            node.register()
        elif name == "await":
            message = node.receive()
            print(type(message).__name__ if message else "end", flush=True)
        elif name == "goodbye":
            node.say(messages.Goodbye())
        elif name == "send":
            ticket = bytes([DATA]).ljust(TICKET_BYTES, b"\0")
            for write, _read, _returns in node.routes():
                for _ in range(int(argument)):
                    os.write(write, ticket)
        elif name == "receive":
            print(node.next_ticket(), flush=True)
        elif name == "say":
            print(argument, flush=True)
        elif name == "fail":
            fail(argument)
        elif name == "exit":
            sys.exit(int(argument))
        elif name == "ignore":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        elif name == "wait":
            signal.pause()
        else:
            raise SystemExit(f"no such step: {step}")


if __name__ == "__main__":
    main(sys.argv[1:])
