"""A file as later stages see it: the same places under other paths, in this file or another.

Operators become ports of their node, modules become nodes of the dataflow: what stands at
`nodes.3.inputs.a/x` then was written elsewhere. A view leads a path to where it was written, so
that every stage can name what it sees and still point at the user's own line.

Made by `descriptor.operators` and `descriptor.expansion`, read through `descriptor.report`.
Elsewhere: places in one file (`descriptor.source`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dora.descriptor.source import PathStep, Source

if TYPE_CHECKING:
    from dora.errors import Place

Path = tuple[PathStep, ...]
Written = tuple[Source, Path]


class View(Source):
    """Paths that lead into other sources; `under` has all that is not named."""

    under: Source | None = None
    origins: dict[Path, tuple[Written, ...]] = {}
    """A path, and all below it, to where it was written; in more places than one when joined."""

    def locate(self, *path: PathStep, part: str | None = None) -> Place:
        """Where the value at `path` was written; of several places, the one that has `part`."""
        places = [source.locate(*at, part=part) for source, at in self._written_at(path)]
        if part:
            for place in places:
                if place.text.startswith(part, place.column - 1):
                    return place
        return places[0]

    def locate_key(self, *path: PathStep) -> Place:
        """Where the key of the value at `path` was written."""
        source, at = self._written_at(path)[0]
        return source.locate_key(*at) if at else source.locate()

    def text(self, *path: PathStep) -> str:
        """The scalar at `path` as it was written."""
        source, at = self._written_at(path)[0]
        return source.text(*at)

    def _written_at(self, path: Path) -> list[Written]:
        for length in range(len(path), 0, -1):
            if found := self.origins.get(path[:length]):
                return [(source, (*at, *path[length:])) for source, at in found]
        assert self.under is not None
        return [(self.under, path)]
