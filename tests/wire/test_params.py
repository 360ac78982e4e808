"""The table of parameters: what is kept, what is refused and in which words."""

from __future__ import annotations

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora.errors import DoraError
from dora.wire.params import (
    MOST_KEY_BYTES,
    MOST_LEVELS,
    MOST_NODE_BYTES,
    MOST_VALUE_BYTES,
    Params,
    check_key,
    compact_json,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_any_json_is_kept_without_spaces_and_means_the_same(value: object) -> None:
    written = json.dumps(value, indent=3).encode()
    compact = compact_json(written)
    assert json.loads(compact) == value
    assert compact_json(compact) == compact
    assert msgspec.json.decode(compact) == value


@given(st.binary(max_size=40))
def test_any_bytes_are_either_kept_or_refused_in_words(value: bytes) -> None:
    with contextlib.suppress(DoraError):
        json.loads(compact_json(value))


def test_numbers_keep_the_form_they_were_written_in() -> None:
    assert compact_json(b' {"a": 2.50, "b": 12345678901234567890123} ') == (
        b'{"a":2.50,"b":12345678901234567890123}'
    )


@pytest.mark.parametrize("value", [b"", b"night", b"NaN", b"1e999", b'"\xff"', b"[1,]", b"1 2"])
def test_what_is_no_json_is_refused(value: bytes) -> None:
    with pytest.raises(DoraError, match="the value is no JSON: "):
        compact_json(value)


def test_values_may_be_64_kb_and_keys_256_bytes() -> None:
    longest = b'"' + b"x" * (MOST_VALUE_BYTES - 2) + b'"'
    assert compact_json(longest) == longest
    with pytest.raises(DoraError, match="a value of 65537 bytes is too large for a parameter"):
        compact_json(longest + b" ")
    check_key("ä" * (MOST_KEY_BYTES // 2))
    for key, size_bytes in (("", 0), ("ä" * (MOST_KEY_BYTES // 2) + "b", 257)):
        with pytest.raises(DoraError, match=f"1 to 256 bytes, and this one has {size_bytes}"):
            check_key(key)


@pytest.mark.parametrize("key", ["two\nlines", "\0", "\ud800"])
def test_a_key_is_one_line_of_text(key: str) -> None:
    with pytest.raises(DoraError, match="one line of text"):
        check_key(key)


def test_a_value_that_a_node_could_not_read_for_its_depth_is_refused() -> None:
    compact_json(b"[" * MOST_LEVELS + b"]" * MOST_LEVELS)
    for levels in (MOST_LEVELS + 1, 30_000):
        with pytest.raises(DoraError, match="more than 100 lists and objects"):
            compact_json(b"[" * levels + b"]" * levels)


def table_with(**values: bytes) -> Params:
    table = Params()
    for key, value in values.items():
        table.put("camera", key, table.check("camera", key, value))
    return table


def test_parameters_are_listed_by_key() -> None:
    table = table_with(fps=b"30", mode=b'"night"', exposure=b"null")
    assert list(table.all_of("camera").items()) == [
        ("exposure", b"null"),
        ("fps", b"30"),
        ("mode", b'"night"'),
    ]
    assert table.all_of("plot") == {}


def test_a_deleted_parameter_is_gone_and_so_are_all_of_a_node_that_is_forgotten() -> None:
    table = table_with(fps=b"30", mode=b"1")
    table.delete("camera", "mode")
    assert table.all_of("camera") == {"fps": b"30"}
    table.forget("camera")
    assert table.all_of("camera") == {}
    table.forget("camera")


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("fpss", "node `camera` has no parameter `fpss`; did you mean `fps`?"),
        ("zzz", "node `camera` has no parameter `zzz`; set are: fps, mode"),
    ],
)
def test_a_parameter_that_is_not_set_is_told_with_those_that_are(key: str, told: str) -> None:
    with pytest.raises(DoraError) as caught:
        table_with(mode=b"1", fps=b"30").get("camera", key)
    assert str(caught.value) == told
    with pytest.raises(DoraError, match="has no parameter `fps`; none are set"):
        Params().get("camera", "fps")


def test_all_parameters_of_a_node_fit_into_one_message() -> None:
    table = Params()
    value = b'"' + b"x" * 60_000 + b'"'
    for number in range(MOST_NODE_BYTES // len(value)):
        table.put("camera", f"k{number}", value)
    with pytest.raises(DoraError, match="would take more than 8 MB together"):
        table.check("camera", "one_more", value)
    assert table.check("camera", "k0", b"2") == b"2"
    assert table.check("plot", "one_more", value) == value
