"""Figures as JSON."""

from __future__ import annotations

import re
from pathlib import Path

from tests.monitor.states import LATER, START

from dora.monitor.figures import figures
from dora.monitor.node_json import node_infos

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_every_key_is_documented() -> None:
    text = "\n".join(page.read_text() for page in DOCS.glob("commands*.md"))
    told = set(re.findall(r"`([a-z0-9_.\[\]]+)`", text))
    keys = set()
    for node in node_infos([figures(START, LATER)]):
        keys |= node.keys() - {"metrics", "inputs", "outputs"}
        keys |= {f"metrics.{key}" for key in node["metrics"]}
        keys |= {
            f"{ports}[].{key}"
            for ports in ("inputs", "outputs")
            for one in node[ports]
            for key in one
        }
    assert len(keys) > 30
    assert keys - told == set()
