"""What was found wrong or weak in a dataflow, gathered until all of it is known.

Keeps besides which parts are damaged, so that one mistake is not told a second time by what
follows from it: an `outputs` that could not be read makes no input dangling.

Filled by `descriptor.shape`, `support`, `wiring`, `environment`, `command` and `builds`; emptied
by `descriptor.planner`. A module file has a report of its own; that of the whole dataflow takes
them in. Elsewhere: how a problem looks in print (`dora.errors`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dora.errors import DescriptorError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dora.descriptor.source import PathStep, Source
    from dora.errors import Place


class Report:
    """The problems and warnings of one file, or of a dataflow made of several."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.warnings: list[str] = []
        self._problems = list(source.problems)
        self._damaged: set[tuple[PathStep, ...]] = set()
        self._told: set[Place] = set()
        self._files: list[str] = [source.file]

    def problem(
        self, what: str, *path: PathStep, mend: str | None = None, part: str | None = None
    ) -> None:
        """Note a mistake in the value at `path`, or in the `part` of it."""
        self._add(Problem(what, self.source.locate(*path, part=part), mend))

    def problem_with_key(self, what: str, *path: PathStep, mend: str | None = None) -> None:
        """Note a mistake in the key at `path`."""
        self._add(Problem(what, self.source.locate_key(*path), mend))

    def problem_anywhere(self, what: str, mend: str | None = None) -> None:
        """Note a mistake that stands nowhere in the file."""
        self._problems.append(Problem(what, None, mend))

    def warn(self, what: str, *path: PathStep) -> None:
        """Note what is accepted but not obeyed, or dropped."""
        at = self.source.locate_key(*path)
        warning = f"{at.file}:{at.line}:{at.column}: {what}"
        if warning not in self.warnings:
            self.warnings.append(warning)

    def damage(self, *path: PathStep) -> None:
        """Remember that the value at `path` is not what the user meant."""
        self._damaged.add(path)

    def is_damaged(self, *path: PathStep) -> bool:
        """Whether the value at `path`, something around it or something in it is damaged."""
        return any(
            damaged[: len(path)] == path or path[: len(damaged)] == damaged
            for damaged in self._damaged
        )

    def kind_of_file(self, *path: PathStep) -> str:
        """What the file is in which the value at `path` was written: dataflow or module."""
        return "dataflow" if self.source.locate(*path).file == self.source.file else "module"

    def damaged_in(self, *path: PathStep) -> list[tuple[PathStep, ...]]:
        """What is damaged in the value at `path`, as paths from there."""
        return [damaged[len(path) :] for damaged in self._damaged if damaged[: len(path)] == path]

    def take_in(self, reports: Iterable[Report], problems: Iterable[Problem] = ()) -> None:
        """Add what was found in single files; a place they told of needs no second word.

        Args:
            reports: One a file, in the order in which their problems are to be told.
            problems: Those of files that could not even be read.
        """
        for report in reports:
            self._files.append(report.source.file)
            self._problems += report._problems
            self.warnings += [told for told in report.warnings if told not in self.warnings]
        self._problems += problems
        self._told.update(problem.at for problem in self._problems if problem.at)

    def raise_problems(self) -> None:
        """End with everything that was found, in file order.

        Raises:
            DescriptorError: there is at least one problem.
        """
        if not self._problems:
            return
        unique = list(dict.fromkeys(self._problems))
        order = {file: i for i, file in reversed(list(enumerate(self._files)))}
        last = len(self._files)
        unique.sort(
            key=lambda p: (
                (order.get(p.at.file, last), p.at.line, p.at.column) if p.at else (-1, 0, 0)
            )
        )
        raise DescriptorError(unique)

    def _add(self, problem: Problem) -> None:
        at = problem.at
        if at in self._told:
            return
        if at is not None and at.file != self.source.file:
            # A module that is used often has its mistakes once.
            self._told.add(at)
        self._problems.append(problem)
