"""What programs made for dora-rs rely on and no other test names: signatures, facts, log lines.

Signatures are those of dora-rs 1.1. Here a call may take more, behind dora-rs's parameters with a
default, or by keyword.
"""

from __future__ import annotations

import enum
import inspect
import io
import json
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

import dora
from dora.node import logs
from dora.node.node import Node
from dora.node.operators import Runner
from dora.node.samples import SampleHandler
from dora.testing import MockNode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .flows import Flow
    from .rig import Rig, Rigs

DEADLINE_S = 20.0
NODE = """
    next(timeout=None)
    recv_async(timeout=None)
    try_recv()
    drain()
    is_empty()
    __iter__()
    __next__()
    send_output(output_id, data, metadata=None)
    send_output_raw(output_id, data_length, metadata=None)
    send_service_request(output_id, data, metadata=None)
    send_service_response(output_id, data, metadata)
    log(level, message, target=None, fields=None)
    log_error(message)
    log_warn(message)
    log_info(message)
    log_debug(message)
    log_trace(message)
    dataflow_descriptor()
    node_config()
    dataflow_id()
    is_restart()
    restart_count()
    timestamp()
    merge_external_events(subscription)
"""
EXTENSIONS = """
    extension_store(namespace, key, value)
    extension_load(namespace, key, remove=False)
    extension_drop(namespace, key)
    drain_dropped_extension_keys(namespace)
"""
FACTS = "dataflow_descriptor=None, dataflow_id=None, node_config=None"
CALLS = {
    "Node": f"__init__(node_id=None, daemon_port=None){NODE}{EXTENSIONS}",
    "testing.MockNode": f"""
        __init__(inputs, metadata=None, *, {FACTS}, is_restart=False, restart_count=0,
            service_responses=None){NODE}
    """.replace(",\n            ", ", "),
    "builder.DataflowBuilder": """
        __init__(name='dora-dataflow')
        add_node(id, **kwargs)
        to_yaml(path=None)
        __enter__()
    """,
    "builder.Node": """
        __init__(id, **kwargs)
        path(path)
        args(args)
        env(env)
        build(build_command)
        git(url, branch=None, tag=None, rev=None)
        add_operator(operator)
        add_output(output_id)
        add_input(input_id, source, queue_size=None, queue_policy=None)
        to_dict()
    """,
    "builder.Operator": """
        __init__(id, name=None, description=None, build=None, python=None, shared_library=None,
            send_stdout_as=None)
        to_dict()
    """.replace(",\n            ", ", "),
    "builder.Output": """
        __init__(node, output_id)
        __str__()
    """,
    "": """
        build(dataflow_path, uv=None, coordinator_addr=None, coordinator_port=None,
            force_local=False)
        run(dataflow_path, uv=None, stop_after=None)
        start_runtime()
    """.replace(",\n            ", ", "),
}
ROWS = [
    (owner, row.strip())
    for owner, rows in CALLS.items()
    for row in rows.splitlines()
    if row.strip()
]


def signature_of(row: str) -> inspect.Signature:
    """The signature that a row writes."""
    names: dict[str, Any] = {}
    exec(f"def call({row.partition('(')[2]}: ...", names)
    return inspect.signature(names["call"])


def found(owner: str) -> Any:
    """`dora` or what is behind a dotted name in it."""
    place: Any = dora
    for name in owner.split("."):
        place = getattr(place, name) if name else place
    return place


@pytest.mark.parametrize(("owner", "row"), ROWS)
def test_a_call_takes_what_it_takes_in_dora_rs(owner: str, row: str) -> None:
    place, name = found(owner), row.partition("(")[0]
    ours = list(inspect.signature(getattr(place, name)).parameters.values())
    if owner:
        assert ours.pop(0).name == "self"
    theirs = list(signature_of(row).parameters.values())
    for own, their in zip(ours, theirs, strict=False):
        assert (own.name, own.kind, own.default) == (their.name, their.kind, their.default)
    assert len(ours) >= len(theirs)
    for own in ours[len(theirs) :]:
        assert own.default is not own.empty, f"`{own.name}` must be given here, and not there"


