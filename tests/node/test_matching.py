"""Which messages belong together: against the definition, by brute force."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dora.node.matching import Latest, Match, Nearest

Arrival = tuple[str, int]
"""An input and the time of a message on it; the message is its number on that input."""


def by_definition(
    names: list[str], arrivals: list[Arrival], tolerance: float | None, at_least: int
) -> list[dict[str, int]]:
    """The groups, by looking at everything at once: `{input: number of its message}`."""
    times = {name: [time for other, time in arrivals if other == name] for name in names}
    used = dict.fromkeys(names, -1)
    groups = []
    for number, pivot in enumerate(times[names[0]]):
        group = {names[0]: number}
        for name in names[1:]:
            near = [
                (abs(time - pivot), index)
                for index, time in enumerate(times[name])
                if index > used[name] and abs(time - pivot) <= (tolerance or 0)
            ]
            if near:
                group[name] = min(near)[1]
        if len(group) >= at_least:
            groups.append(group)
            used.update(group)
    return groups


def run(rule: Any, arrivals: list[Arrival], names: list[str]) -> list[dict[str, int]]:
    """Put all in, in this order, and close every input."""
    numbers: Counter[str] = Counter()
    found: list[Match[int]] = []
    for name, time in arrivals:
        found += rule.put(name, time, numbers[name])
        numbers[name] += 1
    for name in names:
        found += rule.close(name)
    return [match.items for match in found]


@st.composite
def interleavings(draw: st.DrawFn) -> tuple[list[str], list[Arrival]]:
    """Inputs whose messages come in order of their times, interleaved in any way."""
    names = ["camera", "lidar", "imu"][: draw(st.integers(2, 3))]
    queues = {name: sorted(draw(st.lists(st.integers(0, 30), max_size=12))) for name in names}
    arrivals = []
    while any(queues.values()):
        name = draw(st.sampled_from([name for name in names if queues[name]]))
        arrivals.append((name, queues[name].pop(0)))
    return names, arrivals


@given(interleavings(), st.integers(0, 6))
def test_nearest_is_what_its_definition_says_however_messages_interleave(
    made: tuple[list[str], list[Arrival]], tolerance: int
) -> None:
    names, arrivals = made
    rule: Nearest[int] = Nearest(names, tolerance, len(names), keep=1000)
    assert run(rule, arrivals, names) == by_definition(names, arrivals, tolerance, len(names))
    assert rule.over


@given(interleavings())
def test_exact_is_nearest_without_tolerance(made: tuple[list[str], list[Arrival]]) -> None:
    names, arrivals = made
    rule: Nearest[int] = Nearest(names, None, len(names), keep=1000)
    assert run(rule, arrivals, names) == by_definition(names, arrivals, None, len(names))


@given(interleavings(), st.integers(0, 6), st.integers(1, 3))
def test_n_of_m_is_what_its_definition_says_when_messages_come_in_order_of_time(
    made: tuple[list[str], list[Arrival]], tolerance: int, at_least: int
) -> None:
    names, arrivals = made
    at_least = min(at_least, len(names))
    arrivals.sort(key=lambda arrival: arrival[1])
    rule: Nearest[int] = Nearest(names, tolerance, at_least, keep=1000)
    assert run(rule, arrivals, names) == by_definition(names, arrivals, tolerance, at_least)


@given(interleavings(), st.integers(0, 6), st.integers(1, 3), st.integers(1, 4))
def test_every_message_is_in_a_group_or_unmatched_or_late_and_few_wait(
    made: tuple[list[str], list[Arrival]], tolerance: int, at_least: int, keep: int
) -> None:
    names, arrivals = made
    rule: Nearest[int] = Nearest(names, tolerance, min(at_least, len(names)), keep)
    grouped: Counter[str] = Counter()
    for name, time in arrivals:
        for match in rule.put(name, time, 0):
            grouped.update(match.items.keys())
            times = match.times.values()
            assert all(abs(other - match.time) <= tolerance for other in times)
        assert all(len(items) <= keep for items in rule._waiting.values())
    for name in names:
        for match in rule.close(name):
            grouped.update(match.items.keys())
    arrived = Counter(name for name, _ in arrivals)
    assert grouped + rule.late + rule.unmatched == arrived


def test_a_message_older_than_the_one_before_it_is_late() -> None:
    rule: Nearest[str] = Nearest(["a", "b"], 1.0, 2, keep=10)
    rule.put("a", 5.0, "")
    assert rule.put("a", 4.0, "") == []
    assert rule.late == {"a": 1}


def test_where_two_of_three_suffice_a_dead_input_holds_nothing_up() -> None:
    rule: Nearest[str] = Nearest(["camera", "lidar", "imu"], 0.1, 2, keep=10)
    rule.put("camera", 1.0, "c1")
    rule.put("lidar", 1.05, "l1")
    assert rule.put("camera", 2.0, "c2") == []
    (match,) = rule.put("lidar", 2.05, "l2")
    assert match.items == {"camera": "c1", "lidar": "l1"}


def test_latest_gives_every_message_of_the_first_with_the_newest_of_the_others() -> None:
    rule: Latest[str] = Latest(["camera", "pose"], 2)
    assert rule.put("camera", 0, "before any pose") == []
    rule.put("pose", 1, "p1")
    rule.put("pose", 2, "p2")
    (first,) = rule.put("camera", 3, "c1")
    (second,) = rule.put("camera", 4, "c2")
    assert first.items == {"camera": "c1", "pose": "p2"}
    assert second.items == {"camera": "c2", "pose": "p2"}
    assert rule.unmatched == {"camera": 1, "pose": 1}
    rule.close("pose")
    assert not rule.over
    rule.close("camera")
    assert rule.over
