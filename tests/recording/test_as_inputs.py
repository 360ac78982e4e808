"""Recordings are inputs of tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dora.testing import recorded, run_dataflow

from .replaying import numbered, record, write_flow

if TYPE_CHECKING:
    from pathlib import Path

FLOW = """\
nodes:
  - {id: camera, path: camera.py, outputs: [image]}
  - {id: sums, path: sums.py, inputs: {image: camera/image}, outputs: [sum]}
"""
SUMS = """\
from dora import Node

node = Node()
for event in node:
    if event["type"] == "INPUT":
        node.send_output("sum", int(event["value"].sum()), event["metadata"])
"""


def test_a_recording_drives_a_dataflow_in_a_test(tmp_path: Path) -> None:
    flow = write_flow(tmp_path / "flow", FLOW, sums=SUMS, camera="")
    images = [np.full(3, number, np.uint8) for number in range(4)]
    path = record(tmp_path / "x.mcap", None, numbered("camera/image", images, 333_333_333))
    ran = run_dataflow(flow, recorded(path, ["camera/image"]))
    assert [value[0].as_py() for value in ran.outputs["sums/sum"]] == [0, 3, 6, 9]
    sent = ran.messages("sums/sum")
    assert [message.time_s for message in sent] == [0, 0.333333333, 0.666666666, 0.999999999]
    assert [message.metadata["number"] for message in sent] == [0, 1, 2, 3]
