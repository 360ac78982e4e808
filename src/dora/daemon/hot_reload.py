"""`--hot-reload`: a node whose Python file was saved runs the new one, if that compiles.

Only the node's own file counts, and the file of each operator, not what they import. A file that
does not compile changes nothing but for a notice: the process that runs goes on.

Elsewhere: noticing that a file was saved (`daemon.file_watch`), whether it compiles
(`daemon.source_check`), restarting a node (`daemon.supervisor`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from dora.daemon.file_watch import INTERVAL_S, FileWatch
from dora.daemon.source_check import check_source, check_source_with

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from dora.daemon.callbacks import Loop
    from dora.descriptor.plan import NodePlan


class _Part(msgspec.Struct, frozen=True):
    """What runs from a file."""

    node: str
    operator: str | None
    """None: the node itself."""
    executable: Path | None
    """The Python of the node's own environment."""

    def __str__(self) -> str:
        return (
            f"operator `{self.operator}` of node `{self.node}`"
            if self.operator
            else (f"node `{self.node}`")
        )


class HotReload:
    """Watches the Python files of nodes. `close()` ends it; twice is fine.

    Args:
        loop: That of the daemon.
        nodes: Those to begin with.
        restart: Starts a node anew, and is given why.
        reload: Has one operator of a node load its file again, and is given why.
        notice: Tells the user, by level and text.
        interval_s: How often files are looked at.
    """

    def __init__(
        self,
        loop: Loop,
        nodes: Iterable[NodePlan],
        *,
        restart: Callable[[str, str], None],
        reload: Callable[[str, str, str], None],
        notice: Callable[[str, str], None],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._loop = loop
        self._restart = restart
        self._reload = reload
        self._notice = notice
        self._nodes: dict[str, NodePlan] = {}
        self._files: dict[Path, list[_Part]] = {}
        self._asking: dict[tuple[Path, _Part], asyncio.Task[None]] = {}
        self._watch = FileWatch(loop, self._saved, interval_s)
        for node in nodes:
            self._enter(node)
        self._watch.watch(self._files)

    def add(self, node: NodePlan) -> None:
        """Watch a node too, in place of one of the same id."""
        if self._nodes.get(node.id) == node:
            return
        self._leave(node.id)
        self._enter(node)
        self._watch.watch(self._files)

    def remove(self, node_id: str) -> None:
        """Watch a node no more."""
        self._leave(node_id)
        self._watch.watch(self._files)

    def close(self) -> None:
        """Watch nothing any more."""
        self._watch.close()
        for task in self._asking.values():
            task.cancel()

    def _enter(self, node: NodePlan) -> None:
        self._nodes[node.id] = node
        if not node.spawned:
            return
        executable = node.interpreter.executable if node.interpreter else None
        if node.source is not None:
            self._files.setdefault(node.source, []).append(_Part(node.id, None, executable))
        for operator, file in node.operator_sources.items():
            self._files.setdefault(file, []).append(_Part(node.id, operator, executable))

    def _leave(self, node_id: str) -> None:
        self._nodes.pop(node_id, None)
        left = {
            file: [part for part in parts if part.node != node_id]
            for file, parts in self._files.items()
        }
        self._files = {file: parts for file, parts in left.items() if parts}
        for (_, part), task in self._asking.items():
            if part.node == node_id:
                task.cancel()

    def _saved(self, file: Path) -> None:
        problem = check_source(file)
        refused: list[_Part] = []
        for part in self._files[file]:
            if former := self._asking.get((file, part)):
                former.cancel()
            if problem is None:
                self._renew(file, part)
            elif part.executable is None:
                refused.append(part)
            else:
                self._ask(file, part, part.executable)
        if refused:
            self._keep(file, refused, problem or "")

    def _ask(self, file: Path, part: _Part, executable: Path) -> None:
        """Let the node's own Python decide: it may know syntax that this one does not."""
        task = self._loop.create_task(self._asked(file, part, executable))
        self._asking[file, part] = task
        task.add_done_callback(lambda done: self._answered(file, part, done))

    async def _asked(self, file: Path, part: _Part, executable: Path) -> None:
        try:
            problem = await check_source_with(executable, file)
        except OSError as exc:
            problem = f"`{executable}` cannot be asked whether it compiles: {exc}"
        if problem is None:
            self._renew(file, part)
        else:
            self._keep(file, [part], problem)

    def _answered(self, file: Path, part: _Part, done: asyncio.Task[None]) -> None:
        if self._asking.get((file, part)) is done:
            del self._asking[file, part]

    def _renew(self, file: Path, part: _Part) -> None:
        why = f"`{file.name}` was saved"
        if part.operator is None:
            self._restart(part.node, why)
        else:
            self._reload(part.node, part.operator, why)

    def _keep(self, file: Path, parts: list[_Part], problem: str) -> None:
        stays = " and ".join(map(str, parts)) + (" stays" if len(parts) == 1 else " stay")
        told = f"`{file.name}` was saved, but does not compile; {stays} as before:\n{problem}"
        self._notice("error", told)
