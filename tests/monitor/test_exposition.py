"""The text that Prometheus reads: read back by the client library's own parsers, and linted."""

from __future__ import annotations

import json
import re
import threading
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as parsed

from dora.errors import DoraError
from dora.monitor.exposition import Endpoint, text_of
from dora.monitor.figures import Figures, figures

from .states import FLOW, LATER, START

if TYPE_CHECKING:
    from collections.abc import Iterator

UNITS = ("seconds", "bytes")
AWKWARD = 'a "name"\\with\nall'


def look() -> list[Figures]:
    named = replace(LATER, dataflow=replace(FLOW, name=AWKWARD))
    return [figures(replace(START, dataflow=named.dataflow), named)]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    served = Endpoint("127.0.0.1", 0, look)
    yield served
    served.close()


def get(url: str, accept: str) -> tuple[str, str]:
    asked = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def samples(families: Any) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    found = {}
    for family in families:
        for one in family.samples:
            key = one.name, frozenset(one.labels.items())
            assert key not in found, "a series is there twice"
            found[key] = one.value
    return found


def test_what_is_written_is_read_back() -> None:
    found = samples(parsed(text_of(look)))
    edge = {"sender": "camera", "output": "image", "receiver": "plot", "input": "image"}
    key = frozenset({"dataflow": AWKWARD, **edge}.items())
    assert found["dora_edge_dropped_messages_total", key] == 4
    assert found["dora_edge_latency_seconds_bucket", key | {("le", "+Inf")}] == 90
    # 80 took less than 2^18 ns.
    assert found["dora_edge_latency_seconds_bucket", key | {("le", "0.000262144")}] == 80
    assert found["dora_edge_latency_seconds_bucket", key | {("le", "0.000131072")}] == 0


def test_the_text_is_as_promtool_wants_it() -> None:
    """The rules of `promtool check metrics`."""
    text = text_of(look)
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE))
    assert set(types) == set(helps)
    for name, kind in types.items():
        assert re.fullmatch(r"dora_[a-z_]+[a-z]", name)
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(gauge|counter|histogram|count|sum|bucket)\b", name)
        assert not re.search(r"_(ms|milliseconds|kb|mb|megabytes|percent)(_|$)", name)
        for unit in UNITS:  # at the end, but for `_total`
            assert unit not in name or name.removesuffix("_total").endswith(f"_{unit}"), name


def test_an_endpoint_speaks_both_formats_and_measures_at_each_scrape(endpoint: Endpoint) -> None:
    kind, text = get(endpoint.url, "text/plain")
    assert kind.startswith("text/plain; version=0.0.4")
    kind, strict = get(endpoint.url, "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert samples(open_metrics(strict)) == samples(parsed(text))


def test_scrapes_at_one_time_look_one_after_the_other() -> None:
    inside, most = [], []

    def slow() -> list[Figures]:
        inside.append(1)
        most.append(len(inside))
        found = look()
        inside.pop()
        return found

    served = Endpoint("127.0.0.1", 0, slow)
    try:
        threads = [threading.Thread(target=get, args=(served.url, "*/*")) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        served.close()
    assert most == [1] * 8


def test_a_port_that_is_taken_is_told(endpoint: Endpoint) -> None:
    port = int(endpoint.url.rpartition(":")[2].partition("/")[0])
    with pytest.raises(DoraError, match=f"cannot listen at 127.0.0.1, port {port}"):
        Endpoint("127.0.0.1", port, look)


def test_the_dashboard_and_the_page_name_metrics_and_labels_that_there_are() -> None:
    docs = Path(__file__).resolve().parents[2] / "docs"
    found = {
        (name, label) for name, labels in samples(parsed(text_of(look))) for label, _ in labels
    }
    names = {name for name, _ in found}
    page = (docs / "metrics.md").read_text()
    asked = [
        target["expr"]
        for panel in json.loads((docs / "grafana-dora.json").read_text())["panels"]
        for target in panel["targets"]
    ]
    for text in (page, *asked):
        for name in re.findall(r"dora_[a-z_]+[a-z](?!-)", text):
            if name not in ("dora_edge_latency_seconds", "dora_dataflows"):
                assert name in names, name
    for by in re.findall(r"by \(([^)]*)\)", " ".join(asked)):
        for label in by.split(", "):
            assert ("dora_edge_latency_seconds_bucket", label) in found
