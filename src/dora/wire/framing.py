"""Length-prefixed frames on a stream: `u32` little-endian byte count, then that many bytes.

No I/O: blocking sockets and asyncio share it. Which message a frame holds: `wire.messages`.
"""

from __future__ import annotations

import struct

from dora.errors import ProtocolError

_LENGTH = struct.Struct("<I")
MAX_FRAME_BYTES = 64 << 20


def frame(body: bytes) -> bytes:
    """Put the length in front of `body`.

    Raises:
        ProtocolError: `body` is longer than `MAX_FRAME_BYTES`.
    """
    if len(body) > MAX_FRAME_BYTES:
        raise ProtocolError(f"a control message of {len(body)} bytes exceeds {MAX_FRAME_BYTES}")
    return _LENGTH.pack(len(body)) + body


class Deframer:
    """Gathers bytes as they come and gives whole frames back."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._buffer = bytearray()
        self._max = max_frame_bytes

    @property
    def rest(self) -> bytes:
        """What has come of a frame that is not complete yet."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Take `data` in; return the bodies of the frames that are now complete.

        Raises:
            ProtocolError: a frame claims to be longer than is allowed.
        """
        self._buffer += data
        bodies = []
        position = 0
        while len(self._buffer) - position >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, position)
            if length > self._max:
                raise ProtocolError(
                    f"a frame claims {length} bytes; at most {self._max} are taken here"
                )
            end = position + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            bodies.append(bytes(self._buffer[position + _LENGTH.size : end]))
            position = end
        if position:
            del self._buffer[:position]
        return bodies
