"""The table of runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora.background.runs import MOST_OVER, Runs
from dora.errors import DoraError
from dora.wire.background import Run


def run(number: int, name: str = "flow") -> Run:
    return Run(f"id-{number}", name, "flow.yml", "out", 1, "running", number)


def test_a_name_that_was_given_is_had_by_one_running_dataflow_only() -> None:
    runs = Runs()
    runs.begin(run(1, "demo"))
    with pytest.raises(DoraError, match="already a running dataflow with name `demo`: id-1;"):
        runs.free_name("demo", "flow")
    runs.end("id-1", 5, "")
    assert runs.free_name("demo", "flow") == "demo"


@given(st.lists(st.sampled_from(["flow", "flow-2", "flow-3", "other"]), unique=True))
def test_the_name_of_a_file_is_numbered_until_it_is_free(taken: list[str]) -> None:
    runs = Runs([run(number, name) for number, name in enumerate(taken)])
    name = runs.free_name(None, "flow")
    assert name not in taken
    assert name.startswith("flow")
    assert name == "flow" or "flow" in taken


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "\x1b[31m"])
def test_a_name_that_no_terminal_can_show_is_refused(name: str) -> None:
    with pytest.raises(DoraError, match="cannot have the name"):
        Runs().free_name(name, "flow")


def test_a_run_has_failed_if_there_is_a_failure_to_tell() -> None:
    runs = Runs([run(1), run(2)])
    assert runs.end("id-1", 5, "", "all well").status == "finished"
    ended = runs.end("id-2", 6, "Node `a` failed", "1 failed")
    assert (ended.status, ended.ended_ns, ended.failure) == ("failed", 6, "Node `a` failed")
    assert runs.running() == []


def test_what_is_over_is_forgotten_on_demand_and_what_runs_is_not() -> None:
    runs = Runs([run(1), run(2)])
    runs.end("id-1", 5, "")
    assert [one.id for one in runs.forget()] == ["id-1"]
    assert [one.id for one in runs.all()] == ["id-2"]


def test_only_so_many_that_are_over_are_remembered() -> None:
    runs = Runs()
    forgotten = []
    for number in range(MOST_OVER + 3):
        forgotten += runs.begin(run(number))
        runs.end(f"id-{number}", number, "")
    forgotten += runs.begin(run(9999))
    assert [one.id for one in forgotten] == ["id-0", "id-1", "id-2"]
