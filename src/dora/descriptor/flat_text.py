"""A dataflow with modules as the text of one without: what `dora expand` prints.

Saved beside the original it runs the same dataflow: paths are relative to that folder, and the
variables of nodes have the very texts they had.

Used by `cli.expand`. Elsewhere: putting the nodes of modules in (`descriptor.expansion`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dora.descriptor.reading import read_flow
from dora.descriptor.source import dump

if TYPE_CHECKING:
    from pathlib import Path

    from dora.descriptor.source import Source
    from dora.descriptor.views import Path as At

_OTHER_BASE = re.compile(r"[-+]?0[xob]")


def flat_text(path: Path) -> str:
    """The flat form of a dataflow file without mistakes.

    Raises:
        DescriptorError: the file has mistakes after all; it carries those of its shape.
    """
    _, report = read_flow(path)
    report.raise_problems()
    source = report.source
    value = dict(source.value)
    if "env" in value:
        value["env"] = _env(source, ("env",), value["env"])
    value["nodes"] = [dict(node) for node in value["nodes"]]
    for index, node in enumerate(value["nodes"]):
        if "env" in node:
            node["env"] = _env(source, ("nodes", index, "env"), node["env"])
    return dump(value)


def _env(source: Source, at: At, env: dict[str, Any] | None) -> dict[str, Any]:
    """Variables whose numbers stay as they are written: `1.10` is no `1.1`."""
    return {name: _written(source, (*at, name), value) for name, value in (env or {}).items()}


def _written(source: Source, at: At, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    text = source.text(*at)
    return value if text == str(value) or _OTHER_BASE.match(text) else text
