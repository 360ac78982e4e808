"""Whether the `dora` that nodes will import is still this one.

Installing another dora-rs by force overwrites our `dora/__init__.py`: this command goes on working,
but nodes would get a `Node` that cannot join. Found before anything is started.

Elsewhere: how that is kept from happening (`building.stand_in`).
"""

from __future__ import annotations

import sys

from dora.errors import DoraError
from dora.version import VERSION


def check_intact() -> None:
    """See to it that the package is ours.

    Raises:
        DoraError: its facade is that of another distribution.
    """
    loaded = getattr(sys.modules["dora"], "__version__", None)
    if loaded == VERSION:
        return
    from dora.building.fitness import CURE

    raise DoraError(f"dora-rs {loaded} was installed over this dora; {CURE}")
