"""Whose program is at the other end of a TCP connection on this machine."""

from __future__ import annotations

import os
import socket

import pytest

from dora.web.peers import is_own, owner_of


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_the_owner_of_the_other_end_is_found(family: socket.AddressFamily, host: str) -> None:
    with socket.socket(family) as listener:
        try:
            listener.bind((host, 0))
        except OSError:
            pytest.skip(f"no {host} here")
        listener.listen()
        with socket.create_connection(listener.getsockname()[:2]) as theirs:
            ours, client = listener.accept()
            with ours:
                assert owner_of(client[:2], ours.getsockname()[:2]) == os.getuid()
                assert is_own(client[:2], ours.getsockname()[:2])
        assert theirs.fileno() == -1


def test_a_connection_that_is_not_of_this_machine_is_nobodys() -> None:
    assert owner_of(("203.0.113.7", 40000), ("127.0.0.1", 3672)) is None
    assert not is_own(("203.0.113.7", 40000), ("127.0.0.1", 3672))
