"""`dora trace`, against a daemon that has canned spans."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from tests.monitor.collector import attributes, collecting
from tests.monitor.fake_daemon import Traces, daemon
from tests.monitor.states import START

from dora.cli import trace_export, traces
from dora.cli.main import main
from dora.transport import endpoint
from dora.wire.spans import AskTrace, Sent, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MS = 1_000_000
AT_NS = 1_790_000_000_000_000_000
KEPT_S = traces.KEPT_ON_S


def frame(number: int, at_ns: int) -> list[Span]:
    """A tick of 1 ms, 2 + 1 ms of waiting, 10 ms of work."""
    own = f"{number % 16**15:015x}"
    trace, camera, plot = f"{number:032x}", f"{own}c", f"{own}d"
    times = [at_ns + ms * MS for ms in (1, 3, 4, 14)]
    return [
        Span(trace, plot, camera, "image", *times, node="plot", source="camera/image"),
        Span(
            trace,
            camera,
            "",
            "tick",
            0,
            at_ns,
            at_ns,
            at_ns + 2 * MS,
            [Sent("image", at_ns + MS)],
            node="camera",
            source="dora/timer/millis/100",
        ),
    ]


FIRST, SECOND, LAST = 0xAB << 120, (0xAB << 120) + 1, 0xCD << 120
SPANS = [
    *frame(FIRST, AT_NS),
    *frame(SECOND, AT_NS + 100 * MS),
    *frame(LAST, AT_NS + 5000 * MS),
]


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[float]:
    """A runtime directory of its own; how long was waited."""
    monkeypatch.setenv(endpoint.VARIABLE, str(tmp_path / "run"))
    monkeypatch.delenv("DORA_OTLP_ENDPOINT", raising=False)
    now = [0.0]
    for module in (traces, trace_export):
        monkeypatch.setattr(module, "time", FakeTime(now))
    return now


class FakeTime:
    def __init__(self, now: list[float]) -> None:
        self._now = now
        self.when_asleep: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self._now[0]

    def time_ns(self) -> int:
        return AT_NS

    def sleep(self, seconds: float) -> None:
        self._now[0] += seconds


@pytest.fixture
def robot() -> Iterator[Traces]:
    kept = Traces(SPANS)
    with daemon([START], traces=kept):
        yield kept


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["trace", *arguments]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["trace", *arguments]) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def test_list_has_the_columns_of_dora_rs(capsys: pytest.CaptureFixture[str], robot: Traces) -> None:
    head, *lines = printed(capsys, "list", "--limit", "2").splitlines()
    assert head.split("  ")[0] == "TRACE ID"
    assert head.split()[2:] == ["ROOT", "SPAN", "SPANS", "STARTED", "DURATION"]
    second, last = (line.split() for line in lines)
    assert [second[0], *second[1:3], *second[4:]] == [
        f"{SECOND:032x}",
        "camera/tick",
        "2",
        "14.0",
        "ms",
    ]
    assert last[0] == f"{LAST:032x}"
    assert robot.asked[0] == AskTrace("on", None, KEPT_S, 1 << 62)


def test_list_as_json(capsys: pytest.CaptureFixture[str], robot: Traces) -> None:
    found = json.loads(printed(capsys, "list", "-f", "json"))
    assert found[0] == {
        "trace_id": f"{FIRST:032x}",
        "root_span": "camera/tick",
        "spans": 2,
        "started": "2026-09-21T14:13:20+00:00",
        "started_ns": AT_NS,
        "duration_ms": 14.0,
    }
    assert robot.on


def test_where_tracing_was_off_it_is_looked_for_a_moment(
    capsys: pytest.CaptureFixture[str], place: list[float]
) -> None:
    with daemon([START], traces=Traces(SPANS, on=False)):
        assert main(["trace", "list"]) == 0
    told = capsys.readouterr()
    assert "tracing was off" in told.err
    assert len(told.out.splitlines()) == 4
    assert place == [2.5]


@pytest.mark.usefixtures("robot")
def test_view_draws_the_tree_and_says_where_the_time_went(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = printed(capsys, "view", f"{FIRST:032x}").splitlines()
    head, _, columns, camera, plot, _, way, nodes = lines
    assert head.startswith(f"trace {FIRST:032x}")
    assert head.endswith("14.0 ms")
    assert columns.split() == ["SPAN", "QUEUE", "TRANSPORT", "COMPUTE", "AT"]
    assert camera.split("|")[0].split() == ["camera/tick", "-", "-", "2.00", "ms", "0", "ns"]
    cells = "plot/image 2.00 ms 1.00 ms 10.0 ms 1.00 ms"
    assert " ".join(plot.split("|")[0].split()[1:]) == cells
    bars = [line.split("|")[1] for line in (camera, plot)]
    assert len({len(bar) for bar in bars}) == 1
    assert set(bars[0].rstrip()) == {"█"}
    assert "".join(dict.fromkeys(bars[1].strip())) == "·─█"
    assert way == (
        "14.0 ms from camera/tick to plot/image: queue 2.00 ms, transport 1.00 ms, compute 11.0 ms"
    )
    assert nodes == "plot 13.0 ms (93 %), camera 1.00 ms (7 %)"


@pytest.mark.usefixtures("robot")
def test_view_without_an_id_shows_the_latest_that_came_to_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert printed(capsys, "view").startswith(f"trace {SECOND:032x}")


@pytest.mark.usefixtures("robot")
def test_view_takes_the_beginning_of_an_id_if_it_names_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert printed(capsys, "view", "CD").startswith(f"trace {LAST:032x}")
    assert f"2 traces begin with `ab`; write more of it:\n  {FIRST:032x}" in refused(
        capsys, "view", "ab"
    )
    assert "no trace begins with `00`" in refused(capsys, "view", "00")


@pytest.mark.usefixtures("robot")
def test_a_terminal_without_these_characters_gets_plain_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["trace", "view", "cd"]) == 0
    out.seek(0)
    text = out.read()
    assert "`- plot/image" in text
    plot = next(line for line in text.splitlines() if "plot/image  " in line)
    assert "".join(dict.fromkeys(plot.split("|")[-2].strip())) == ".-#"


@pytest.mark.parametrize("command", [["summary"], []])
def test_summary_tells_what_came_while_it_looked(
    command: list[str],
    capsys: pytest.CaptureFixture[str],
    robot: Traces,
    monkeypatch: pytest.MonkeyPatch,
    place: list[float],
) -> None:
    def sleep(seconds: float) -> None:
        place[0] += seconds
        robot.spans += frame(int(place[0]), AT_NS + 9000 * MS)

    monkeypatch.setattr(traces.time, "sleep", sleep)
    text = printed(capsys, *command)
    assert place == [5.0]
    inputs, ways = (part.splitlines() for part in text.split("\n\n"))
    camera, plot, way = (" ".join(line.split()) for line in (*inputs[1:], ways[1]))
    assert camera == "camera/tick 5 0 ns 0 ns 0 ns 0 ns 2.00 ms 2.00 ms"
    assert plot.startswith("plot/image 5 2.00 ms 2.00 ms 1.00 ms")
    assert way == "camera/tick plot/image 5 14.0 ms 14.0 ms"


def test_summary_as_json(
    capsys: pytest.CaptureFixture[str], robot: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces.TraceFeed, "skip", lambda _: None)
    found: Any = json.loads(printed(capsys, "summary", "--duration", "1", "-f", "json"))
    assert (found["traces"], found["spans"], found["lost"]) == (3, 6, 0)
    assert found["inputs"][1] == {
        "node": "plot",
        "input": "image",
        "source": "camera/image",
        "spans": 3,
        "queue_ms": {"p50": 2.0, "p99": 2.0},
        "transport_ms": {"p50": 1.0, "p99": 1.0},
        "compute_ms": {"p50": 10.0, "p99": 10.0},
    }
    assert found["ways"] == [
        {
            "from": "camera/tick",
            "to": "plot/image",
            "traces": 2,
            "total_ms": {"p50": 14.0, "p99": 14.0},
        }
    ]
    assert robot.on


@pytest.mark.parametrize("command", ["view", "summary"])
def test_where_nothing_was_traced_that_is_told(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with daemon([START]):
        assert "`dora top` shows whether any flow" in refused(capsys, command)


def test_on_and_off(capsys: pytest.CaptureFixture[str], robot: Traces) -> None:
    assert printed(capsys, "off") == "Dataflow `robot`: tracing is off, no traces.\n"
    assert not robot.on
    told = "Dataflow `robot`: tracing is on, up to 25 traces a second.\n"
    assert printed(capsys, "on", "--rate", "25") == told
    assert robot.asked[-1] == AskTrace("on", 25.0, None, 1 << 62)


# ---- export ----


@pytest.mark.usefixtures("robot")
def test_export_sends_spans_that_a_collector_understands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with collecting() as collector:
        assert main(["trace", "export", "--otlp", collector.url, "--duration", "1"]) == 0
        (request,) = collector.requests
    assert "6 spans sent" in capsys.readouterr().err
    services = {
        attributes(resource.resource)["service.name"]: resource.scope_spans[0].spans
        for resource in request.resource_spans
    }
    plot, camera = services["plot"][0], services["camera"][0]
    assert plot.trace_id.hex() == camera.trace_id.hex() == f"{FIRST:032x}"
    assert plot.parent_span_id == camera.span_id
    assert camera.parent_span_id == b""
    assert plot.name == "plot/image"
    assert plot.start_time_unix_nano == AT_NS + 4 * MS
    assert plot.end_time_unix_nano == AT_NS + 14 * MS
    assert attributes(plot) == {
        "messaging.system": "dora",
        "dora.input": "image",
        "dora.source": "camera/image",
        "dora.queue_seconds": 0.002,
        "dora.transport_seconds": 0.001,
    }
    (event,) = camera.events
    assert (event.name, event.time_unix_nano) == ("send", AT_NS + MS)


def test_export_goes_on_when_the_collector_is_back(
    capsys: pytest.CaptureFixture[str],
    robot: Traces,
    monkeypatch: pytest.MonkeyPatch,
    place: list[float],
) -> None:
    with collecting(400) as collector:

        def sleep(seconds: float) -> None:
            place[0] += seconds
            collector.status = 200

        monkeypatch.setattr(trace_export.time, "sleep", sleep)
        assert main(["trace", "export", "--otlp", collector.url, "--duration", "2"]) == 0
        assert len(collector.spans()) == len(SPANS)
    assert "trying on" in capsys.readouterr().err
    assert robot.asked[-1].action == "look"


@pytest.mark.usefixtures("robot")
def test_export_fails_where_nothing_takes_them(capsys: pytest.CaptureFixture[str]) -> None:
    with collecting(400) as collector:
        error = refused(capsys, "export", "--otlp", collector.url, "--duration", "1")
    assert "/v1/traces did not take what was sent" in error


def test_export_needs_a_collector(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "export"]) == 2
    assert "--otlp" in capsys.readouterr().err
