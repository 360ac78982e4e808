"""Finds objects in the newest frame and sends them as an array of boxes.

Its input holds one frame: while it looks at one, older frames make room for newer ones.
"""

import os

import pyarrow as pa
from yolo import Yolo

from dora import Node

BOX = pa.struct(
    [
        ("x1", pa.float64()),
        ("y1", pa.float64()),
        ("x2", pa.float64()),
        ("y2", pa.float64()),
        ("confidence", pa.float64()),
        ("class", pa.int64()),
    ]
)


def main() -> None:
    # Loaded before the node joins: the dataflow starts when all its nodes have joined.
    model = Yolo(os.environ.get("MODEL_PATH", "assets/yolo11n.onnx"))
    node = Node()
    for event in node:
        if event["type"] == "INPUT" and event["id"] == "image":
            boxes = model(event["value"])
            node.send_output("bbox", pa.array(boxes, type=BOX), event["metadata"])
        elif event["type"] == "STOP":
            break


if __name__ == "__main__":
    main()
