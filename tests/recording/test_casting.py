"""Who replays what."""

from __future__ import annotations

from typing import Any

import pytest

from dora.errors import ReplayError
from dora.recording.casting import Role, cast, with_replays

ROLES = [
    Role("camera", ("image", "status")),
    Role("imu", ("values",)),
    Role("detector", ("boxes",), ("camera/image",)),
    Role("plot", (), ("camera/image", "detector/boxes", "imu/values")),
]
ALL = ["camera/image", "camera/status", "detector/boxes", "imu/values"]


def test_nodes_that_read_from_no_other_are_replaced() -> None:
    found = cast(ROLES, ALL)
    assert found.parts == {
        "camera": {"camera/image": "image", "camera/status": "status"},
        "imu": {"imu/values": "values"},
    }
    assert (found.live, found.silent, found.unplayed) == ((), (), ())


def test_a_source_that_was_not_recorded_runs_itself() -> None:
    assert cast(ROLES, ["camera/image"]).live == ("imu",)


def test_what_is_read_but_was_not_recorded_is_told() -> None:
    roles = [Role("camera", ("image", "depth", "unread")), Role("plot", (), ("camera/depth",))]
    assert cast(roles, ["camera/image"]).silent == ("camera/depth",)


def test_topics_that_the_dataflow_does_not_have_are_told() -> None:
    assert cast(ROLES, ["camera/image", "camera/gone", "lidar/points"]).unplayed == (
        "camera/gone",
        "lidar/points",
    )


def test_named_nodes_are_replaced_and_no_others() -> None:
    found = cast(ROLES, ALL, replace=["detector"])
    assert found.parts == {"detector": {"detector/boxes": "boxes"}}
    assert found.live == ("camera", "imu")


def test_what_only_feeds_replaced_nodes_is_not_started() -> None:
    roles = [
        Role("camera", ("image",)),
        Role("filter", ("image",), ("camera/image", "filter/image")),
        Role("detector", ("boxes",), ("filter/image",)),
        Role("plot", (), ("detector/boxes",)),
        Role("light", ("on",)),
    ]
    found = cast(roles, ["detector/boxes"], replace=["detector"])
    assert (found.idle, found.live) == (("camera", "filter"), ("light",))
    flow = {"nodes": [{"id": role.node, "outputs": list(role.outputs)} for role in roles]}
    now = with_replays(flow, found, roles, lambda _node: {}, lossless=False)
    assert [node["id"] for node in now["nodes"]] == ["detector", "plot", "light"]


def test_a_remapped_output_replaces_the_node_it_is_played_by() -> None:
    found = cast(ROLES, ["bag/scan", "camera/image"], {"bag/scan": "detector/boxes"})
    assert found.topics == {
        "camera/image": ("camera", "image"),
        "bag/scan": ("detector", "boxes"),
    }


@pytest.mark.parametrize(
    ("topics", "remap", "replace", "told"),
    [
        (ALL, {}, ["detectr"], "did you mean `detector`"),
        (ALL, {}, ["plot"], "nothing is recorded of node `plot`"),
        (ALL, {"camera/imge": "imu/values"}, None, "did you mean `camera/image`"),
        (ALL, {"imu/values": "camera/imge"}, None, "did you mean `camera/image`"),
        (ALL, {"imu/values": "camera/image"}, None, "would both be played as `camera/image`"),
        (["detector/boxes"], {}, None, "`--replace`; recorded: `detector`"),
        (["lidar/points"], {}, None, "which holds `lidar/points`"),
        ([], {}, None, "which holds nothing"),
    ],
)
def test_a_wish_that_cannot_be_met_is_told(
    topics: list[str], remap: dict[str, str], replace: list[str] | None, told: str
) -> None:
    with pytest.raises(ReplayError, match=told):
        cast(ROLES, topics, remap, replace)


def replaced(flow: dict[str, Any], roles: list[Role], topics: list[str], **flags: bool) -> Any:
    found = cast(roles, topics)
    command = {"path": "python", "args": "play"}
    return with_replays(flow, found, roles, lambda _node: command, lossless=flags["lossless"])


def test_a_replaced_node_keeps_its_id_outputs_and_types_and_nothing_else() -> None:
    camera = {
        "id": "camera",
        "path": "camera.py",
        "build": "pip install cv2",
        "inputs": {"tick": "dora/timer/hz/30"},
        "outputs": ["image"],
        "output_types": {"image": "std/media/v1/Image"},
        "env": {"DEVICE": 0},
        "restart_policy": "always",
    }
    flow = {"env": {"A": "b"}, "nodes": [camera]}
    now = replaced(flow, [Role("camera", ("image",))], ["camera/image"], lossless=False)
    assert now == {
        "env": {"A": "b"},
        "nodes": [
            {
                "id": "camera",
                "outputs": ["image"],
                "output_types": {"image": "std/media/v1/Image"},
                "path": "python",
                "args": "play",
            }
        ],
    }
    assert flow["nodes"][0] is camera, "the file's own values stay as they are"


def test_readers_of_a_replaced_node_wait_for_nothing_unless_nothing_may_be_lost() -> None:
    inputs = {
        "short": "camera/image",
        "long": {"source": "camera/image", "queue_size": 1},
        "newest": {"source": "camera/image", "queue_policy": "drop_oldest"},
        "other": "plot/x",
        "tick": "dora/timer/hz/1",
    }
    nodes = [{"id": "camera", "outputs": ["image"]}, {"id": "plot", "inputs": inputs}]
    roles = [Role("camera", ("image",)), Role("plot", ("x",), ("camera/image",))]
    as_it_is = replaced({"nodes": nodes}, roles, ["camera/image"], lossless=False)
    assert as_it_is["nodes"][1]["inputs"] == inputs
    lossless = replaced({"nodes": nodes}, roles, ["camera/image"], lossless=True)
    assert lossless["nodes"][1]["inputs"] == inputs | {
        "short": {"source": "camera/image", "queue_policy": "backpressure"},
        "long": {"source": "camera/image", "queue_size": 1, "queue_policy": "backpressure"},
    }


def test_outputs_of_a_replaced_operator_are_read_by_their_whole_name() -> None:
    source = {"id": "source", "operator": {"python": "op.py", "outputs": ["image"]}}
    reader = {"id": "reader", "operators": [{"id": "a", "inputs": {"image": "source/image"}}]}
    roles = [Role("source", ("op/image",)), Role("reader", (), ("source/image",))]
    now = replaced({"nodes": [source, reader]}, roles, ["source/op/image"], lossless=False)
    assert now["nodes"][0]["outputs"] == ["op/image"]
    assert now["nodes"][1]["operators"][0]["inputs"] == {"image": "source/op/image"}
