"""`start_runtime()` in processes of real dataflows."""

from __future__ import annotations

import asyncio
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from dora.daemon.launch import launch
from dora.daemon.server import Server
from dora.descriptor.planner import load_plan
from dora.errors import NodeInitError, ProtocolError
from dora.node.operators import start_runtime
from dora.node.scripted import read_script
from dora.wire import messages
from dora.wire.runtime import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dora.daemon.logs import LogLine
    from dora.daemon.report import Outcome

DEADLINE_S = 40
SOURCE = """
from dora import Node
node = Node()
for number in range(5):
    node.send_output("number", number)
"""
SINK = """
from dora import Node
for event in Node():
    facts = event["value"].to_pylist() if event["type"] == "INPUT" else event.get("id")
    print(event["type"], facts)
"""
DOUBLER = """
from dora import DoraStatus
class Operator:
    def on_event(self, dora_event, send_output):
        if dora_event["type"] == "INPUT":
            send_output("number", 2 * dora_event["value"][0].as_py())
        return DoraStatus.CONTINUE
"""
FLOW = """
nodes:
  - {id: source, path: source.py, outputs: [number]}
  - id: runtime
    operators:
      - {id: a, python: a.py, inputs: {number: source/number}, outputs: [number]}
      - {id: b, python: b.py, inputs: {number: runtime/a/number}, outputs: [number]}
  - {id: sink, path: sink.py, inputs: {number: runtime/b/number}}
"""


