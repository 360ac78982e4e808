"""How the background daemon's process comes up: anew, or in place of an earlier program.

Elsewhere: who starts it (`background.spawn`), what it does (`background.daemon`), what is taken
over (`background.handover`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dora.background.daemon import Daemon
from dora.background.handover import SavedDaemon, keep_from_nodes, read_saved
from dora.background.journal import Journal
from dora.background.places import LOG, READY, STATE, TAKEN, folder_of, settle
from dora.background.store import Store, StoreError, archive
from dora.errors import DoraError
from dora.transport import endpoint
from dora.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable


def main(args: list[str]) -> int:
    """The process.

    Args:
        args: `--check FD`: say whether what was saved there can be taken over; `--resume FD`: take
            it over; else a descriptor that is told how this came up, and maybe `--recreate-store`.
    """
    if args[0] in ("--check", "--resume"):
        return _take_over(int(args[1]), only_check=args[0] == "--check")
    ready = int(args[0])
    settle()
    address = endpoint.daemon_address(endpoint.checkout())
    folder = folder_of(address)
    journal = Journal(folder / LOG)

    def tell(word: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # whoever started it waits no more
            os.write(ready, word)
        os.close(ready)

    try:
        listener = endpoint.Listener(address)
    except OSError as exc:
        tell(TAKEN if exc.errno == errno.EADDRINUSE else f"`{address}`: {exc.strerror}".encode())
        return 1
    try:
        if "--recreate-store" in args:
            archive(folder / STATE)
        store = Store(folder / STATE, lambda text: journal.say("warn", text))
    except StoreError as exc:
        listener.close()
        tell(str(exc).encode())
        return 1
    os.chdir(endpoint.checkout() or "/")  # holds no other folder
    asyncio.run(_serve(listener, store, journal, lambda: tell(READY)))
    store.close()
    return 0


def _take_over(fd: int, *, only_check: bool) -> int:
    """Go on where another program of this process was."""
    try:
        saved = read_saved(fd)
    except DoraError as exc:
        print(exc, file=sys.stderr)
        return 1
    if only_check:
        return 0
    keep_from_nodes(saved)
    at = saved.listener
    folder = folder_of(at.address)
    journal = Journal(folder / LOG)
    journal.say("info", f"dora {VERSION} takes over from dora {saved.version}")
    listener = endpoint.Listener.resumed(at.address, at.fds, at.inode)
    store = _store_whatever_it_is_like(folder / STATE, journal)
    asyncio.run(_serve(listener, store, journal, lambda: None, saved))
    store.close()
    return 0


def _store_whatever_it_is_like(path: Path, journal: Journal) -> Store:
    """Dataflows run on it: one that cannot be read is left as it is, and replaced in memory."""
    try:
        return Store(path, lambda text: journal.say("warn", text))
    except StoreError as exc:
        journal.say("error", f"{exc}; what happens until then is not kept")
        return Store(Path(":memory:"), lambda text: journal.say("warn", text))


async def _serve(
    listener: endpoint.Listener,
    store: Store,
    journal: Journal,
    when_ready: Callable[[], None],
    saved: SavedDaemon | None = None,
) -> None:
    await Daemon(listener, store, journal, saved).serve(when_ready)
