"""What was found wrong or weak in one dataflow file, gathered until all of it is known.

Keeps besides which parts are damaged, so that one mistake is not told a second time by what
follows from it: an `outputs` that could not be read makes no input dangling.

Filled by `descriptor.shape`, `support`, `wiring`, `environment`, `command` and `builds`; emptied
by `descriptor.planner`. Elsewhere: how a problem looks in print (`dora.errors`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dora.errors import DescriptorError, Problem

if TYPE_CHECKING:
    from dora.descriptor.source import PathStep, Source


class Report:
    """The problems and warnings of one file."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.warnings: list[str] = []
        self._problems = list(source.problems)
        self._damaged: set[tuple[PathStep, ...]] = set()

    def problem(
        self, what: str, *path: PathStep, mend: str | None = None, part: str | None = None
    ) -> None:
        """Note a mistake in the value at `path`, or in the `part` of it."""
        self._problems.append(Problem(what, self.source.locate(*path, part=part), mend))

    def problem_with_key(self, what: str, *path: PathStep, mend: str | None = None) -> None:
        """Note a mistake in the key at `path`."""
        self._problems.append(Problem(what, self.source.locate_key(*path), mend))

    def problem_anywhere(self, what: str, mend: str | None = None) -> None:
        """Note a mistake that stands nowhere in the file."""
        self._problems.append(Problem(what, None, mend))

    def warn(self, what: str, *path: PathStep) -> None:
        """Note what is accepted but not obeyed, or dropped."""
        at = self.source.locate_key(*path)
        self.warnings.append(f"{at.file}:{at.line}:{at.column}: {what}")

    def damage(self, *path: PathStep) -> None:
        """Remember that the value at `path` is not what the user meant."""
        self._damaged.add(path)

    def is_damaged(self, *path: PathStep) -> bool:
        """Whether the value at `path`, something around it or something in it is damaged."""
        return any(
            damaged[: len(path)] == path or path[: len(damaged)] == damaged
            for damaged in self._damaged
        )

    def raise_problems(self) -> None:
        """End with everything that was found, in file order.

        Raises:
            DescriptorError: there is at least one problem.
        """
        if not self._problems:
            return
        unique = list(dict.fromkeys(self._problems))
        unique.sort(key=lambda p: (p.at.line, p.at.column) if p.at else (0, 0))
        raise DescriptorError(unique)
