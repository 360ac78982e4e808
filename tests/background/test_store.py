"""What outlives the daemon, and what becomes of it where the disk does not play along."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from dora.background.store import SCHEMA, Store, StoreError, archive
from dora.wire.background import PackedPlan, Run

RUN = Run("id-1", "flow", "flow.yml", "out/id-1", 3, "running", 17)


@pytest.fixture
def told() -> list[str]:
    return []


def test_runs_plans_and_parameters_are_there_again(tmp_path: Path, told: list[str]) -> None:
    path = tmp_path / "state.sqlite"
    store = Store(path, told.append)
    store.begin(RUN, b"plan", hot_reload=True)
    over = msgspec.structs.replace(RUN, status="failed", ended_ns=20, failure="why", summary="sum")
    store.end(over)
    store.set_param("id-1", "camera", "rate", b'{"hz": 3}')
    store.set_param("id-1", "camera", "gone", b"1")
    store.delete_param("id-1", "camera", "gone")
    store.take_over_params("id-1", "id-2")
    store.close()
    store = Store(path, told.append)
    assert store.runs() == [over]
    assert store.plan_of("id-1") == PackedPlan(b"plan", "flow", True)
    assert store.plan_of("id-7") is None
    assert store.params("id-2") == store.params("id-1") == {"camera": {"rate": b'{"hz": 3}'}}
    store.forget([RUN])
    assert (store.runs(), store.params("id-1")) == ([], {})
    assert store.params("id-2")
    store.close()
    assert told == []


@pytest.mark.parametrize("content", [b"no database" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_store_is_refused_and_can_be_put_away(
    content: bytes, tmp_path: Path, told: list[str]
) -> None:
    path = tmp_path / "state.sqlite"
    path.write_bytes(content)
    for number in ("", "2"):
        with pytest.raises(StoreError, match=r"is damaged .*; `dora up --recreate-store`"):
            Store(path, told.append)
        assert archive(path) == Path(f"{path}.backup{number}")
        path.write_bytes(content)
    path.unlink()
    assert archive(path) is None
    Store(path, told.append).close()
    assert Path(f"{path}.backup").read_bytes() == content


def test_a_store_of_another_version_is_refused(tmp_path: Path, told: list[str]) -> None:
    path = tmp_path / "state.sqlite"
    Store(path, told.append).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    db.close()
    with pytest.raises(StoreError, match=f"has schema version {SCHEMA + 1}, this dora writes"):
        Store(path, told.append)


def test_where_nothing_can_be_written_it_is_kept_in_memory_and_told(told: list[str]) -> None:
    store = Store(Path("/proc/no/such/state.sqlite"), told.append)
    store.begin(RUN, b"plan", hot_reload=False)
    assert store.runs() == [RUN]
    assert len(told) == 1
    assert "cannot be kept (unable to open database file); dataflows go on" in told[0]
    store.close()


def test_a_full_disk_is_told_once_and_over_when_there_is_room(
    tmp_path: Path, told: list[str]
) -> None:
    store = Store(tmp_path / "state.sqlite", told.append)
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    for _ in range(2):
        store.begin(RUN, bytes(1 << 20), hot_reload=False)
    assert len(told) == 1
    assert "database or disk is full" in told[0]
    store.begin(RUN, b"small", hot_reload=False)
    assert store.runs() == [RUN]
    store.close()
