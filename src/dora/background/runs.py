"""The table of runs: which dataflows run, which have run, and under which name. Pure.

Elsewhere: keeping it on disk (`background.store`), running them (`background.daemon`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from dora.errors import DoraError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dora.wire.background import Run

MOST_OVER = 500
"""Runs that are over; the oldest is forgotten for one more."""
_MOST_FAILURE_CHARS = 20_000


class Runs:
    """All runs that are known, in the order in which they began.

    Args:
        kept: Those of earlier daemons.
    """

    def __init__(self, kept: Iterable[Run] = ()) -> None:
        self._runs = {run.id: run for run in kept}

    def all(self) -> list[Run]:
        """All of them, oldest first."""
        return list(self._runs.values())

    def running(self) -> list[Run]:
        """Those that run, oldest first."""
        return [run for run in self._runs.values() if run.status == "running"]

    def free_name(self, wanted: str | None, file_name: str) -> str:
        """The name of a dataflow that is to be started.

        Args:
            wanted: What the user calls it; None: the name of its file, numbered if need be.
            file_name: The name of its file, without suffix.

        Raises:
            DoraError: a dataflow of the wanted name runs, or nothing can have that name.
        """
        taken = {run.name: run.id for run in self.running()}
        if wanted is None:
            names = (file_name, *(f"{file_name}-{n}" for n in range(2, len(taken) + 2)))
            return next(name for name in names if name not in taken)
        if not wanted.strip() or not wanted.isprintable():
            raise DoraError(f"a dataflow cannot have the name {wanted!r}; use letters and digits")
        if wanted in taken:
            raise DoraError(
                f"there is already a running dataflow with name `{wanted}`: {taken[wanted]}; stop "
                f"it (`dora stop {wanted}`), or take another name"
            )
        return wanted

    def begin(self, run: Run) -> list[Run]:
        """A dataflow was started; returns runs that were forgotten for it."""
        self._runs[run.id] = run
        over = [one for one in self._runs.values() if one.status != "running"]
        return self._drop(over[: max(0, len(over) - MOST_OVER)])

    def end(self, run_id: str, now_ns: int, failure: str, summary: str = "") -> Run:
        """A dataflow is over; it failed if there is a failure to tell."""
        run = msgspec.structs.replace(
            self._runs[run_id],
            status="failed" if failure else "finished",
            ended_ns=now_ns,
            failure=failure[:_MOST_FAILURE_CHARS],
            summary=summary,
        )
        self._runs[run_id] = run
        return run

    def forget(self) -> list[Run]:
        """Forget those that are over; returns them."""
        return self._drop([run for run in self._runs.values() if run.status != "running"])

    def _drop(self, runs: list[Run]) -> list[Run]:
        for run in runs:
            del self._runs[run.id]
        return runs
