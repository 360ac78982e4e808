"""Looking at running dataflows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from tests.monitor.fake_daemon import daemon
from tests.monitor.states import FLOW, LATER, START

from dora.errors import DoraError
from dora.monitor.looks import Looks, measure
from dora.transport import endpoint

if TYPE_CHECKING:
    from pathlib import Path

OTHER = replace(START, dataflow=replace(FLOW, id="0191-bb", name="other"))


@pytest.fixture(autouse=True)
def _own_runtime_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(endpoint.VARIABLE, str(tmp_path / "run"))


def test_two_looks_measure_what_happened_in_between() -> None:
    with daemon([START, LATER]), Looks() as looks:
        assert [flow.over_s for flow in looks.look()] == [0.0]
        (flow,) = looks.look()
    assert flow.edges[0].rate_hz == 45.0


def test_dataflows_that_start_are_taken_in_and_those_that_ended_left_out() -> None:
    with Looks() as looks:
        assert looks.look() == []
        with daemon([START]):
            with daemon([OTHER]):
                assert [flow.dataflow.name for flow in looks.look()] == ["robot", "other"]
            assert [flow.dataflow.name for flow in looks.look()] == ["robot"]
        assert looks.look() == []


def test_one_that_was_named_is_looked_at_alone_and_has_to_be_there() -> None:
    with daemon([START]), daemon([OTHER]):
        assert [flow.dataflow.name for flow in measure(0, "0191")] == ["other"]
        with pytest.raises(DoraError, match="no running dataflow is `third`"):
            measure(0, "third")
        with pytest.raises(DoraError, match="several dataflows fit"):
            measure(0, node="camera")


def test_dataflows_of_another_checkout_are_left_alone(tmp_path: Path) -> None:
    elsewhere = replace(START, dataflow=replace(FLOW, checkout=str(tmp_path)))
    with daemon([elsewhere]):
        assert measure(0) == []
        assert len(measure(0, "robot")) == 1


def test_a_daemon_that_refuses_is_told_with_its_dataflow() -> None:
    with daemon([START], "not now"), pytest.raises(DoraError, match="dataflow `robot`: not now"):
        measure(0)
