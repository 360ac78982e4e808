"""Nodes of `examples/` tested as `docs/testing.md` shows: without a running dataflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

FINE = ("arrow_arrays", "numpy_arrays", "queue_policies", "timers", "zero_copy")
"""Examples that say the same in virtual time."""


@pytest.mark.parametrize("name", FINE)
def test_an_example_says_what_it_promises_in_virtual_time(name: str, run_dataflow: Any) -> None:
    ran = run_dataflow(EXAMPLES / name / "dataflow.yml")
    said = "".join(node.stdout for node in ran.nodes.values())
    expected = (EXAMPLES / name / "expected.txt").read_text().splitlines()
    assert [line for line in expected if line not in said] == [], said


def test_the_clock_ticks_exactly(run_dataflow: Any) -> None:
    ran = run_dataflow(EXAMPLES / "timers" / "dataflow.yml")
    assert ran.time_s == 0.5


def test_the_sink_of_the_processor_prints_what_the_test_plays(run_dataflow: Any) -> None:
    gray = np.full((480, 640), 30, np.uint8)
    flow = EXAMPLES / "processor" / "dataflow.yml"
    ran = run_dataflow(flow, [("processor/processed", gray)], nodes=["sink"])
    assert "gray uint8 (480, 640) all 30 to 30" in ran.nodes["sink"].stdout


def test_the_model_node_reads_its_environment(run_node: Any) -> None:
    ran = run_node(EXAMPLES / "environment" / "model_node.py", env={"MODEL_PATH": "tiny.onnx"})
    assert ran.stdout == "tiny.onnx on cpu\n"
