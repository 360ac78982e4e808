from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora.errors import ProtocolError
from dora.wire import framing
from dora.wire.framing import Deframer, frame

bodies = st.lists(st.binary(max_size=300), max_size=8)


@given(bodies, st.data())
def test_frames_come_out_whole_however_the_stream_was_split(
    sent: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(map(frame, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    deframer = Deframer()
    got = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += deframer.feed(stream[start:end])
    assert got == sent


@given(st.lists(st.binary(max_size=20), max_size=3))
def test_one_byte_at_a_time_is_enough(sent: list[bytes]) -> None:
    deframer = Deframer()
    stream = b"".join(map(frame, sent))
    assert [b for i in range(len(stream)) for b in deframer.feed(stream[i : i + 1])] == sent


def test_a_frame_waits_for_its_last_byte() -> None:
    deframer = Deframer()
    whole = frame(b"hello")
    assert deframer.feed(whole[:-1]) == []
    assert deframer.feed(b"") == []
    assert deframer.feed(whole[-1:]) == [b"hello"]


@given(st.binary(min_size=4, max_size=200))
def test_garbage_gives_frames_or_a_protocol_error_and_nothing_else(garbage: bytes) -> None:
    deframer = Deframer(max_frame_bytes=100)
    try:
        found = deframer.feed(garbage)
    except ProtocolError:
        return
    assert all(len(body) <= 100 for body in found)


def test_a_length_beyond_the_limit_is_refused_before_its_bytes_arrive() -> None:
    with pytest.raises(ProtocolError, match="101 bytes; at most 100"):
        Deframer(max_frame_bytes=100).feed((101).to_bytes(4, "little"))
    assert Deframer(max_frame_bytes=100).feed((100).to_bytes(4, "little")) == []


def test_a_body_beyond_the_limit_is_not_framed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "MAX_FRAME_BYTES", 10)
    assert len(frame(b"x" * 10)) == 14
    with pytest.raises(ProtocolError, match="11 bytes"):
        frame(b"x" * 11)
