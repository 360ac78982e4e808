"""Which of the running dataflows `dora top` shows, also after its end. Pure.

Used by `cli.top_screen`. Elsewhere: looking (`cli.top_feed`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dora.monitor.figures import Figures

LOOKING = "looking for dataflows"
NONE = "no dataflow is running; the first one that starts is shown here"


class Choice:
    """The dataflows that run, and the one of them that is shown."""

    def __init__(self) -> None:
        self.trouble = LOOKING
        """Why the last look told nothing."""
        self._flows: dict[str, Figures] = {}
        """By id: those that run, and the one that is shown, which may be over."""
        self._running: set[str] = set()
        self._chosen = ""

    @property
    def flow(self) -> Figures | None:
        """What is shown, as it was seen last."""
        return self._flows.get(self._chosen)

    def take(self, flows: list[Figures]) -> None:
        """Take in what was seen: all that run."""
        self.trouble = ""
        seen = {flow.dataflow.id: flow for flow in flows}
        self._running = set(seen)
        if self.flow is not None:
            seen.setdefault(self._chosen, self.flow)
        self._flows = dict(sorted(seen.items()))  # oldest first
        if self._chosen not in self._flows:
            self._chosen = next(iter(self._flows), "")

    def move(self, step: int) -> None:
        """Show another one; the first comes behind the last."""
        ids = list(self._flows)
        if ids:
            self._chosen = ids[(ids.index(self._chosen) + step) % len(ids)]
            kept = self._running | {self._chosen}
            self._flows = {name: flow for name, flow in self._flows.items() if name in kept}

    def runs(self, dataflow: str) -> bool:
        """Whether this one was there at the last look."""
        return dataflow in self._running

    def told(self, pattern: str = "") -> str:
        """What is shown, in a line."""
        flow = self.flow
        if flow is None:
            return self.trouble or NONE
        one = flow.dataflow
        parts = [one.name, flow.phase if self.runs(one.id) else "ended", one.id]
        if len(self._flows) > 1:
            parts.insert(0, f"{list(self._flows).index(one.id) + 1}/{len(self._flows)}")
        if pattern:
            parts.append(f"only `{pattern}`")
        return "  ".join([*parts, self.trouble]).rstrip()
