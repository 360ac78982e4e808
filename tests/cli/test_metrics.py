"""`dora metrics`, against a daemon that tells canned states."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed
from tests.monitor.collector import collecting
from tests.monitor.fake_daemon import daemon
from tests.monitor.states import LATER, START

from dora.cli.main import main
from dora.transport import endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEADLINE_S = 20.0
RUN = "import sys; from dora.cli.main import main; sys.argv[0] = 'dora'; sys.exit(main())"


@pytest.fixture(autouse=True)
def robot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv(endpoint.VARIABLE, str(tmp_path / "run"))
    monkeypatch.delenv("DORA_OTLP_ENDPOINT", raising=False)
    with daemon([START, LATER]):
        yield


def dora(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments],
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_once_prints_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "--once"]) == 0
    names = {family.name for family in parsed(capsys.readouterr().out)}
    assert {"dora_dataflows", "dora_node_cpu_seconds", "dora_edge_latency_seconds"} <= names


def test_once_with_a_collector_sends_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting() as collector:
        monkeypatch.setenv("DORA_OTLP_ENDPOINT", collector.url)
        assert main(["metrics", "--once", "-d", "robot"]) == 0
        assert "dora.edge.latency" in collector.metrics()
    assert capsys.readouterr().out == ""


def test_once_fails_where_nothing_takes_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "--once", "--otlp", "http://127.0.0.1:1"]) == 1
    assert "the collector at http://127.0.0.1:1/v1/metrics" in capsys.readouterr().err


def test_a_dataflow_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "--once", "-d", "none"]) == 1
    assert "no running dataflow is `none`" in capsys.readouterr().err


def test_a_library_that_is_missing_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "dora.monitor.exposition", raising=False)
    assert main(["metrics", "--once"]) == 1
    error = capsys.readouterr().err
    assert "pip install 'dora-py[metrics]'" in error
    assert "Traceback" not in error


def test_they_are_served_and_sent_until_ctrl_c() -> None:
    with collecting() as collector:
        process = dora("metrics", "--port", "0", "--otlp", collector.url, "--interval", "0.1")
        try:
            assert process.stderr is not None
            found = re.match(
                r"metrics at (http://127\.0\.0\.1:\d+/metrics)$", process.stderr.readline()
            )
            assert found is not None
            with urllib.request.urlopen(found[1], timeout=DEADLINE_S) as answer:
                assert "dora_dataflows 1.0" in answer.read().decode()
            for _ in range(2):
                assert collector.came.acquire(timeout=DEADLINE_S)
            collector.status = 400
            for line in ("metrics go to", "did not take what was sent"):
                assert line in process.stderr.readline()
            collector.status = 200
            assert "takes metrics again" in process.stderr.readline()
        finally:
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, rest
