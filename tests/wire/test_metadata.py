from __future__ import annotations

import datetime
import enum
import types
import zoneinfo
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dora.errors import DoraError, MetadataError
from dora.wire.metadata import SET_BY_DORA, decode, encode, is_correlated

text = st.text(st.characters(codec="utf-8"), max_size=20)
offsets = st.timedeltas(
    datetime.timedelta(hours=-23), datetime.timedelta(hours=23)
).map(datetime.timezone)  # fmt: skip
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    text,
    st.binary(max_size=40),
    st.datetimes(),
    st.datetimes(timezones=offsets | st.none()),
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4)
)
names = text.filter(lambda name: name not in SET_BY_DORA)
metadatas = st.dictionaries(names, values, max_size=6)


def same(one: Any, other: Any) -> bool:
    """Equal in value, in type and, for datetimes, in offset."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, datetime.datetime):
        return one == other and one.utcoffset() == other.utcoffset()
    return bool(one == other)


OFFSET_OF_A_MICROSECOND = datetime.timezone(datetime.timedelta(microseconds=1))


@given(metadatas)
@example({"at": datetime.datetime(2000, 1, 1, tzinfo=OFFSET_OF_A_MICROSECOND)})
def test_metadata_arrives_as_it_was_sent(metadata: dict[str, Any]) -> None:
    assert same(decode(encode(metadata)), metadata)


@given(metadatas)
def test_received_metadata_can_be_sent_on(metadata: dict[str, Any]) -> None:
    event = decode(encode(metadata))
    event["timestamp"] = datetime.datetime.now(datetime.UTC)
    event["type_info"] = "uint8[480, 640, 3]"
    assert same(decode(encode(event)), metadata)


def test_numbers_keep_their_kind_and_bits() -> None:
    sent = {"t": True, "i": 1, "f": 1.0, "z": -0.0, "inf": float("-inf"), "nan": float("nan")}
    got = decode(encode(sent))
    assert [type(value) for value in got.values()] == [bool, int, *[float] * 4]
    assert str(got["z"]) == "-0.0"
    assert got["inf"] == float("-inf")
    assert got["nan"] != got["nan"]


def test_nothing_is_written_for_no_metadata() -> None:
    assert encode({}) == b""
    assert encode({"timestamp": "mine", "type_info": object()}) == b""
    assert decode(b"") == {}


def test_keys_that_dora_sets_are_free_below_the_top() -> None:
    sent = {"frame": {"timestamp": 5, "type_info": "x"}}
    assert decode(encode(sent)) == sent


def test_a_tuple_arrives_as_a_list() -> None:
    assert decode(encode({"size": (640, (480, "px"))})) == {"size": [640, [480, "px"]]}


def test_any_mapping_may_be_given() -> None:
    assert decode(encode(types.MappingProxyType({"a": 1}))) == {"a": 1}


class Encoding(str, enum.Enum):  # noqa: UP042 - as older programs write it
    RGB = "rgb8"


def test_subclasses_arrive_as_what_they_extend() -> None:
    sent = {
        "old": Encoding.RGB,
        "new": enum.StrEnum("e", ["RED"]).RED,
        "number": enum.IntEnum("e", ["ONE"]).ONE,
        "float": np.float64(1.5),
        "text": np.str_("t"),
        "raw": np.bytes_(b"r"),
        "inner": {Encoding.RGB: [Encoding.RGB]},
        Encoding.RGB: 1,
    }
    got = decode(encode(sent))
    assert got == {
        "old": "rgb8",
        "new": "red",
        "number": 1,
        "float": 1.5,
        "text": "t",
        "raw": b"r",
        "inner": {"rgb8": ["rgb8"]},
        "rgb8": 1,
    }
    assert {type(got[key]) for key in ("old", "new", "text")} == {str}
    assert type(got["float"]) is float


def test_a_datetime_of_a_named_zone_keeps_its_offset() -> None:
    try:
        zone = zoneinfo.ZoneInfo("Europe/Berlin")
    except zoneinfo.ZoneInfoNotFoundError:
        pytest.skip("this machine has no time zones")
    sent = datetime.datetime(2026, 7, 1, 12, tzinfo=zone)
    got = decode(encode({"at": sent}))["at"]
    assert got == sent
    assert got.utcoffset() == datetime.timedelta(hours=2)


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def _endless() -> Any:
    value: dict[str, Any] = {}
    value["again"] = value
    return value


class Own:
    """A type of the user's."""


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"pose": Own()}, ["`pose`", "Own", "it may be"]),
        ({"a": {"b": [1, {"c": Own()}]}}, ["`a.b[1].c`", "Own"]),
        ({"size": np.int64(5)}, ["`size`", "numpy.int64", ".item()"]),
        ({"flag": np.bool_(True)}, ["`flag`", ".item()"]),
        ({"k": np.arange(3)}, ["`k`", "numpy.ndarray", ".tolist()"]),
        ({"k": np.array(3)}, ["`k`", ".item()"]),
        ({"tags": {"x"}}, ["`tags`", "`set`", "list(...)"]),
        ({"day": datetime.date(2026, 1, 1)}, ["`day`", "datetime.date"]),
        ({"raw": bytearray(b"x")}, ["`raw`", "bytearray"]),
        ({"z": 1j}, ["`z`", "complex"]),
        ({1: 2}, ["`1`", "`int`", "text"]),
        ({"a": {1: 2}}, ["`a`", "`1`", "text"]),
        ({None: 2}, ["`None`", "NoneType"]),
        ({"big": 2**64}, ["64 bits"]),
        ({"big": [-(2**63) - 1]}, ["64 bits"]),
        ({"text": "\ud800"}, ["Unicode"]),
        ({"\ud800": 1}, ["Unicode"]),
        ({"a": ["\udfff"]}, ["Unicode"]),
        ({"deep": _deep(70)}, ["deep", "64"]),
        ({"deep": _endless()}, ["deep", "64"]),
        ("text", ["dict", "`str`"]),
        ([("a", 1)], ["dict", "`list`"]),
        (5, ["dict", "`int`"]),
    ],
    ids=lambda part: str(part)[:20] if not isinstance(part, list) else "",
)
def test_anything_else_is_refused_and_the_message_names_its_path(
    metadata: Any, words: list[str]
) -> None:
    with pytest.raises(MetadataError) as caught:
        encode(metadata)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, DoraError)
    assert [word for word in words if word not in str(caught.value)] == []


def test_depth_up_to_the_limit_arrives() -> None:
    sent = {"deep": _deep(60)}
    assert decode(encode(sent)) == sent


@pytest.mark.parametrize("key", ["request_id", "goal_id", "goal_status"])
def test_messages_of_requests_and_goals_are_correlated(key: str) -> None:
    assert is_correlated({key: "x"})
    assert not is_correlated({"id": key})
    assert not is_correlated({})
