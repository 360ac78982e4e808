"""Where a background daemon keeps what outlives it: its state, and the log of its own words.

One folder for each daemon, that is for each checkout, or each `DORA_RUNTIME_DIR`. Elsewhere: where
it listens (`transport.endpoint`).
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from dora.transport import endpoint

VARIABLE = "DORA_STATE_DIR"
STATE = "state.sqlite"
LOG = "daemon.log"

READY = b"ready"
TAKEN = b"taken"
"""Words of a new daemon to whoever started it; anything else is why it did not come up."""


def state_dir() -> Path:
    """`DORA_STATE_DIR`, else `$XDG_STATE_HOME/dora`, else `~/.local/state/dora`."""
    if told := os.environ.get(VARIABLE):
        return Path(told).absolute()
    if (base := os.environ.get("XDG_STATE_HOME")) and os.path.isabs(base):
        return Path(base, "dora")
    return Path(os.path.expanduser("~"), ".local", "state", "dora")


def settle() -> None:
    """Make the folders that variables name independent of where this process stands."""
    for name in (VARIABLE, endpoint.VARIABLE):
        if told := os.environ.get(name):
            os.environ[name] = os.path.abspath(told)


def folder_of(address: str) -> Path:
    """The folder of the daemon that listens at `address`."""
    if address.startswith("@"):
        return state_dir() / endpoint.name_of(address)
    told = hashlib.sha256(os.fsencode(address)).hexdigest()[:16]
    return state_dir() / f"daemon-{told}"
