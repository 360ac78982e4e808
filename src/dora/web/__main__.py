"""`python -m dora.web FD DATAFLOW`: serve the page at an open socket, for `dora run --web`."""

import socket
import sys

from dora.web.hub import Hub
from dora.web.server import PageServer

if __name__ == "__main__":
    PageServer(socket.socket(fileno=int(sys.argv[1])), Hub(preferred=sys.argv[2])).run()
