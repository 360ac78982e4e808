"""The diagram in `docs/architecture.md` is the life cycle's own table.

After a change of the table, `python tests/test_architecture.py` prints the new diagram.
"""

from __future__ import annotations

from pathlib import Path

from dora.daemon.lifecycle import TRANSITIONS, NodeState

PAGE = Path(__file__).resolve().parent.parent / "docs" / "architecture.md"


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f"    [*] --> {state}" for state in (NodeState.SPAWNING.name, NodeState.ABSENT.name)]
    for (state, event), following in TRANSITIONS.items():
        lines.append(f"    {state.name} --> {following.name}: {event.__name__}")
    return "\n".join([*lines, f"    {NodeState.FINISHED.name} --> [*]", "```"])


def test_the_diagram_of_a_nodes_life_is_the_table() -> None:
    assert diagram() in PAGE.read_text()


if __name__ == "__main__":
    print(diagram())
