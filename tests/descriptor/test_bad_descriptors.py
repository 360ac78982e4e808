"""Every flow in `tests/descriptors/bad` against the message beside it, word for word."""

from __future__ import annotations

from pathlib import Path

import pytest

from dora.descriptor.planner import load_plan
from dora.errors import DescriptorError

BAD = Path(__file__).parent.parent / "descriptors" / "bad"
FLOWS = sorted(BAD.glob("*.yml"))
ENVIRON = {"PATH": "/usr/bin:/bin", "HOME": "/home/user", "DORA_TEST_MODEL": "yolo"}


def message_of(flow: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(flow.parent)
    with pytest.raises(DescriptorError) as caught:
        load_plan(Path(flow.name), environ=ENVIRON)
    return str(caught.value) + "\n"


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.stem)
def test_the_whole_message_is_as_expected(flow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert message_of(flow, monkeypatch) == flow.with_suffix(".txt").read_text()


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.stem)
def test_problems_stand_in_file_order_and_none_twice(
    flow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(flow.parent)
    with pytest.raises(DescriptorError) as caught:
        load_plan(Path(flow.name), environ=ENVIRON)
    problems = caught.value.problems
    files = list(dict.fromkeys(problem.at.file for problem in problems if problem.at))
    places = [
        (files.index(problem.at.file), problem.at.line, problem.at.column)
        for problem in problems
        if problem.at
    ]
    assert places == sorted(places)
    assert len({(problem.what, problem.at) for problem in problems}) == len(problems)


def test_every_flow_has_a_message_and_every_message_a_flow() -> None:
    assert {flow.stem for flow in FLOWS} == {text.stem for text in BAD.glob("*.txt")}


def test_ten_mistakes_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    with pytest.raises(DescriptorError) as caught:
        load_plan(Path("ten_mistakes.yml"), environ=ENVIRON)
    assert len(caught.value.problems) == 10