def test_the_package_has_what_dora_rs_exports() -> None:
    assert isinstance(dora.__version__, str)
    assert isinstance(dora.__author__, str)
    assert issubclass(dora.DoraStatus, enum.Enum)
    values = {status.name: status.value for status in dora.DoraStatus}
    assert values == {"CONTINUE": 0, "STOP": 1, "STOP_ALL": 2}
    assert inspect.ismodule(dora.builder)
    assert inspect.ismodule(dora.testing)


def test_every_error_is_a_runtime_error_as_all_of_dora_rs_are() -> None:
    errors = [name for name in dora.__all__ if name.endswith("Error")]
    assert len(errors) > 20
    assert [name for name in errors if not issubclass(getattr(dora, name), RuntimeError)] == []


@pytest.mark.parametrize("name", ["as_buffer", "as_memoryview", "send"])
def test_the_calls_of_a_raw_sample_take_nothing(name: str) -> None:
    assert list(inspect.signature(getattr(SampleHandler, name)).parameters) == ["self"]


def test_an_operator_is_given_a_function_that_takes_what_send_output_does() -> None:
    ours = inspect.signature(Runner._send_output).parameters.values()
    theirs = inspect.signature(Node.send_output).parameters.values()
    assert [(p.name, p.kind, p.default) for p in ours] == [
        (p.name, p.kind, p.default) for p in theirs
    ]


# ---- joining ----


def test_node_waits_until_every_node_of_the_dataflow_is_there(flow: Flow) -> None:
    for name in ("early", "late"):
        flow.node(
            name,
            f"""
            import pathlib
            from dora import Node
            if {name!r} == "late":
                while not pathlib.Path("waiting").exists():
                    os.sched_yield()
                import pyarrow  # takes far longer than joining: the other would be through
                pathlib.Path("here").touch()
            else:
                pathlib.Path("waiting").touch()
            node = Node()
            say(pathlib.Path("here").exists())
            """,
        )
    ran = flow.run()
    assert (ran.said("early"), ran.said("late")) == ([True], [True])


