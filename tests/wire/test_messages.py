from __future__ import annotations

import types
import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora.errors import ProtocolError
from dora.wire import messages
from dora.wire.framing import Deframer, frame

NODE_KINDS = typing.get_args(messages.NodeMessage)
DAEMON_KINDS = typing.get_args(messages.DaemonMessage)

# A `dict[str, Any]` of a message is whatever YAML holds.
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)  # fmt: skip
plain = {int: st.integers(0, 2**63 - 1), float: st.floats(allow_nan=False)}


def _strategy(kind: Any) -> st.SearchStrategy[Any]:
    """Messages of one kind, each field drawn by its type."""
    fields = {}
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        fields[name] = _field(hint)
    return st.builds(kind, **fields)


def _field(hint: Any) -> st.SearchStrategy[Any]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _strategy(hint)
    if typing.get_origin(hint) is typing.Annotated:
        kind, bounds = typing.get_args(hint)
        if bounds.pattern is not None:
            return st.from_regex(bounds.pattern)
        assert kind is int
        return st.integers(bounds.ge, bounds.le)
    if typing.get_origin(hint) is list:
        return st.lists(_field(typing.get_args(hint)[0]), max_size=3)
    if typing.get_origin(hint) is dict:
        return st.dictionaries(st.text(max_size=5), anything, max_size=3)
    if isinstance(hint, types.UnionType):
        return st.one_of(*map(_field, typing.get_args(hint)))
    return plain[hint] if hint in plain else st.from_type(hint)


@pytest.mark.parametrize("kind", NODE_KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_what_a_node_says_arrives(kind: Any, data: st.DataObject) -> None:
    message = data.draw(_strategy(kind))
    (body,) = Deframer().feed(frame(messages.encode(message)))
    got = messages.decode_from_node(body)
    assert type(got) is kind
    assert got == message


@pytest.mark.parametrize("kind", DAEMON_KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_what_a_daemon_says_arrives(kind: Any, data: st.DataObject) -> None:
    message = data.draw(_strategy(kind))
    (body,) = Deframer().feed(frame(messages.encode(message)))
    got = messages.decode_from_daemon(body)
    assert type(got) is kind
    assert got == message


def test_every_kind_has_a_tag_of_its_own() -> None:
    tags = [kind.__struct_config__.tag for kind in (*NODE_KINDS, *DAEMON_KINDS)]
    assert len(set(tags)) == len(tags)


@given(st.binary(max_size=200))
def test_garbage_is_a_protocol_error_in_either_direction(body: bytes) -> None:
    for decode in (messages.decode_from_node, messages.decode_from_daemon):
        with pytest.raises(ProtocolError):
            decode(body)


def test_a_message_of_the_other_direction_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        messages.decode_from_daemon(messages.encode(messages.Goodbye()))
    with pytest.raises(ProtocolError):
        messages.decode_from_node(messages.encode(messages.Stop("MANUAL")))


def test_a_message_of_a_wrong_type_inside_is_a_protocol_error() -> None:
    body = msgspec.msgpack.encode({"type": "stop", "id": 5})
    with pytest.raises(ProtocolError, match="id"):
        messages.decode_from_daemon(body)


def test_a_field_that_a_later_version_added_is_no_error() -> None:
    body = msgspec.msgpack.encode({"type": "goodbye", "reason": "new"})
    assert messages.decode_from_node(body) == messages.Goodbye()


@given(_strategy(messages.NodeConfig))
def test_the_configuration_of_a_node_arrives_by_its_environment(
    config: messages.NodeConfig,
) -> None:
    text = messages.encode_config(config)
    assert "\0" not in text
    assert messages.decode_config(text) == config


@pytest.mark.parametrize("text", ["", "{}", "null", "[1]", "{", '{"dataflow_id": 5}', "\x00"])
def test_a_configuration_of_another_make_is_told_as_such(text: str) -> None:
    with pytest.raises(ProtocolError, match="DORA_NODE_CONFIG"):
        messages.decode_config(text)
