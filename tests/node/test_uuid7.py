"""Identifiers of RFC 9562, version 7."""

from __future__ import annotations

import time
import uuid

from dora.node.uuid7 import uuid7


def test_it_is_a_uuid_of_version_7_that_holds_the_time() -> None:
    before = time.time_ns() // 1_000_000
    text = uuid7()
    after = time.time_ns() // 1_000_000
    read = uuid.UUID(text)
    assert str(read) == text
    assert (read.version, read.variant) == (7, uuid.RFC_4122)
    assert before <= read.int >> 80 <= after + 1


def test_ids_sort_in_the_order_in_which_they_were_made_and_none_repeats() -> None:
    made = [uuid7() for _ in range(10_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
