from __future__ import annotations

import select

from hypothesis import given
from hypothesis import strategies as st

from dora.wire.ticket import (
    CLOSE,
    CORRELATED,
    CREDIT,
    DATA,
    DETACHED,
    HEAD,
    INLINE,
    PAGE_BYTES,
    RETURN,
    SPILLED,
    START_PAGE,
    TICKET_BYTES,
    Ticket,
    TicketWriter,
    fits_beside_slot,
    must_stay,
    pack_close,
    pack_start,
    spill_start,
    unpack,
)

u32, u64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
times = st.integers(-(2**63), 2**63 - 1)
flags = st.sampled_from([0, CORRELATED])
pieces = st.binary(max_size=600)


@given(st.lists(st.tuples(flags, u64, times, pieces, pieces, pieces), min_size=1, max_size=4))
def test_a_small_message_fits_whole_into_its_ticket_or_is_told_not_to(
    sent: list[tuple[int, int, int, bytes, bytes, bytes]],
) -> None:
    writer = TicketWriter()
    for flag, sequence, time_ns, header, metadata, payload in sent:
        prefix_end = HEAD.size + len(header) + len(metadata)
        start = (prefix_end + 15) & ~15
        fits = writer.pack_inline(flag, sequence, time_ns, header, metadata, payload)
        assert fits == (start + len(payload) <= TICKET_BYTES)
        if not fits:
            continue
        record = bytes(writer.record)
        assert len(record) == TICKET_BYTES
        head = unpack(record)
        assert (head.kind, head.flags) == (DATA, flag | INLINE)
        assert (head.sequence, head.time_ns, head.size) == (sequence, time_ns, len(payload))
        assert (head.header_bytes, head.metadata_bytes) == (len(header), len(metadata))
        assert record[HEAD.size : prefix_end] == header + metadata
        assert record[start : start + len(payload)] == payload
        assert start % 16 == 0
        assert must_stay(record) == bool(flag)


@given(flags, u64, times, st.binary(max_size=250), st.binary(max_size=250), u32, u64, u64)
def test_a_ticket_of_a_slot_names_it_and_holds_header_and_metadata_or_says_where_they_lie(
    flag: int,
    sequence: int,
    time_ns: int,
    header: bytes,
    metadata: bytes,
    arena: int,
    offset: int,
    size: int,
) -> None:
    writer = TicketWriter()
    beside = fits_beside_slot(header, metadata)
    assert beside == (HEAD.size + len(header) + len(metadata) <= TICKET_BYTES)
    flag |= 0 if beside else SPILLED
    writer.pack_slot(flag, sequence, time_ns, header, metadata, (arena, offset, size))
    record = bytes(writer.record)
    head = unpack(record)
    assert head == Ticket(
        DATA, flag, len(header), len(metadata), sequence, time_ns, arena, offset, size
    )  # fmt: skip
    if beside:
        assert record[HEAD.size :].startswith(header + metadata)
    assert must_stay(record) == bool(flag & CORRELATED)


@given(st.integers(0, 2**40))
def test_spilled_bytes_start_behind_the_payload_where_values_may_lie(size: int) -> None:
    assert size <= spill_start(size) < size + 16
    assert spill_start(size) % 16 == 0


@given(st.booleans())
def test_the_close_ticket_is_a_whole_ticket_that_is_never_dropped_as_data(detached: bool) -> None:
    record = pack_close(detached=detached)
    assert len(record) == TICKET_BYTES
    assert unpack(record).kind == CLOSE
    assert unpack(record).size == 0
    assert unpack(record).flags == (DETACHED if detached else 0)
    assert must_stay(record)


@given(u32, u64)
def test_a_start_is_two_records_of_which_the_first_is_no_slot_and_no_credit(
    arena: int, sequence: int
) -> None:
    first, second = RETURN.iter_unpack(pack_start(arena, sequence))
    assert first == (arena, START_PAGE)
    assert second[1] << 32 | second[0] == sequence
    assert len(pack_start(arena, sequence)) <= select.PIPE_BUF


def test_inline_tickets_name_the_arena_of_their_sender_too() -> None:
    writer = TicketWriter(7)
    assert writer.pack_inline(0, 1, 2, b"h", b"", b"")
    assert unpack(bytes(writer.record)).arena == 7


@given(u32, st.integers(0, START_PAGE - 1))
def test_a_return_record_is_never_taken_for_a_credit_or_a_start(arena: int, page: int) -> None:
    assert RETURN.unpack(RETURN.pack(arena, page)) == (arena, page)
    assert RETURN.pack(arena, page) != CREDIT
    assert page != START_PAGE


def test_whole_records_fill_the_pages_of_a_pipe() -> None:
    assert select.PIPE_BUF >= TICKET_BYTES
    assert PAGE_BYTES % TICKET_BYTES == 0
    assert PAGE_BYTES % RETURN.size == 0
