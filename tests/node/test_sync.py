"""`node.sync`: inputs brought together, everything else left alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from dora.errors import InputError

from .test_services import taken

if TYPE_CHECKING:
    from .rig import Rig, Rigs


def stamped(rig: Rig, name: str, *times: Any) -> None:
    for time in times:
        rig.send(name, [time], {"stamp": time})


def values(group: Any) -> dict[str, Any]:
    return {name: event["value"].to_pylist()[0] for name, event in group.items()}


def test_groups_hold_the_nearest_and_say_how_near(wire: Rigs) -> None:
    rig = wire({"camera": 10, "lidar": 10})
    stamped(rig, "camera", 1.0, 2.0, 3.0)
    stamped(rig, "lidar", 1.01, 1.5, 2.99)
    rig.close_input("camera")
    rig.close_input("lidar")
    sync = rig.node.sync(["camera", "lidar"], tolerance_s=0.02, key="stamp")
    groups = list(sync)
    assert [values(group) for group in groups] == [
        {"camera": 1.0, "lidar": 1.01},
        {"camera": 3.0, "lidar": 2.99},
    ]
    assert groups[0].time == 1.0
    assert groups[0].spread_s == pytest.approx(0.01)
    assert (sync.late, sync.unmatched) == ({}, {"camera": 1, "lidar": 1})
    assert taken(rig)[-1] == "STOP"  # before it, perhaps, that the second input closed


def test_by_default_the_time_of_sending_counts_and_of_a_set_the_first_by_name_is_the_first(
    wire: Rigs,
) -> None:
    rig = wire({"lidar": 10, "camera": 10})
    rig.send("camera", ["c"])
    rig.send("lidar", ["l"])  # later: the camera's message needs to wait for nothing more
    group = next(iter(rig.node.sync({"lidar", "camera"}, tolerance_s=60.0)))
    assert list(group) == ["camera", "lidar"]
    assert group.time == group["camera"]["metadata"]["timestamp"].timestamp()


def test_other_inputs_stay_in_their_queues_and_stop_ends_it_and_stays_too(wire: Rigs) -> None:
    rig = wire({"camera": 10, "lidar": 10, "other": 1})
    stamped(rig, "camera", 1)
    stamped(rig, "lidar", 1)
    rig.send("other", "old")
    groups = iter(rig.node.sync(["camera", "lidar"], mode="exact", key="stamp"))
    assert values(next(groups)) == {"camera": 1, "lidar": 1}
    rig.send("other", "new")
    rig.stop()
    assert list(groups) == []
    assert taken(rig) == ["STOP"]


def test_other_events_go_to_who_asks_for_them(wire: Rigs) -> None:
    rig = wire({"camera": 10, "lidar": 10, "other": 10})
    stamped(rig, "camera", 1)
    stamped(rig, "lidar", 1)
    rig.send("other", "seen")
    rig.close_input("other")
    rig.close_input("lidar")
    rig.close_input("camera")
    others: list[str] = []
    sync = rig.node.sync(
        ["camera", "lidar"],
        mode="exact",
        key="stamp",
        others=lambda event: others.append(event["type"]),
    )
    assert len(list(sync)) == 1
    assert set(others) <= {"INPUT", "INPUT_CLOSED"}


def test_latest_pairs_each_message_of_the_first_with_the_newest_that_is_there(wire: Rigs) -> None:
    rig = wire({"camera": 10, "pose": 10})
    stamped(rig, "camera", 5)
    stamped(rig, "pose", 1, 2, 3)
    rig.close_input("camera")
    rig.close_input("pose")
    (group,) = rig.node.sync(["camera", "pose"], mode="latest", key="stamp")
    assert values(group) == {"camera": 5, "pose": 3}


def test_each_input_may_have_its_own_key(wire: Rigs) -> None:
    rig = wire({"camera": 10, "lidar": 10})
    rig.send("camera", [1], {"frame": 7})
    rig.send("lidar", [2], {"scan": 7})
    groups = iter(rig.node.sync({"camera": "frame", "lidar": "scan"}, mode="exact"))
    assert values(next(groups)) == {"camera": 1, "lidar": 2}


def test_asyncio_iterates_too(wire: Rigs) -> None:
    rig = wire({"camera": 10, "lidar": 10})
    stamped(rig, "camera", 1)
    stamped(rig, "lidar", 1)
    rig.close_input("camera")

    async def main() -> list[Any]:
        sync = rig.node.sync(["camera", "lidar"], mode="exact", key="stamp")
        return [values(group) async for group in sync]

    assert asyncio.run(main()) == [{"camera": 1, "lidar": 1}]


def test_when_it_ends_its_inputs_are_everybodys_again(wire: Rigs) -> None:
    rig = wire({"camera": 10, "lidar": 10})
    stamped(rig, "camera", 1, 2)
    stamped(rig, "lidar", 1, 1.5)
    groups = iter(rig.node.sync(["camera", "lidar"], mode="exact", key="stamp"))
    next(groups)
    groups.close()  # type: ignore[attr-defined]
    assert sorted(taken(rig)) == [1.5, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": ["camera"]}, "two or more"),
        ({"inputs": ["camera", "camera"]}, "two or more"),
        ({}, "`tolerance_s` is None"),
        ({"tolerance_s": -1.0}, "`tolerance_s` is -1"),
        ({"mode": "exact", "tolerance_s": 1.0}, "not for `exact`"),
        ({"mode": "closest"}, "`mode` is 'closest'"),
        ({"tolerance_s": 1.0, "at_least": 3}, "`at_least` is 3"),
        ({"tolerance_s": 1.0, "keep": 0}, "`keep` is 0"),
    ],
)
def test_what_does_not_fit_together_is_an_error(
    wire: Rigs, options: dict[str, Any], message: str
) -> None:
    rig = wire({"camera": 10, "lidar": 10})
    with pytest.raises(ValueError, match=message):
        rig.node.sync(**{"inputs": ["camera", "lidar"], **options})


def test_unknown_inputs_and_messages_without_a_time_are_errors(wire: Rigs) -> None:
    rig = wire({"camera": 10, "lidar": 10})
    with pytest.raises(InputError, match="did you mean `lidar`"):
        rig.node.sync(["camera", "ladar"], tolerance_s=1.0)
    rig.send("camera", 1)
    with pytest.raises(InputError, match="`stamp` is None"):
        next(iter(rig.node.sync(["camera", "lidar"], tolerance_s=1.0, key="stamp")))
