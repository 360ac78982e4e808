"""`DORA_RUNTIME_TYPE_CHECK`: what is told of messages that are not as they are declared."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora.descriptor.types_library import Library
from dora.descriptor.types_text import parse_type
from dora.errors import DoraError, TypeCheckError
from dora.node.typecheck import VARIABLE, layout_of
from dora.wire.layouts import NodeTypes, PortType, misfit

if TYPE_CHECKING:
    from .flows import Flow
    from .rig import Rig, Rigs

LIBRARY = Library()
DTYPES = ("bool", "uint8", "int16", "int64", "float32", "float64", "complex64")
XYZ = pa.struct([("x", pa.float64()), ("y", pa.float64()), ("z", pa.float64())])
POINT = {"x": 1.0, "y": 2.0, "z": 3.0}


def port(text: str, **more: Any) -> PortType:
    declared = LIBRARY.port_type(LIBRARY.resolve(parse_type(text)))
    return PortType(declared.text, declared.layouts, facts=declared.facts, **more)


def sender_of(wire: Rigs, patch: pytest.MonkeyPatch, declared: PortType, mode: str) -> Rig:
    patch.setenv(VARIABLE, mode)
    return wire(outputs=("x",), types=NodeTypes(outputs={"x": declared}))


@given(
    st.sampled_from(DTYPES),
    st.lists(st.integers(1, 3), max_size=3),
    st.sampled_from(DTYPES),
    st.lists(st.integers(1, 3) | st.just("_"), max_size=3),
)
def test_an_array_is_taken_exactly_when_dtype_and_shape_are_those_declared(
    dtype: str, shape: list[int], declared_dtype: str, declared: list[int | str]
) -> None:
    sizes = "".join(f"{size}," for size in declared)
    kind = port(f"Array[{declared_dtype}, ({sizes})]" if sizes else f"Array[{declared_dtype}, ()]")
    fits = misfit(kind.layouts, layout_of(np.zeros(shape, dtype))) is None
    sizes_fit = len(shape) == len(declared) and all(
        expected in ("_", size) for size, expected in zip(shape, declared, strict=False)
    )
    assert fits == (dtype == declared_dtype and sizes_fit)


TAKEN: list[tuple[str, Any]] = [
    ("Float32", np.zeros((2, 3), np.float32)),
    ("Float32", np.zeros(3, ">f4")),
    ("Float32", pa.array([1.0], pa.float32())),
    ("Float32", pa.array([1.0, None], pa.float32())),
    ("Float64", 1.5),
    ("Int64", [1, 2]),
    ("Bool", True),
    ("Bool", np.ones(2, bool)),
    ("String", "text"),
    ("String", pa.array(["a"], pa.large_string())),
    ("String", pa.array(["a"], pa.string_view())),
    ("UInt8", b"bytes"),
    ("Bytes", b"bytes"),
    ("Bytes", {"any": "thing"}),
    ("CompressedImage", b"jpeg"),
    ("CompressedImage", pa.array([b"jpeg"])),
    ("Image[uint8, (H, W, 3)]", np.zeros((4, 5, 3), np.uint8)),
    ("Image[encoding=rgb8]", np.zeros((4, 5, 3), np.uint8)),
    ("Image[encoding=rgb8]", pa.array(range(60), pa.uint8())),
    ("Vector3", np.zeros(3)),
    ("Vector3", POINT),
    ("Vector3", pa.array([{**POINT, "w": 0.0}])),
    ("Array[float64, (2,)]", pa.array([1.0, 2.0])),
    ("Array[_, (..., 3)]", np.zeros((1, 2, 3))),
    ("List<Float64>", [[1.0], [2.0, 3.0]]),
    ("List<List<Float64>>", pa.array([[[1.0]]], pa.list_(pa.list_(pa.float64(), 1)))),
    (
        "Detection",
        pa.array(
            [{"boxes": []}],
            pa.struct(
                [
                    (
                        "boxes",
                        pa.list_(
                            pa.struct(
                                [
                                    ("x", pa.float32()),
                                    ("y", pa.float32()),
                                    ("width", pa.float32()),
                                    ("height", pa.float32()),
                                    ("confidence", pa.float32()),
                                    ("label", pa.string()),
                                ]
                            )
                        ),
                    )
                ]
            ),
        ),
    ),
]


@pytest.mark.parametrize(("text", "value"), TAKEN)
def test_a_value_of_the_declared_type_is_sent(
    wire: Rigs, monkeypatch: pytest.MonkeyPatch, text: str, value: Any
) -> None:
    rig = sender_of(wire, monkeypatch, port(text), "error")
    rig.node.send_output("x", value)
    event = rig.take("x")
    assert event is not None
    assert event["type"] == "INPUT"
    assert misfit(port(text).layouts, layout_of(event["value"])) is None


REFUSED: list[tuple[str, Any, str]] = [
    (
        "Image[uint8, (H, W, 3)]",
        np.zeros((4, 5, 3)),
        "output `n/x` is declared `std/media/v1/Image[uint8, (H, W, 3)]`, but this value is "
        "`float64[4, 5, 3]`: its dtype is float64, not uint8; send `value.astype('uint8')`, or "
        "correct `output_types:` of node `n`",
    ),
    (
        "Image[encoding=rgb8]",
        np.zeros((4, 5), np.uint8),
        "output `n/x` is declared `std/media/v1/Image[encoding=rgb8]`, but this value is "
        "`uint8[4, 5]`: it has 2 dimensions, not 3; send what is declared, or correct "
        "`output_types:` of node `n`",
    ),
    (
        "Float32",
        [1.0],
        "output `n/x` is declared `std/core/v1/Float32`, but this value is `double[1]`: it is "
        "float64, not float32; send `pa.array(values, pa.float32())`, or correct `output_types:` "
        "of node `n`",
    ),
    (
        "Vector3",
        {"x": 1, "y": 2.0, "z": 3.0},
        "output `n/x` is declared `std/math/v1/Vector3`, but this value is "
        "`struct<x: int64, y: double, z: double>`: `x` is int64, not float64; give `pa.array` the "
        "type that is declared, or correct `output_types:` of node `n`",
    ),
    (
        "Array[float64, (3,)]",
        pa.array([1.0, 2.0]),
        "output `n/x` is declared `Array[float64, (3,)]`, but this value is `double[2]`: dimension "
        "1 is 2, not 3; send what is declared, or correct `output_types:` of node `n`",
    ),
    (
        "Array[uint8]",
        np.zeros(2, [("a", "u1")]),
        "output `n/x` is declared `Array[uint8]`, but this value is `[('a', 'u1')][2]`: its dtype "
        "is a structured dtype, not uint8; send `value.astype('uint8')`, or correct "
        "`output_types:` of node `n`",
    ),
]


@pytest.mark.parametrize(("text", "value", "message"), REFUSED)
def test_another_value_is_an_error_of_send_output_and_is_not_sent(
    wire: Rigs, monkeypatch: pytest.MonkeyPatch, text: str, value: Any, message: str
) -> None:
    rig = sender_of(wire, monkeypatch, port(text), "error")
    for _ in range(2):
        with pytest.raises(TypeCheckError) as caught:
            rig.node.send_output("x", value)
        assert str(caught.value) == message
    assert isinstance(caught.value, DoraError)
    assert rig.take("x") is None


@pytest.mark.parametrize("mode", ["warn", "1", "true", " WARN "])
def test_a_warning_is_told_once_for_an_output_and_the_message_goes_on(
    wire: Rigs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    rig = sender_of(wire, monkeypatch, port("Float32"), mode)
    for value in (np.zeros(1, np.float32), np.zeros(2), np.zeros(3)):
        rig.node.send_output("x", value)
        assert rig.taken("x").shape == value.shape
    (told,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "`float64[2]`: its dtype is float64, not float32" in told.getMessage()


def test_loans_and_raw_samples_are_looked_at_too(
    wire: Rigs, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = sender_of(wire, monkeypatch, port("Array[float32, (N, 4)]"), "error")
    wrong, right = rig.node.loan((2, 3), "float32"), rig.node.loan((2, 4), "float32")
    with pytest.raises(TypeCheckError, match="dimension 2 is 3, not 4"):
        rig.node.send_output("x", wrong)
    rig.node.send_output("x", right)
    assert rig.taken("x").shape == (2, 4)
    with pytest.raises(TypeCheckError, match="uint8"), rig.node.send_output_raw("x", 16):
        pass


@pytest.mark.parametrize("key", ["request_id", "goal_id", "goal_status"])
def test_messages_of_requests_and_goals_may_be_of_any_type(
    wire: Rigs, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    rig = sender_of(wire, monkeypatch, port("Float32"), "error")
    rig.node.send_output("x", "text", {key: "1"})
    assert rig.taken("x").to_pylist() == ["text"]


def test_metadata_that_is_promised_and_not_there_is_told(
    wire: Rigs, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = PortType(metadata=("request_id", "zone"))
    rig = sender_of(wire, monkeypatch, declared, "error")
    with pytest.raises(TypeCheckError) as caught:
        rig.node.send_output("x", 1, {"request_id": "1"})
    assert str(caught.value) == (
        "output `n/x` promises `zone` in the metadata of each message, but this one has "
        "`request_id`; add `zone` to the `metadata` of `send_output`, or correct "
        "`output_metadata:` of node `n`"
    )
    rig.node.send_output("x", 1, {"request_id": "1", "zone": "a"})
    assert rig.take("x") is not None


def test_metadata_may_not_contradict_a_parameter_of_the_type(
    wire: Rigs, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = sender_of(wire, monkeypatch, port("Image[encoding=rgb8]"), "error")
    image = np.zeros((2, 2, 3), np.uint8)
    rig.node.send_output("x", image, {"encoding": "rgb8"})
    with pytest.raises(TypeCheckError, match="says that `encoding` is `bgr8`"):
        rig.node.send_output("x", image, {"encoding": "bgr8"})


def test_a_receiver_tells_of_the_first_message_only_and_lets_it_through(
    wire: Rigs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(VARIABLE, "error")
    types = NodeTypes(inputs={"a": port("Float32"), "b": port("Float32")})
    rig = wire({"a": 10, "b": 10}, types=types)
    rig.send("a", "of a request", {"request_id": "1"})  # of any type: the check waits
    rig.send("a", np.zeros((2, 2)))
    rig.send("a", "again")
    rig.send("b", np.zeros(2, np.float32))
    rig.send("b", "second")
    values = []
    while (event := rig.node.try_recv()) is not None:
        assert event["type"] == "INPUT"
        values.append(event["value"])
    assert len(values) == 5
    assert [record.getMessage() for record in caplog.records] == [
        "input `n/a` expects `std/core/v1/Float32`, but its first message is `float64[2, 2]`: its "
        "dtype is float64, not float32; correct `input_types:` of node `n`, or what the sender "
        "sends"
    ]


def test_waiting_and_asyncio_are_looked_at_as_well(
    wire: Rigs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import asyncio

    monkeypatch.setenv(VARIABLE, "warn")
    types = NodeTypes(inputs={"a": port("Float32"), "b": port("Float32")})
    rig = wire({"a": 10, "b": 10}, types=types)
    rig.send("a", "text")
    assert rig.node.next(20.0) is not None
    rig.send("b", "text")
    assert asyncio.run(rig.node.recv_async(20.0)) is not None
    assert [record.args[1] for record in caplog.records if record.args] == ["a", "b"]  # type: ignore[index]


@pytest.mark.parametrize("value", [None, "", "0", "false", "off"])
def test_nothing_is_checked_and_nothing_stands_in_the_way_unless_asked_for(
    wire: Rigs, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv(VARIABLE, raising=False)
    else:
        monkeypatch.setenv(VARIABLE, value)
    types = NodeTypes(outputs={"x": port("Float32")}, inputs={"a": port("Float32")})
    rig = wire({"a": 10}, ("x",), types=types)
    rig.node.send_output("x", "text")
    assert rig.taken("x").to_pylist() == ["text"]
    # The very objects that carry every message: no check could cost anything.
    assert rig.node._sender is rig.node._host.sender
    assert rig.node._stream is rig.node._host.stream


def test_a_value_of_the_variable_that_means_nothing_is_told(
    wire: Rigs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig = sender_of(wire, monkeypatch, port("Float32"), "loud")
    rig.node.send_output("x", "text")
    assert caplog.messages == [
        "`DORA_RUNTIME_TYPE_CHECK` is `loud`; write `warn` or `error`. Nothing is checked"
    ]


def test_a_node_that_checks_nothing_does_not_load_the_checks() -> None:
    code = "import sys, dora.node.node; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"dora.node.typecheck", "dora.wire.layouts"} & set(done.stdout.split())


def test_a_dataflow_tells_its_nodes_their_types(flow: Flow) -> None:
    flow.node(
        "source",
        """
        import numpy as np
        from dora import Node, TypeCheckError
        node = Node()
        try:
            node.send_output("x", np.zeros((4, 5)))
        except TypeCheckError as exc:
            say(str(exc))
        node.send_output("x", np.zeros((4, 5, 3), np.uint8))
        """,
        outputs=["x"],
        output_types={"x": "Image[uint8, (H, W, 3)]"},
        env={VARIABLE: "error"},
    ).node(
        "sink",
        """
        from dora import Node
        for event in Node():
            pass
        """,
        inputs={"x": "source/x"},
        input_types={"x": "Image[uint8, (W, H, 3)]"},
        env={VARIABLE: "warn"},
    )
    ran = flow.run()
    assert ran.status == 0, ran.text
    (told,) = ran.said("source")
    assert told.startswith("output `source/x` is declared `std/media/v1/Image[uint8, (H, W, 3)]`")
    assert "expects" not in ran.text


def test_a_receiver_that_drains_is_told_as_well(
    wire: Rigs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(VARIABLE, "warn")
    rig = wire({"a": 10}, types=NodeTypes(inputs={"a": port("Float32")}))
    rig.send("a", "text")
    assert len(rig.node.drain()) == 1
    assert "input `n/a` expects `std/core/v1/Float32`" in caplog.text
