"""Bags of ROS 1 and ROS 2 become recordings, and real robots drive dataflows."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dora.cli.main import main
from dora.errors import ReplayError
from dora.recording.bags import Bag, output_of
from dora.recording.reader import Recording

from .replaying import dora

if TYPE_CHECKING:
    from collections.abc import Callable

ROBOT = Path(__file__).resolve().parents[2] / "examples" / "robot"
BAG = ROBOT / "assets" / "nav2_turtlebot.mcap"


def need_rosbags() -> None:
    if find_spec("rosbags") is None:
        pytest.skip("needs rosbags: pip install 'dora-py[import]'")


@pytest.mark.parametrize(
    ("topic", "output"),
    [
        ("/scan", "robot/scan"),
        ("scan", "robot/scan"),
        ("/camera/color/image_raw", "camera_color/image_raw"),
        ("/a b/c~d", "a_b/c_d"),
        ("/", "robot/unnamed"),
    ],
)
def test_topics_become_outputs_of_the_node_that_their_namespace_names(
    topic: str, output: str
) -> None:
    assert output_of(topic) == output


def write_ros2(path: Path) -> Path:
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store: Any = get_typestore(Stores.ROS2_HUMBLE)
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        _write(writer, store, store.serialize_cdr)
    return path


def write_ros1(path: Path) -> Path:
    from rosbags.rosbag1 import Writer
    from rosbags.typesys import Stores, get_typestore

    store: Any = get_typestore(Stores.ROS1_NOETIC)
    with Writer(path) as writer:
        _write(writer, store, store.serialize_ros1)
    return path


def _write(writer: Any, store: Any, serialize: Callable[[Any, str], bytes]) -> None:
    types = store.types
    time = types["builtin_interfaces/msg/Time"](sec=5, nanosec=7)
    seq = {"seq": 0} if "seq" in types["std_msgs/msg/Header"].__dataclass_fields__ else {}
    header = types["std_msgs/msg/Header"](stamp=time, frame_id="lens", **seq)
    pixels = np.arange(24, dtype=np.uint8)
    image = types["sensor_msgs/msg/Image"](header, 2, 4, "bgr8", 0, 12, pixels)
    text = types["std_msgs/msg/String"]("hello")
    for topic, kind, message in (
        ("/camera/image_raw", "sensor_msgs/msg/Image", image),
        ("/chatter", "std_msgs/msg/String", text),
    ):
        connection = writer.add_connection(topic, kind, typestore=store)
        for number in range(3):
            writer.write(connection, 10**18 + number * 10**7, serialize(message, kind))


@pytest.mark.parametrize("write", [write_ros1, write_ros2])
def test_a_bag_becomes_a_recording_that_viewers_draw(
    tmp_path: Path, write: Callable[[Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    need_rosbags()
    bag = write(tmp_path / ("some.bag" if write is write_ros1 else "some"))
    target = tmp_path / "some.mcap"
    assert main(["mcap", "import", str(bag), "-o", str(target)]) == 0
    told = capsys.readouterr()
    assert "/chatter" in told.out
    assert "6 messages" in told.err
    with Recording(target) as recording:
        kinds = {topic.name: topic.kind for topic in recording.topics}
        assert kinds == {"camera/image_raw": "image", "robot/chatter": "log"}
        image, text = recording.messages(), recording.messages(["robot/chatter"])
        first = next(image)
        assert first.value().tolist() == np.arange(24).reshape(2, 4, 3).tolist()
        assert first.metadata_dict() == {
            "encoding": "bgr8",
            "width": 4,
            "height": 2,
            "frame_id": "lens",
            "stamp_ns": 5_000_000_007,
        }
        assert [one.sent_ns - 10**18 for one in text] == [0, 10**7, 2 * 10**7]


def test_topics_are_chosen_and_named(tmp_path: Path) -> None:
    need_rosbags()
    bag = write_ros1(tmp_path / "some.bag")
    with Bag(bag, names={"/chatter": "voice/words"}, only=["/chatter"]) as opened:
        assert {message.topic for message, _ in opened.messages()} == {"voice/words"}
    for wish, told in (
        ({"only": ["/chater"]}, "did you mean `/chatter`"),
        ({"names": {"/chatter": "voice"}}, "not of the form `node/output`"),
        ({"names": {"/chatter": "camera/image_raw"}}, "would both become `camera/image_raw`"),
    ):
        with pytest.raises(ReplayError, match=told):
            Bag(bag, **wish)  # type: ignore[arg-type]


def test_what_is_no_bag_is_told(tmp_path: Path) -> None:
    need_rosbags()
    (tmp_path / "x.bag").write_bytes(b"nothing")
    with pytest.raises(ReplayError, match="cannot be read as a bag"):
        Bag(tmp_path / "x.bag")
    with pytest.raises(ReplayError, match="does not exist"):
        Bag(tmp_path / "y.bag")


def test_a_real_robot_drives_a_dataflow(tmp_path: Path) -> None:
    """97 s of a TurtleBot under Nav2: its odometry adds up to the way it went."""
    need_rosbags()
    if not BAG.exists():
        assert "DORA_TEST_ASSETS" not in os.environ, f"{BAG} is missing: run `make assets`"
        pytest.skip("the recording is missing: run `make assets`")
    recording = tmp_path / "robot.mcap"
    assert main(["mcap", "import", str(BAG), "-o", str(recording)]) == 0
    with Recording(recording) as opened:
        assert {topic.name: (topic.kind, topic.messages) for topic in opened.topics} == {
            "robot/amcl_pose": ("pose", 135),
            "robot/odom": ("pose", 2639),
            "robot/tf": ("transform", 7284),
            "robot/tf_static": ("transform", 29),
        }
    ran = dora("replay", recording, "--dataflow", ROBOT / "robot.yml", "--deterministic")
    assert ran.returncode == 0, ran.stdout
    lines = ran.stdout.splitlines()
    assert lines[0] == "odometer:   2.89 m driven,  2.60 m from the start"
    assert lines[-3] == "odometer: 34.32 m in all"
    assert lines[-1].split()[:2] == ["odometer/distance", "2639"]
