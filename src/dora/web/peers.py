"""Whose program is at the other end of a connection on this machine, out of the kernel's table.

What SO_PEERCRED tells of unix sockets: the address of a connection's other end, found among the
sockets of this machine, has an owner. Elsewhere: what follows from it (`web.access`).
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys

Address = tuple[str, int]


def is_own(client: Address, server: Address) -> bool:
    """Whether a connection comes from this user, or root, on this machine.

    Args:
        client: The address at the other end.
        server: The address at this end.
    """
    return owner_of(client, server) in (0, os.getuid())


def owner_of(client: Address, server: Address) -> int | None:
    """The user whose socket is at the other end of a TCP connection; None: none on this machine."""
    table = "/proc/net/tcp6" if ":" in client[0] else "/proc/net/tcp"
    wanted = _in_table(client), _in_table(server)
    try:
        with open(table) as file:
            lines = file.readlines()
    except OSError:
        return None
    for line in lines[1:]:
        columns = line.split(maxsplit=8)
        if (columns[1], columns[2]) == wanted:
            return int(columns[7])
    return None


def _in_table(address: Address) -> str:
    """As the kernel writes it: words of four bytes in the machine's own order, hexadecimal."""
    host = ipaddress.ip_address(address[0].partition("%")[0])
    family = socket.AF_INET if host.version == 4 else socket.AF_INET6
    packed = socket.inet_pton(family, str(host))
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    text = "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
    return f"{text}:{address[1]:04X}"