class Shown:
    """What a dataflow told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def lines(self, batch: list[LogLine]) -> None:
        self.said += [(line.node, line.message) for line in batch]

    def notice(self, level: str, text: str) -> None:
        self.said.append(("dora", text))

    def of(self, node: str) -> list[str]:
        return [text for who, text in self.said if who == node]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[Outcome, Shown]]:
    """Runs a dataflow of the given files, `flow` its YAML."""

    def run_files(flow: str = FLOW, **sources: str) -> tuple[Outcome, Shown]:
        files = {"source": SOURCE, "sink": SINK, "a": DOUBLER, "b": DOUBLER, **sources}
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        (tmp_path / "flow.yml").write_text(flow)
        plan = load_plan(tmp_path / "flow.yml", environ={"PATH": "/usr/bin:/bin"})
        shown = Shown()

        async def serve() -> Outcome:
            return await asyncio.wait_for(Server(launch(plan), shown).run(), DEADLINE_S)

        return asyncio.run(serve()), shown

    return run_files


def test_two_operators_of_one_process_feed_one_another_and_end_with_their_inputs(
    run: Callable[..., tuple[Outcome, Shown]],
) -> None:
    outcome, shown = run()
    assert outcome.ok
    assert shown.of("sink") == [
        *(f"INPUT [{4 * number}]" for number in range(5)),
        "INPUT_CLOSED number",
        "STOP ALL_INPUTS_CLOSED",
    ]
    assert outcome.nodes == 3


def test_one_may_wait_for_room_in_the_queue_of_another(
    run: Callable[..., tuple[Outcome, Shown]],
) -> None:
    """More messages at once than the queue takes, lossless: no thread may wait for itself."""
    many = """
    from dora import DoraStatus
    class Operator:
        def on_event(self, dora_event, send_output):
            for number in range(100):
                send_output("number", number)
            return DoraStatus.STOP
    """
    lossless = "{source: runtime/a/number, queue_size: 2, queue_policy: backpressure}"
    flow = FLOW.replace("number: runtime/a/number", f"number: {lossless}")
    flow = flow.replace(
        "number: runtime/b/number",
        "number: {source: runtime/b/number, queue_policy: backpressure}",
    )
    outcome, shown = run(flow, a=many)
    assert outcome.ok
    assert shown.of("sink")[:100] == [f"INPUT [{2 * number}]" for number in range(100)]


def test_stop_all_ends_the_whole_dataflow_well(
    run: Callable[..., tuple[Outcome, Shown]],
) -> None:
    ends = """
    from dora import DoraStatus
    class Operator:
        def on_event(self, dora_event, send_output):
            return DoraStatus.STOP_ALL
    """
    endless = """
    from dora import Node
    node = Node()
    while (event := node.next(timeout=0.01)) is not None:
        node.send_output("number", 1)
    """
    outcome, shown = run(source=endless, a=ends)
    assert outcome.ok
    assert "stopping (operator `runtime/a` returned STOP_ALL)" in shown.of("dora")
    assert "SIGTERM" not in " ".join(shown.of("dora"))


def test_consumers_hear_that_a_node_failed_when_one_of_its_operators_raises(
    run: Callable[..., tuple[Outcome, Shown]],
) -> None:
    raises = """
    class Operator:
        def on_event(self, dora_event, send_output):
            raise ValueError("boom")
    """
    outcome, shown = run(a=raises)
    (failure,) = outcome.failures
    assert failure.node == "runtime"
    assert failure.brief == (
        "exited with code 1: operator `a` (a.py) failed on INPUT `number`: ValueError: boom"
    )
    assert "operators.py" not in str(failure)
    assert shown.of("sink") == [
        "NODE_FAILED runtime",
        "INPUT_CLOSED number",
        "STOP ALL_INPUTS_CLOSED",
    ]


def test_an_operator_that_cannot_be_imported_fails_the_start(
    run: Callable[..., tuple[Outcome, Shown]],
) -> None:
    outcome, _ = run(a="import no_such_module\n")
    (failure,) = outcome.failures
    assert "ModuleNotFoundError: No module named 'no_such_module'" in str(failure)
    assert "operator `a` (a.py) failed while it was made" in str(failure)


def test_an_operator_is_restarted_as_the_policy_of_its_node_says(
    run: Callable[..., tuple[Outcome, Shown]],
) -> None:
    fails_once = """
    from pathlib import Path
    from dora import DoraStatus
    class Operator:
        def on_event(self, dora_event, send_output):
            if dora_event["type"] == "INPUT":
                if not Path("failed").exists():
                    Path("failed").touch()
                    raise ValueError("once")
                send_output("number", 1)
            return DoraStatus.CONTINUE
    """
    outcome, shown = run(
        FLOW.replace("- id: runtime\n", "- id: runtime\n    restart_policy: on-failure\n"),
        a=fails_once,
    )
    assert outcome.ok
    assert shown.of("sink")[:4] == ["INPUT [2]"] * 4


@pytest.mark.parametrize("missing", [VARIABLE, "DORA_NODE_CONFIG"])
def test_outside_of_a_dataflow_it_says_what_to_do(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "{}")
    monkeypatch.setenv("DORA_NODE_CONFIG", "{}")
    monkeypatch.delenv(missing)
    with pytest.raises(NodeInitError, match=f"`{missing}` is not set. List your operator"):
        start_runtime()


@pytest.mark.parametrize("text", ["", "{}", '{"node": "a", "operators": [{"id": 5}]}'])
def test_a_configuration_of_another_make_is_told_as_such(
    text: str, monkeypatch: pytest.MonkeyPatch, untouched: Any
) -> None:
    node = messages.NodeConfig("flow", "a", 0, "@x")
    monkeypatch.setenv("DORA_NODE_CONFIG", messages.encode_config(node))
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(ProtocolError, match=VARIABLE):
        start_runtime()


def test_what_operators_receive_is_recorded_for_each_of_them(
    run: Callable[..., tuple[Outcome, Shown]], tmp_path: Path
) -> None:
    outcome, _ = run(FLOW.replace("nodes:", "env: {DORA_WRITE_EVENTS_TO: seen}\nnodes:", 1))
    assert outcome.ok
    for operator, factor in (("a", 1), ("b", 2)):
        script = read_script(tmp_path / "seen" / f"inputs-runtime.{operator}.json")
        assert script.whole
        assert script.node == f"runtime.{operator}"
        events: list[Any] = [event for _, event in script.events]
        assert [(event["type"], event["id"]) for event in events] == [
            *[("INPUT", "number")] * 5,
            ("INPUT_CLOSED", "number"),
            ("STOP", "ALL_INPUTS_CLOSED"),
        ]
        assert [event["value"].to_pylist() for event in events[:5]] == [
            [factor * number] for number in range(5)
        ]
