"""Adds up how far the robot drove, and how far from there it believes to be."""

import math

from dora import Node


def place(pose: dict) -> tuple[float, float]:
    return pose["position"]["x"], pose["position"]["y"]


def main() -> None:
    node = Node()
    driven, last, first, here = 0.0, None, None, None
    for event in node:
        if event["type"] != "INPUT":
            continue
        if event["id"] == "odom":
            now = place(event["value"][0].as_py()["pose"])
            driven += math.dist(now, last or now)
            last = now
            node.send_output("distance", driven, {"frame_id": event["metadata"]["frame_id"]})
        elif event["id"] == "pose":
            here = place(event["value"][0].as_py())
            first = first or here
        elif here is not None:
            print(f"{driven:6.2f} m driven, {math.dist(here, first):5.2f} m from the start")
    print(f"{driven:.2f} m in all")


if __name__ == "__main__":
    main()
