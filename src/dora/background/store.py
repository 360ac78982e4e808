"""What outlives the daemon, in SQLite: runs, their plans, parameters of nodes.

Losing it stops nothing: when it cannot be written (a full disk, a folder that is read-only), that
is told once, and what happens meanwhile is forgotten when the daemon ends.

Owned by one daemon. Elsewhere: what runs mean (`background.runs`), the folder
(`background.places`).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING, Any

import msgspec

from dora.errors import DoraError
from dora.wire.background import PackedPlan, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

SCHEMA = 1
_TABLES = """
CREATE TABLE runs (
    id TEXT PRIMARY KEY, name TEXT, file TEXT, log_dir TEXT, nodes INTEGER, status TEXT,
    started_ns INTEGER, ended_ns INTEGER, failure TEXT, summary TEXT,
    plan BLOB, hot_reload INTEGER
);
CREATE TABLE params (
    dataflow TEXT, node TEXT, key TEXT, value TEXT, PRIMARY KEY (dataflow, node, key)
) WITHOUT ROWID;
"""
_RUN_COLUMNS = ", ".join(Run.__struct_fields__)


class StoreError(DoraError):
    """The file is of another version, or damaged."""


class Store:
    """The open file. `close()` gives it up.

    Args:
        path: Where; its folder is there, or the store is kept in memory only.
        warn: Is told when it cannot be written.

    Raises:
        StoreError: the file is of another version, or damaged.
    """

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self.path = path
        self._warn = warn
        self._told = ""
        try:
            self._db = _opened(str(path))
        except sqlite3.OperationalError as exc:
            self._tell(exc)
            self._db = _opened(":memory:")
        except sqlite3.DatabaseError as exc:
            raise StoreError(_mend(path, f"is damaged ({exc})")) from exc

    def close(self) -> None:
        """Give it up; twice is fine."""
        self._db.close()

    # ---- runs ----

    def runs(self) -> list[Run]:
        """The runs that were kept, oldest first."""
        rows = self._read(f"SELECT {_RUN_COLUMNS} FROM runs ORDER BY started_ns")
        return [Run(*row) for row in rows]

    def begin(self, run: Run, plan: bytes, *, hot_reload: bool) -> None:
        """Keep a run that has just begun."""
        marks = ", ".join("?" * (len(Run.__struct_fields__) + 2))
        sql = f"INSERT OR REPLACE INTO runs ({_RUN_COLUMNS}, plan, hot_reload) VALUES ({marks})"
        self._write(sql, [(*msgspec.structs.astuple(run), plan, hot_reload)])

    def end(self, run: Run) -> None:
        """Keep how a run ended."""
        sql = "UPDATE runs SET status = ?, ended_ns = ?, failure = ?, summary = ? WHERE id = ?"
        self._write(sql, [(run.status, run.ended_ns, run.failure, run.summary, run.id)])

    def plan_of(self, dataflow: str) -> PackedPlan | None:
        """The plan of a run; None if it is not known."""
        rows = self._read("SELECT plan, name, hot_reload FROM runs WHERE id = ?", (dataflow,))
        return PackedPlan(rows[0][0], rows[0][1], bool(rows[0][2])) if rows else None

    def forget(self, runs: Iterable[Run]) -> None:
        """Forget runs and their parameters."""
        ids = [(run.id,) for run in runs]
        self._write("DELETE FROM runs WHERE id = ?", ids)
        self._write("DELETE FROM params WHERE dataflow = ?", ids)

    # ---- parameters ----

    def params(self, dataflow: str) -> dict[str, dict[str, bytes]]:
        """The parameters of a dataflow: by node and key, JSON."""
        found: dict[str, dict[str, bytes]] = {}
        sql = "SELECT node, key, value FROM params WHERE dataflow = ?"
        for node, key, value in self._read(sql, (dataflow,)):
            found.setdefault(node, {})[key] = value.encode()
        return found

    def set_param(self, dataflow: str, node: str, key: str, value: bytes) -> None:
        """Keep a parameter; `value` is JSON."""
        sql = "INSERT OR REPLACE INTO params VALUES (?, ?, ?, ?)"
        self._write(sql, [(dataflow, node, key, value.decode())])

    def delete_param(self, dataflow: str, node: str, key: str) -> None:
        """Forget a parameter."""
        sql = "DELETE FROM params WHERE dataflow = ? AND node = ? AND key = ?"
        self._write(sql, [(dataflow, node, key)])

    def take_over_params(self, before: str, dataflow: str) -> None:
        """Give a dataflow the parameters of the one that it is the restart of."""
        sql = "INSERT OR REPLACE INTO params SELECT ?, node, key, value FROM params "
        self._write(sql + "WHERE dataflow = ?", [(dataflow, before)])

    def _read(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as exc:
            self._tell(exc)
            return []

    def _write(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        try:
            with self._db:
                self._db.executemany(sql, rows)
        except sqlite3.Error as exc:
            self._tell(exc)
        else:
            self._told = ""

    def _tell(self, error: sqlite3.Error) -> None:
        told = (
            f"the state in `{self.path}` cannot be kept ({error}); dataflows go on, and what is "
            "not kept is forgotten when the daemon ends"
        )
        if told != self._told:
            self._told = told
            self._warn(told)


def archive(path: Path) -> Path | None:
    """Put a store away under another name; None if there was none.

    Raises:
        StoreError: it cannot be renamed.
    """
    backup = path.with_name(f"{path.name}.backup")
    number = 2
    while backup.exists():
        backup = path.with_name(f"{path.name}.backup{number}")
        number += 1
    try:
        path.rename(backup)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise StoreError(f"`{path}` cannot be put away: {exc.strerror}") from exc
    for suffix in ("-wal", "-shm"):  # what was written last stands there after a crash
        with contextlib.suppress(OSError):
            os.rename(f"{path}{suffix}", f"{backup}{suffix}")
    return backup


def _opened(path: str) -> sqlite3.Connection:
    """Open a file, or make it.

    Raises:
        sqlite3.OperationalError: it can be neither read nor made.
        sqlite3.DatabaseError: it is no store.
        StoreError: it is of another version.
    """
    db = sqlite3.connect(path, timeout=2.0)
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version != SCHEMA and (version or tables):
            told = f"has schema version {version}, this dora writes {SCHEMA}"
            raise StoreError(_mend(path, told))
        (checked,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if checked != "ok":
            raise sqlite3.DatabaseError(checked)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        if not tables:
            db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")
        else:
            with db:
                db.execute(f"PRAGMA user_version = {SCHEMA}")  # fails where it is read-only
    except BaseException:
        db.close()
        raise
    return db


def _mend(path: object, what: str) -> str:
    return (
        f"the daemon's state in `{path}` {what}; `dora up --recreate-store` puts it away as "
        "`.backup` and begins anew"
    )
