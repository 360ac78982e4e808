"""Looking at running dataflows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from tests.monitor.fake_daemon import daemon
from tests.monitor.states import FLOW, LATER, START

from dora import client
from dora.errors import DoraError
from dora.monitor import looks
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


@pytest.mark.parametrize(
    ("here", "there", "seen"),
    [("/a", "/b", 0), ("/a", "/a", 1), ("/a", "", 1), ("", "/b", 1)],
)
def test_dataflows_of_another_checkout_are_left_alone(
    here: str, there: str, seen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "checkout", lambda: here)
    with daemon([replace(START, dataflow=replace(FLOW, checkout=there))]):
        assert len(measure(0)) == seen
        assert len(client.running()) == seen


def test_a_daemon_that_was_replaced_is_asked_anew() -> None:
    with daemon([START]):
        looks = Looks("robot")
        assert len(looks.look()) == 1
    with daemon([LATER]), looks:
        (flow,) = looks.look()
    assert flow.edges[0].rate_hz == 45.0


def test_one_that_did_not_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(looks.time, "monotonic", lambda: now_s)  # type: ignore[attr-defined]
    with daemon([START]), Looks() as looking:
        with monkeypatch.context() as busy:
            busy.setattr(client, "Client", _busy)
            assert looking.look() == []
        assert looking.look() == []
        now_s += 10.0
        assert len(looking.look()) == 1


def _busy(_address: str) -> client.Client:
    raise DoraError("the daemon did not answer within 10 s")


def test_a_daemon_that_refuses_is_told_with_its_dataflow() -> None:
    with daemon([START], "not now"), pytest.raises(DoraError, match="dataflow `robot`: not now"):
        measure(0)
