"""Where a daemon listens, and how one is found: unix sockets in the abstract namespace.

The name is `dora-<uid>/<dataflow id>`, without a file behind it, so that a daemon killed by SIGKILL
leaves nothing to clean up; the kernel's own table (`/proc/net/unix`) tells which ones live. An
abstract name has no file mode, so both sides check the other's uid (SO_PEERCRED).
"""

from __future__ import annotations

import os
import socket
import struct

from dora.errors import ProtocolError

_PEER_CREDENTIALS = struct.Struct("3i")


def address_of(dataflow_id: str) -> str:
    """The address of the daemon that runs this dataflow, as text that starts with `@`."""
    return f"@dora-{os.getuid()}/{dataflow_id}"


def listen(address: str) -> socket.socket:
    """Open the listening socket of a daemon; the caller owns it.

    Raises:
        OSError: the address is taken.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(_raw(address))
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener


def connect(address: str) -> socket.socket:
    """Connect to a daemon of the same user; the caller owns the socket, which blocks.

    Raises:
        OSError: nobody listens there.
        ProtocolError: the listener belongs to another user.
    """
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.connect(_raw(address))
        owner = peer_uid(link)
        if owner != os.getuid():
            raise ProtocolError(f"`{address}` belongs to user {owner}, not to you ({os.getuid()})")
    except BaseException:
        link.close()
        raise
    return link


def peer_uid(link: socket.socket) -> int:
    """The user at the other end of a connected unix socket."""
    raw = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    _pid, uid, _gid = _PEER_CREDENTIALS.unpack(raw)
    return int(uid)


def running() -> list[str]:
    """Addresses of this user's daemons that listen now, in the kernel's order."""
    prefix = f"@dora-{os.getuid()}/"
    found: dict[str, None] = {}
    with open("/proc/net/unix") as table:
        lines = table.read().splitlines()
    for line in lines[1:]:
        columns = line.split(maxsplit=7)
        # Flags 00010000 is SO_ACCEPTCON: the listening socket, not one of its connections.
        if len(columns) == 8 and columns[7].startswith(prefix) and columns[3] == "00010000":
            found[columns[7]] = None
    return list(found)


def _raw(address: str) -> str:
    """The kernel's form of an abstract address: a NUL byte in place of `@`."""
    return "\0" + address[1:]
