from __future__ import annotations

from dora.daemon.report import (
    NodeFailure,
    Outcome,
    duration_text,
    exit_text,
    failure_text,
    summary_text,
    telling_lines,
)

RULE = "-" * 81


def test_a_failure_shows_its_stderr_from_the_last_traceback_on() -> None:
    stderr = ("Traceback (old)", "noise", "Traceback (most recent call last):", "ValueError: x")
    failure = NodeFailure("plot", "exited with code 1", 42, 3.21, stderr)
    assert failure_text(Outcome("id", 2, 3.3, (failure,))).splitlines() == [
        "Dataflow failed:",
        "Node `plot` failed: exited with code 1 with stderr output:",
        RULE,
        "Traceback (most recent call last):",
        "ValueError: x",
        RULE,
        "(pid 42, after 3.2 s)",
    ]
    assert failure.brief == "exited with code 1: ValueError: x"


def test_without_a_traceback_the_last_ten_lines_are_shown() -> None:
    lines = tuple(f"line {number}" for number in range(30))
    assert telling_lines(lines) == lines[-10:]
    assert telling_lines((*lines, "Error: no camera", "bye")) == ("Error: no camera", "bye")


def test_signals_have_names() -> None:
    assert exit_text(3) == "exited with code 3"
    assert exit_text(-11) == "exited because of signal SIGSEGV"
    assert exit_text(-40) == "exited because of signal number 40"


def test_the_summary_tells_nodes_time_messages_and_drops() -> None:
    assert summary_text(Outcome("id", 1, 3.25, (), 1)) == "1 node, 3.2 s, 1 message, no drops"
    failure = NodeFailure("plot", "exited with code 1")
    outcome = Outcome("id", 4, 75.0, (failure,), 12_345, {"plot/a": 1, "plot/b": 1200})
    assert summary_text(outcome) == (
        "4 nodes, 1 failed, 1 min 15 s, 12,345 messages, 1,201 dropped (`plot/b` 1,200, `plot/a` 1)"
    )
    assert duration_text(3661) == "1 h 1 min 1 s"
