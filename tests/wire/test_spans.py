"""Trace contexts as text: dora-rs's, W3C's, ours, and whatever somebody else may have put there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from opentelemetry import trace as otel
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from dora.errors import ProtocolError
from dora.wire import messages, metadata
from dora.wire.spans import (
    CONTEXT,
    Context,
    Sent,
    Span,
    Spans,
    new_span_id,
    new_trace_id,
    parse_context,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"

_ids = st.integers(1, 2**128 - 1).map("{:032x}".format)
_spans = st.integers(1, 2**64 - 1).map("{:016x}".format)
_keys = st.from_regex(r"[a-ce-z][a-z0-9_\-*/]{0,20}", fullmatch=True)
_values = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=",="),
    min_size=1,
    max_size=30,
).filter(lambda text: "traceparent:" not in text and not text.endswith(";"))
_states = st.dictionaries(_keys, _values, max_size=5).map(
    lambda members: ",".join(map("=".join, members.items()))
)
contexts = st.builds(Context, _ids, _spans, st.booleans(), _states, st.integers(0, 10**6))


@given(contexts)
def test_a_context_is_read_as_it_was_written(context: Context) -> None:
    assert parse_context(context.text()) == context


@given(contexts)
def test_a_context_travels_in_metadata(context: Context) -> None:
    sent = metadata.decode(metadata.encode({CONTEXT: context.text()}))
    assert parse_context(sent[CONTEXT]) == context


@given(contexts)
def test_the_propagator_of_opentelemetry_reads_it(context: Context) -> None:
    carrier = dict(part.split(":", 1) for part in context.text().split(";tracestate")[0:1])
    carrier["tracestate"] = context.text().partition("tracestate:")[2].removesuffix(";")
    read = otel.get_current_span(TraceContextTextMapPropagator().extract(carrier))
    found = read.get_span_context()
    assert found.is_valid
    assert (f"{found.trace_id:032x}", f"{found.span_id:016x}") == (context.trace, context.span)
    assert found.trace_flags.sampled == context.sampled
    assert found.trace_state["dora"] == str(context.hops)


@given(st.one_of(st.text(max_size=200), st.binary(), st.none(), st.integers(), st.lists(st.text())))
def test_whatever_stands_there_is_read_or_is_none(junk: object) -> None:
    found = parse_context(junk)
    assert found is None or parse_context(found.text()) == found


@given(st.text("traceprnsd:;-=,0123456789abcdef", max_size=150))
def test_what_looks_nearly_like_one_is_read_or_is_none(junk: str) -> None:
    found = parse_context(f"traceparent:{junk}")
    assert found is None or parse_context(found.text()) == found


@pytest.mark.parametrize(
    "text",
    [
        f"traceparent:{PARENT};",
        f"traceparent:{PARENT};tracestate:;",
        f"tracestate:;traceparent:{PARENT};",
        f"traceparent:{PARENT}",
        f"tracestate:dd=s:2;o:rum,x=1;traceparent:{PARENT};",
        f"traceparent:{PARENT};tracestate:dd=s:2;o:rum,x=1;",
    ],
)
def test_what_dora_rs_and_others_write_is_read(text: str) -> None:
    found = parse_context(text)
    assert found is not None
    assert (found.trace, found.span, found.sampled, found.hops) == (TRACE, SPAN, True, 0)
    assert found.state == ("dd=s:2;o:rum,x=1" if "dd=" in text else "")


@pytest.mark.parametrize(
    "parent",
    [
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
    ],
)
def test_what_w3c_forbids_is_no_context(parent: str) -> None:
    assert parse_context(f"traceparent:{parent};") is None


def test_a_later_version_may_have_more() -> None:
    found = parse_context(f"traceparent:01-{TRACE}-{SPAN}-03-more;")
    assert found == Context(TRACE, SPAN)


@pytest.mark.parametrize(
    ("flags", "sampled"), [("00", False), ("01", True), ("03", True), ("02", False)]
)
def test_the_lowest_flag_says_whether_it_is_sampled(flags: str, sampled: bool) -> None:
    found = parse_context(f"traceparent:00-{TRACE}-{SPAN}-{flags};")
    assert found is not None
    assert found.sampled is sampled


def test_our_member_is_first_and_there_once() -> None:
    found = parse_context(f"traceparent:{PARENT};tracestate:a=1,dora=3,b=2;")
    assert found == Context(TRACE, SPAN, True, "a=1,b=2", 3)
    assert found.text() == f"traceparent:{PARENT};tracestate:dora=3,a=1,b=2;"


def test_ids_are_new_and_not_zero() -> None:
    traces, spans = ({make() for _ in range(100)} for make in (new_trace_id, new_span_id))
    assert len(traces) == len(spans) == 100
    assert all(parse_context(Context(t, s).text()) for t, s in zip(traces, spans, strict=True))


def test_a_batch_of_spans_is_read_as_it_was_written() -> None:
    span = Span(TRACE, SPAN, "", "tick", 0, 1, 2, 3, [Sent("image", 2, SPAN)], [SPAN])
    batch = Spans([span, span], 7)
    assert messages.decode_from_node(messages.encode(batch)) == batch


@pytest.mark.parametrize(
    "wrong",
    [
        {"trace": "not hexadecimal"},
        {"trace": f"{TRACE}\n"},
        {"span": "ab"},
        {"parent": SPAN.upper()},
        {"input": "\x1b]0;title\x07"},
        {"input": "x" * 2000},
        {"done_ns": -5},
        {"done_ns": 2**63},
        {"sent": [Sent("image\r", 2)]},
        {"links": ["ab"]},
    ],
    ids=str,
)
def test_a_span_that_cannot_be_is_not_taken_from_a_node(wrong: dict[str, Any]) -> None:
    span = replace(Span(TRACE, SPAN, "", "tick", 0, 1, 2, 3), **wrong)
    with pytest.raises(ProtocolError):
        messages.decode_from_node(messages.encode(Spans([span])))


def test_a_count_of_lost_spans_that_overflows_the_daemons_is_not_taken() -> None:
    with pytest.raises(ProtocolError):
        messages.decode_from_node(messages.encode(Spans([], 10**18)))