def test_a_dataflow_is_joined_whatever_file_of_inputs_the_environment_names(
    wire: Rigs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DORA_TEST_WITH_INPUTS", str(tmp_path / "none.json"))
    assert wire().node.dataflow_id() == "rig"


# ---- facts ----


def test_a_node_that_was_started_again_knows_how_often(wire: Rigs) -> None:
    rig = wire()
    assert (rig.node.is_restart(), rig.node.restart_count()) == (False, 0)
    host: Any = rig.node._host
    host.welcome = msgspec.structs.replace(host.welcome, restart_count=2)
    assert (rig.node.is_restart(), rig.node.restart_count()) == (True, 2)


def test_the_time_of_a_node_is_a_datetime_in_utc(wire: Rigs) -> None:
    node = wire().node
    before, now, after = datetime.now(UTC), node.timestamp(), datetime.now(UTC)
    assert before <= now <= after
    assert now.tzinfo is UTC


def test_a_value_that_is_dropped_is_gone_and_its_key_is_told() -> None:
    with MockNode([]) as node:
        node.extension_store("ns", "k", b"1")
        assert node.extension_load("ns", "k") == b"1"
        node.extension_drop("ns", "k")
        node.extension_drop("ns", "k")  # gone already: no error
        assert node.extension_load("ns", "k") is None
        assert node.drain_dropped_extension_keys("ns") == ["k"]
        assert node.drain_dropped_extension_keys("ns") == []


# ---- messages ----


def received(rig: Rig, data: Any, metadata: dict[str, Any] | None = None) -> Any:
    """What the node gets of this message."""
    rig.send("in", data, metadata)
    event = rig.node.next(DEADLINE_S)
    assert event is not None
    return event


@pytest.mark.parametrize("size", [3, 5000], ids=["in the ticket", "in shared memory"])
def test_received_values_have_the_accessors_that_programs_use(wire: Rigs, size: int) -> None:
    rig = wire({"in": 10})
    raw = bytes(index % 251 for index in range(size))
    value = received(rig, raw)["value"]
    assert value.type == pa.uint8()
    assert value.to_pylist() == list(raw)
    assert (value[1].as_py(), len(value)) == (1, size)
    assert bytes(value) == raw
    assert value.to_numpy().tobytes() == raw
    assert value.to_numpy(zero_copy_only=False).tobytes() == raw
    points = received(rig, pa.array([{"x": 1.5, "label": "p"}] * size))["value"]
    assert points.field("x").to_pylist() == [1.5] * size
    assert points[0].as_py() == {"x": 1.5, "label": "p"}


def test_metadata_of_dora_rs_arrives_and_goes_on_as_it_came(wire: Rigs) -> None:
    rig = wire({"in": 10}, outputs=("out",))
    sent = {
        "flag": True,
        "width": 640,
        "most": 2**63 - 1,
        "scale": 0.5,
        "encoding": "rgb8",
        "ints": [1, 2],
        "floats": [1.0, 2.5],
        "texts": ["a", "b"],
        "empty": [],
        "taken": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        "open_telemetry_context": "traceparent:00-1-2-01;",
    }
    event = received(rig, np.zeros(1), sent)
    rig.node.send_output("out", event["value"], metadata=event["metadata"])
    back: Any = rig.take("out")
    for metadata in (event["metadata"], back["metadata"]):
        assert {key: metadata[key] for key in sent} == sent
        assert [type(metadata[key]) for key in sent] == [type(value) for value in sent.values()]


def test_a_request_without_metadata_has_its_id_alone(wire: Rigs) -> None:
    rig = wire(outputs=("ask",))
    request_id = rig.node.send_service_request("ask", b"x")
    event: Any = rig.take("ask")
    assert set(event["metadata"]) == {"request_id", "timestamp", "type_info"}
    assert event["metadata"]["request_id"] == request_id


# ---- log lines ----


def lines_of(speak: Callable[[], None], patch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is written to standard output, each line an object."""
    out = io.StringIO()
    patch.setattr(sys, "stdout", out)
    speak()
    patch.undo()
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_log_line_has_the_keys_of_dora_rs(monkeypatch: pytest.MonkeyPatch) -> None:
    def speak() -> None:
        logs.log("n", "warn", "hot", "motor", {"joint": "2"})
        logs.log("n", "nonsense", "plain")
        logs.log("n", "info", "most", fields={"k": "x" * 59_999})
        logs.log("n", "info", "too much", fields={"k": "x" * 60_000})

    full, plain, most, too_much = lines_of(speak, monkeypatch)
    assert (
        datetime.fromisoformat(full.pop("timestamp")).utcoffset() == datetime.now(UTC).utcoffset()
    )
    assert full == {
        "level": "warn",
        "node_id": "n",
        "message": "hot",
        "target": "motor",
        "fields": {"joint": "2"},
    }
    assert set(plain) == {"timestamp", "level", "node_id", "message"}
    assert plain["level"] == "info"
    assert set(most) == {"timestamp", "level", "node_id", "message", "fields"}
    assert set(too_much) == {"timestamp", "level", "node_id", "message", "fields_dropped"}


def test_a_line_of_pythons_logging_has_the_keys_of_dora_rs(monkeypatch: pytest.MonkeyPatch) -> None:
    def speak() -> None:
        logger = logging.Logger("vision")
        logger.addHandler(logs.HostHandler())
        logger.warning("seen %d", 3)

    (line,) = lines_of(speak, monkeypatch)
    assert set(line) == {"timestamp", "level", "fields", "target"}
    assert line["level"] == "WARN"
    assert set(line["fields"]) == {"message", "file", "line", "target"}
    assert line["fields"]["message"] == "seen 3"
    assert line["fields"]["file"] == __file__
